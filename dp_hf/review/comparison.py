"""What an episode is like beside the others: whether its pictures fit its states, how far it is, its copies.

Pictures are compared as a few blocks of colour. What they tell of the state is learned from the other episodes, by
linear regression on their principal components and on random Fourier features of those (Rahimi and Recht 2007).
"""

from dataclasses import dataclass

import numpy as np

from dp_hf.review.motion import Mark, joints_of, stretches
from dp_hf.review.tracks import Track

FEWEST_EPISODES = 5
_FOLDS = 5
_COMPONENTS, _FOURIER, _WIDTH = 64, 300, 0.15
_RIDGES = (1e-2, 1e-1, 1.0, 10.0)
_LONGEST_DELAY = 6  # frames
_MOMENTS = 24
_NEIGHBOURS = 5
# Of the median distance between two episodes; a copy with other noise is nearer.
_COPY = 0.05
# Of the usual misfit of all frames.
_STANDS_OUT = 4.0


@dataclass(frozen=True)
class Comparison:
    """An episode beside the others. Shares are of the numbers' ranges over all episodes.

    Attributes:
        late: seconds by which its pictures come after its states; the same in most episodes is 0.
        misfit: root mean square share by which its states are others than the other episodes' pictures tell.
        far: mean distance to its five nearest episodes, as the root mean square share at one of 24 moments.
        gripper: median distance to all other episodes by the gripper alone; 0 without one.
        nearest: distance to the nearest.
        nearest_name: which that is.
        is_copy: whether that is nearer than a twentieth of what lies between any two.
        start: distance of its first state to the nearest first state of another.
    """

    late: float
    misfit: float
    far: float
    gripper: float
    nearest: float
    nearest_name: str
    is_copy: bool
    start: float


def compare(tracks: list[Track], scale: np.ndarray) -> list[tuple[Comparison, list[Mark]]]:
    """Each episode beside the others, with marks at frames whose picture tells of another state.

    Args:
        tracks: at least `FEWEST_EPISODES`, of the same numbers and cameras.
        scale: their `ranges`.
    """
    told = _told_by_pictures(tracks, scale)
    states = [track.states / scale for track in tracks]
    misfits = [np.sqrt(((a - b) ** 2).mean(axis=1)) for a, b in zip(told, states, strict=True)]
    usual = float(np.median(np.concatenate(misfits)))
    delays = np.array([_delay(a, b, track) for a, b, track in zip(told, states, tracks, strict=True)])
    delays -= np.median(delays)
    grippers = tracks[0].state.grippers
    distances = _distances(tracks, scale, [*range(len(scale))])
    usual_distance = float(np.median(distances[np.isfinite(distances)]))
    near = min(_NEIGHBOURS, len(tracks) - 1)
    by_gripper = _distances(tracks, scale, grippers)
    starts = np.array([values[0] for values in states])
    between_starts = np.sqrt(((starts[:, None] - starts) ** 2).mean(axis=2))
    np.fill_diagonal(between_starts, np.inf)
    compared = []
    for index in range(len(tracks)):
        nearest = int(distances[index].argmin())
        comparison = Comparison(
            late=float(delays[index]),
            misfit=float(np.sqrt((misfits[index] ** 2).mean())),
            far=float(np.sort(distances[index])[:near].mean()),
            gripper=float(np.median(np.delete(by_gripper[index], index))) if grippers else 0.0,
            nearest=float(distances[index, nearest]),
            nearest_name=tracks[nearest].name,
            is_copy=bool(distances[index, nearest] < _COPY * usual_distance),
            start=float(between_starts[index].min()),
        )
        compared.append((comparison, _misfit_marks(misfits[index], usual)))
    return compared


def _told_by_pictures(tracks: list[Track], scale: np.ndarray) -> list[np.ndarray]:
    """(T, numbers) of each episode: its states in ranges, as its pictures and the other episodes tell them."""
    pictures = [
        np.concatenate([view.reshape(len(view), -1) for view in track.views.values()], axis=1) for track in tracks
    ]
    rows = np.concatenate(pictures) / 255
    states = np.concatenate([track.states / scale for track in tracks])
    lengths = [len(track.states) for track in tracks]
    # In turns, so that episodes of one day are in all folds.
    folds = np.repeat(np.arange(len(tracks)) % _FOLDS, lengths)
    inputs = np.c_[_features(rows), np.ones(len(rows))]
    mean = states.mean(axis=0)
    told = np.empty((len(_RIDGES), *states.shape))
    for fold in range(_FOLDS):
        known = folds != fold
        normal, moment = inputs[known].T @ inputs[known], inputs[known].T @ (states[known] - mean)
        for index, ridge in enumerate(_RIDGES):
            weights = np.linalg.solve(normal + ridge * np.eye(len(normal)), moment)
            told[index, ~known] = inputs[~known] @ weights + mean
    best = np.median(np.abs(told - states), axis=(1, 2)).argmin()
    return np.split(told[best], np.cumsum(lengths)[:-1])


def _features(rows: np.ndarray) -> np.ndarray:
    """(frames, features) of (frames, pixels)."""
    centred = rows - rows.mean(axis=0)
    some = centred[:: max(1, len(rows) // 3000)]
    _, directions = np.linalg.eigh(some.T @ some)  # a decomposition of `some` itself need not converge
    components = centred @ directions[:, : -_COMPONENTS - 1 : -1]
    components /= max(float(components.std()), 1e-9)
    rng = np.random.default_rng(0)
    waves = components @ rng.normal(0, _WIDTH, (components.shape[1], _FOURIER)) + rng.uniform(0, 2 * np.pi, _FOURIER)
    return np.c_[components / 10, np.sqrt(2 / _FOURIER) * np.cos(waves)]


def _delay(told: np.ndarray, states: np.ndarray, track: Track) -> float:
    """Seconds by which what the pictures tell comes after the states, where the joints' two courses fit best."""
    arm = joints_of(track)
    told, states = (values[:, arm] - values[:, arm].mean(axis=0) for values in (told, states))
    longest = min(_LONGEST_DELAY, len(told) // 4)
    errors = {}
    for delay in range(-longest, longest + 1):
        late, now = told[max(0, delay) : len(told) + min(0, delay)], states[max(0, -delay) : len(told) - max(0, delay)]
        errors[delay] = float(((late - now) ** 2).mean())
    return min(errors, key=lambda delay: (errors[delay], abs(delay))) * float(np.median(np.diff(track.seconds)))


def _distances(tracks: list[Track], scale: np.ndarray, columns: list[int]) -> np.ndarray:
    """(episodes, episodes): root mean square over 24 moments, evenly spaced in each; infinite to itself."""
    courses = []
    for track in tracks:
        moments = np.linspace(0, track.seconds[-1], _MOMENTS)
        values = (track.states / scale).T[columns]
        courses.append([np.interp(moments, track.seconds, each) for each in values])
    rows = np.array(courses).reshape(len(tracks), -1)
    squares = (rows**2).sum(axis=1)
    between = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0) / max(rows.shape[1], 1)
    np.fill_diagonal(between, np.inf)
    return np.sqrt(between)


def _misfit_marks(misfits: np.ndarray, usual: float) -> list[Mark]:
    high = stretches(misfits > _STANDS_OUT * usual)
    what = "the picture tells of another state"
    return [Mark("misfit", start, stop, what) for start, stop in high if stop - start >= 3]
