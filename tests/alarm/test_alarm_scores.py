"""Scores of runs that are made up: as in training, stuck, changing its plans, with another picture."""

import numpy as np
import pytest
from helpers.alarms import limits_for

from dp_hf.alarm.calibration import calibrated, without_limits
from dp_hf.alarm.limits import AlarmLimits
from dp_hf.alarm.record import RunRecord, Tally
from dp_hf.alarm.reference import Reference, evenly_spaced
from dp_hf.alarm.scores import RunScores
from dp_hf.alarm.watch import Watch
from dp_hf.errors import UserError

LENGTH, HORIZON = 30, 8
CLOCK = np.arange(LENGTH) / LENGTH


def way(episode):
    """Features (30, 4) and states (30, 2) of a demonstration."""
    rng = np.random.default_rng(episode)
    states = np.stack([CLOCK, CLOCK**2], axis=1) + rng.normal(0, 0.01, (LENGTH, 2))
    return np.concatenate([states, 1 - states], axis=1) + rng.normal(0, 0.01, (LENGTH, 4)), states


def reference():
    features, states = (np.concatenate(values) for values in zip(*map(way, range(5)), strict=True))
    rows = evenly_spaced(len(states))
    return Reference.of(rows, features[rows], states, states, np.repeat(np.arange(5), LENGTH))


def chunk_at(states, step):
    ahead = np.minimum(step + np.arange(HORIZON), LENGTH - 1)
    return states[ahead]


def test_a_run_as_in_training_agrees_with_itself_and_takes_as_long():
    features, states = way(7)
    scores = RunScores(reference())
    seen = [scores.see(features[step], states[step], chunk_at(states, step), 1) for step in range(LENGTH)]
    assert [each.step for each in seen] == [*range(LENGTH)]
    assert max(each.scores["plan"] for each in seen) < 1e-6
    assert all(abs(each.scores["progress"] - (LENGTH - 1)) < 4 for each in seen)
    assert max(each.scores["picture"] for each in seen) < 0.2


def test_a_run_that_is_stuck_takes_longer_and_longer():
    features, states = way(7)
    scores = RunScores(reference())
    seen = [scores.see(features[10], states[10], chunk_at(states, 10), 1) for _ in range(60)]
    assert seen[5].scores["progress"] < LENGTH
    assert seen[-1].scores["progress"] == pytest.approx(59 + 19, abs=3)


def test_plans_that_change_are_compared_over_half_a_horizon_and_name_the_number():
    features, states = way(7)
    scores, rng = RunScores(reference()), np.random.default_rng(0)
    for step in range(12):
        chunk = chunk_at(states, step) + np.stack([rng.normal(size=HORIZON), np.zeros(HORIZON)], axis=1)
        seen = scores.see(features[step], states[step], chunk, 1)
        assert (seen.scores["plan"] > 0) == (step >= HORIZON / 2)
    assert seen.scores["plan"] > 1
    assert np.argmax(seen.actions) == 0


@pytest.mark.parametrize("steps", [1, 3, 4, 6])
def test_however_many_actions_are_executed_the_same_moments_are_compared(steps):
    features, states = way(7)
    scores = RunScores(reference())
    for step in range(0, LENGTH, steps):
        seen = scores.see(features[step], states[step], chunk_at(states, step), steps)
        assert seen.scores["plan"] < 1e-6


def test_chunks_that_do_not_overlap_are_not_compared():
    scores, rng = RunScores(reference()), np.random.default_rng(0)
    features, states = way(7)
    for _ in range(5):
        seen = scores.see(features[0], states[0], rng.normal(size=(HORIZON, 2)), HORIZON)
        assert seen.scores["plan"] == 0


def watched(limits: AlarmLimits, features):
    """A run that plans to turn to and fro."""
    watch, rng = Watch(limits, 10.0, ("front", "wrist"), ("pan", "reach")), np.random.default_rng(0)
    _, states = way(7)
    for picture in features:
        watch.see(picture, states[10], chunk_at(states, 10) + [rng.normal(), 0], 1)
    return watch


