"""The benchmark of late policies: simulated time, its figures of motion, its table and its plot."""

import json
from pathlib import Path

import numpy as np
import pytest

from dp_hf.errors import UserError

pytest.importorskip("mujoco")
FOLDER = Path(__file__).parents[2] / "scripts" / "benchmarks"
PERIOD = 0.02


@pytest.fixture(autouse=True)
def beside_the_benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def save_pipeline(make_pipeline, tmp_path):
    """A function that saves a policy of random weights, whose actions are near where the simulated arm begins."""
    from dp_hf import Normalizer
    from dp_hf.arms.mycobot_280 import QUANTITIES
    from dp_hf.simulation.environment import HOME

    def save(name: str, max_prefix: int) -> str:
        names = {"state_names": QUANTITIES.names, "action_names": QUANTITIES.names}
        units = {"state_units": QUANTITIES.units, "action_units": QUANTITIES.units}
        sizes = {"horizon": 8, "n_action_steps": 4, "max_prefix": max_prefix}
        made = make_pipeline(2, use_proprioception=True, **sizes, **names, **units)
        rows = np.array(HOME) + [[-10.0] * 7, [10.0] * 7]
        made.register_modules(normalizer=Normalizer.from_data(rows, rows))
        made.save_pretrained(tmp_path / name)
        return str(tmp_path / name)

    return save


@pytest.fixture
def pipeline(save_pipeline) -> str:
    return save_pipeline("policy", max_prefix=3)


def test_the_figures_of_a_motion_that_is_known():
    from motion import motion_of

    times = PERIOD * np.arange(100)
    commands = np.zeros((100, 7))
    commands[:, 2] = 10 * times**3  # jerk 60 everywhere
    commands[50:, 0] = 30 * (times[50:] - times[49])  # a velocity of 30 from command 50 on
    found = motion_of(times, commands, [times[20], times[50]])
    assert found["jerk_rms"] == pytest.approx(np.sqrt((94 * 60**2 + 2 * (30 / PERIOD**2) ** 2) / 97), rel=0.02)
    assert found["jerk_max"] == pytest.approx(30 / PERIOD**2)
    assert found["border_jump_max"] == pytest.approx(30)
    assert found["border_jump_mean"] == pytest.approx((30 + 3 * PERIOD * 60 * times[20]) / 2, rel=0.1)


@pytest.mark.slow
def test_a_run_in_simulated_time_is_the_same_again_and_goes_on_where_it_was(pipeline, tmp_path, capsys):
    from delay import WAYS, main

    def lines(folder):
        return [json.loads(line) for line in (folder / "delay.jsonl").read_text().splitlines()[1:]]

    def benchmark(folder, *options):
        options = ("--num_episodes", "1", "--duration", "0.8", "--plot_delay", "150", *options)
        assert main(["--pipelines", pipeline, "--output_dir", str(folder), *options]) == 0

    benchmark(tmp_path / "one", "--delays", "0", "150", "--jitter", "0.3", "--ways", *WAYS)
    first = lines(tmp_path / "one")
    assert [(line["way"], line["delay"]) for line in first] == [(way, delay) for delay in (0, 150) for way in WAYS]
    assert all(line["chunks"] >= 1 and line["speed"] > 0 for line in first)
    assert (tmp_path / "one" / "delay.png").stat().st_size > 10_000
    table = (tmp_path / "one" / "delay.md").read_text()
    assert table in capsys.readouterr().out
    assert len(table.splitlines()) == 2 + 2 * len(WAYS)

    benchmark(tmp_path / "two", "--delays", "150", "--jitter", "0.3", "--ways", "prefix")
    assert lines(tmp_path / "two") == [line for line in first if (line["way"], line["delay"]) == ("prefix", 150)]
    benchmark(tmp_path / "one", "--delays", "150", "--jitter", "0.3")  # what is there is not repeated
    assert lines(tmp_path / "one") == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ways", "synchronous", "--delays", "0", "500"], "synchronous at 500 ms takes 9 actions"),
        (["--ways", "synchronous", "--delays", "0", "400", "--jitter", "0.1"], "at 400 ms takes 9 actions"),
        (["--ways", "synchronous", "--delays", "0", "--plot_delay", "600"], "at 600 ms takes 10 actions"),
        (["--ways", "naive", "--delays", "0", "--n_action_steps", "9"], "naive at 0 ms takes 9 actions"),
        (["--ways", "hand-over", "prefix"], "without learned without a prefix: give --ways synchronous"),
    ],
)
def test_what_a_pipeline_cannot_do_is_refused_before_the_first_rollout(
    save_pipeline, tmp_path, options, message, capsys, monkeypatch
):
    import delay

    monkeypatch.setattr(delay, "drive", lambda *_: pytest.fail("a rollout"))
    pipelines = [save_pipeline("policy", max_prefix=3), save_pipeline("without", max_prefix=0)]
    common = ["--num_episodes", "1", "--output_dir", str(tmp_path / "out")]
    assert delay.main(["--pipelines", *pipelines, *common, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("name", ["pipelines", "ways", "delays"])
def test_a_table_of_nothing_is_refused(name):
    from delay import Delay

    with pytest.raises(UserError, match=f"{name} is empty"):
        Delay(**{"pipelines": ("policy",), name: ()})


def test_a_run_too_short_for_its_jerk_is_refused():
    from delay import Delay

    with pytest.raises(UserError, match=r"duration is at least 0\.1 s, of whose commands jerk can be told; got 0\.06"):
        Delay(pipelines=("policy",), duration=0.06)


def test_as_many_actions_as_a_chunk_has_are_possible(pipeline):
    from delay import Delay, digest_of, require_possible

    arguments = Delay(pipelines=(pipeline,), ways=("synchronous",), delays=(400,), plot_delay=300)
    require_possible(arguments, pipeline, digest_of(pipeline))


def test_pictures_arrive_late_and_the_arm_is_where_it_was_told_to_be():
    from simulated_time import COMMAND_RATE, SimulatedClock, SteppedRobot

    from dp_hf.simulation.environment import HOME, CubeStackingEnv

    clock = SimulatedClock()
    env = CubeStackingEnv(cameras=(), control_hz=COMMAND_RATE)
    robot = SteppedRobot(env, clock, 0, image_age=0.15)
    stamps = []
    for tick in range(60):
        clock.sleep_until(tick * PERIOD)
        if (image := robot.read_image()) is not None:
            stamps.append(round(image.timestamp, 6))
        robot.send_command(np.array(HOME) + [0.2 * min(tick, 30), 0, 0, 0, 0, 0, 0])
    assert sorted(set(stamps)) == pytest.approx(0.15 + 0.1 * np.arange(11))
    np.testing.assert_allclose(robot.read_state().value, np.array(HOME) + [6, 0, 0, 0, 0, 0, 0], atol=0.5)
    assert len(robot.commands) == 60
