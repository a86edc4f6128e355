"""What a run is remembered by: the chunks that were followed, and the holds, in the time of the recorded frames."""

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy, at_time

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.control.controller import Controller
from dp_hf.control.run_log import RunLog
from dp_hf.episodes.run_file import Run


def test_chunks_and_holds_are_kept_and_read_back(tmp_path):
    clock = FakeClock()
    target = HOME + [20, -15, 10, 5, -20, 30, -40]
    steps = np.arange(1, 9)[:, None]
    policy = as_policy(lambda image, state: state + np.clip(target - state, -steps, steps))
    controller = Controller(
        FakeRobot(clock), policy, MYCOBOT_280.limits, n_action_steps=4, clock=clock, executor=FakeExecutor(clock, 0.03)
    )
    log = RunLog(controller)
    controller.observers = [log]
    start = clock.now()
    at_time(controller, {1.0: lambda: controller.emergency_stop("button"), 2.5: controller.reset})
    report = controller.run(duration=5)

    log.run(start).write(tmp_path)
    run = Run.read(tmp_path, 7)
    assert len(run.chunks) == report.chunks
    assert all(chunk.positions.shape == (len(chunk.times), 7) for chunk in run.chunks)
    assert run.chunks[-1].positions[-1] == pytest.approx(target, abs=1e-3)
    (hold,) = (hold for hold in run.holds if "button" in hold.reason)
    assert (hold.start, hold.end) == pytest.approx((1.0, 2.5), abs=0.05)
    assert not any(hold.start < chunk.times[1] - 0.05 < hold.end for chunk in run.chunks if chunk.times[1] > 1.5)