def limits(**given):
    class Config:
        horizon, n_action_steps, temporal_ensemble = HORIZON, 1, None
        state_dim = action_dim = 2
        use_proprioception = True

    made = limits_for(Config, **given)
    usual = {**made.usual, "plan": 0.1}
    return AlarmLimits(made.limits, {**made.alone, "picture": 3.0}, usual, made.calibration, reference())


def stuck(num_predictions=60):
    """Features of a run that stays where it is."""
    return np.repeat(way(7)[0][10:11], num_predictions, axis=0)


def test_an_alarm_says_since_when_which_joint_and_which_camera():
    assert watched(limits(plan=100.0), stuck()).alarm is None
    alarm = watched(limits(plan=1.0), stuck()).alarm
    assert alarm.kind == "unsure"
    assert HORIZON / 2 <= alarm.step < 20
    assert alarm.since == HORIZON / 2 - 1  # there was nothing to compare before
    assert f"most pan, since {alarm.since / 10:.1f} s; {alarm.step / 10:.1f} s are over, and 1." in alarm.text
    assert "picture" not in alarm.text

    moved = stuck()
    moved[:, 2:] += 3  # of the second camera
    assert "; the picture of wrist is" in watched(limits(plan=1.0), moved).alarm.text


def test_a_run_that_takes_too_long_is_late():
    alarm = watched(limits(time=30.0), stuck()).alarm
    assert (alarm.kind, alarm.step, alarm.since) == ("late", 31, 31)
    assert "it takes longer than the runs that succeeded, which took 0.1 s" in alarm.text


def test_what_is_kept_of_runs_says_how_the_alarm_served():
    record = RunRecord.of(watched(limits(plan=1.0), stuck()), seconds=6.0)
    assert record.first_above("plan", 1.0) == record.alarmed_after
    assert record.first_above("time", 30.0) == 3.1
    assert record.first_above("plan", 100.0) is None
    runs = [(False, 6.0, record.alarmed_after), (False, 6.0, None), (True, 3.0, None), (True, 3.0, 1.0)]
    tally = Tally.of(runs)
    assert (tally.failures, tally.caught, tally.successes, tally.false_alarms) == (2, 1, 2, 1)
    assert tally.seconds_left == pytest.approx(6.0 - record.alarmed_after)
    assert "1 of 2 failures caught, in the median" in str(tally)
    assert "0 of 1 failures caught; 0 false" in str(Tally.of([(False, 6.0, None)]))


def made_up(seed, slow=1.0):
    """A record of a run that takes about 30 actions and whose scores are chance."""
    rng = np.random.default_rng(seed)
    steps = [*range(int(slow * rng.integers(25, 40)))]
    scores = {name: [*rng.lognormal(size=len(steps))] for name in ("plan", "progress", "picture")}
    return RunRecord(10.0, len(steps) / 10, steps, scores, None)


def alarmed(record, limits):
    return any((record.series(name) > limit).any() for name, limit in limits.limits.items())


def test_false_alarms_of_further_runs_are_as_rare_as_was_promised():
    scored = without_limits(reference(), 1, None)
    found = []
    for trial in range(40):
        made = calibrated(scored, [made_up((trial, run)) for run in range(50)], 60, 0.1, "weights")
        assert sum(alarmed(made_up((trial, run)), made) for run in range(50)) <= 5
        found += [alarmed(made_up((trial, 50 + run)), made) for run in range(20)]
    assert 0.03 < np.mean(found) < 0.12
    assert (made.calibration.num_successes, made.calibration.num_runs) == (50, 60)
    assert alarmed(made_up(0, slow=3.0), made)


def test_runs_that_are_all_the_same_give_limits_too():
    record = made_up(0)
    made = calibrated(without_limits(reference(), 1, None), [record] * 60, 60, 0.05, "weights")
    assert not alarmed(record, made)
    with pytest.raises(UserError, match="none of 9 runs succeeded"):
        calibrated(made, [], 9, 0.05, "weights")
    with pytest.raises(UserError, match="5 runs that succeeded are too few to promise so few false alarms: 39 would"):
        calibrated(made, [record] * 5, 9, 0.05, "weights")
