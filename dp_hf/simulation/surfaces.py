"""Ten colours and textures for the table, the mat and the background."""

from collections.abc import Callable

import numpy as np

SIZE = 256  # pixels of a texture's side
TILE = 0.25  # metres of the table that it covers


def _plain(*color: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: np.full((SIZE, SIZE, 3), color) + rng.normal(0, 2, (SIZE, SIZE, 1))


def _mixed(pattern: Callable[[np.random.Generator], np.ndarray], one: tuple, other: tuple):
    """Between two colours, as `pattern` (SIZE, SIZE), 0 to 1, says."""

    def paint(rng: np.random.Generator) -> np.ndarray:
        weight = pattern(rng)[..., None]
        return (1 - weight) * np.array(one) + weight * np.array(other)

    return paint


def _wood(rng: np.random.Generator) -> np.ndarray:
    """Boards of four fingers' breadth with a grain along them."""
    grain = _smooth(rng, 2, 40)
    boards = np.repeat(rng.uniform(0, 0.5, 4), SIZE // 4)[:, None]
    seams = (np.arange(SIZE) % (SIZE // 4) < 2)[:, None]
    return np.clip(boards + 0.5 * grain + 0.4 * seams, 0, 1)


def _speckles(rng: np.random.Generator) -> np.ndarray:
    return np.clip(0.5 * _smooth(rng, 8, 8) + 0.6 * (_smooth(rng, 100, 100) > 0.62), 0, 1)


def _veins(rng: np.random.Generator) -> np.ndarray:
    return 1 - np.clip(np.abs(_smooth(rng, 6, 6) - 0.5) * 8, 0, 1)


def _tiles(rng: np.random.Generator) -> np.ndarray:
    joint = np.arange(SIZE) % (SIZE // 4) < 4
    return np.maximum(joint[:, None], joint).astype(float)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    return np.tile((np.arange(SIZE) // (SIZE // 16) % 2).astype(float), (SIZE, 1))


def _checks(rng: np.random.Generator) -> np.ndarray:
    field = np.arange(SIZE) // (SIZE // 8) % 2
    return (field[:, None] ^ field).astype(float)


def _smooth(rng: np.random.Generator, across: int, along: int) -> np.ndarray:
    """Random waves (SIZE, SIZE), 0 to 1, of up to so many periods along the columns and the rows; meets itself at the
    edges."""
    spectrum = np.fft.rfft2(rng.normal(size=(SIZE, SIZE)))
    columns, rows = np.meshgrid(np.fft.rfftfreq(SIZE, 1 / SIZE), np.fft.fftfreq(SIZE, 1 / SIZE))
    waves = np.fft.irfft2(spectrum * np.exp(-((columns / across) ** 2) - (rows / along) ** 2), (SIZE, SIZE))
    low, high = np.quantile(waves, (0.02, 0.98))
    return np.clip((waves - low) / (high - low), 0, 1)


_SURFACES = (
    _plain(226, 224, 218),  # white
    _mixed(_wood, (205, 170, 125), (160, 120, 80)),  # oak
    _plain(82, 88, 96),  # slate
    _mixed(_speckles, (165, 165, 165), (95, 95, 100)),  # granite
    _plain(58, 110, 84),  # green
    _mixed(_tiles, (210, 216, 220), (130, 132, 135)),  # tiles
    _plain(70, 100, 160),  # blue
    _mixed(_stripes, (215, 208, 196), (150, 70, 84)),  # a striped cloth
    _mixed(_veins, (222, 220, 218), (140, 140, 146)),  # marble
    _mixed(_checks, (110, 120, 150), (196, 200, 208)),  # checks
)
NUM_SURFACES = len(_SURFACES)


def surface(number: int) -> np.ndarray:
    """The texture `number`, from 0 to `NUM_SURFACES` - 1: uint8 (SIZE, SIZE, 3), for a square of `TILE` metres."""
    return np.clip(_SURFACES[number](np.random.default_rng(number)), 0, 255).astype(np.uint8)
