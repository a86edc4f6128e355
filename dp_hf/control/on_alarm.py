"""What happens when a policy that watches itself does not know what it does: one rule, whoever drives."""

from typing import TYPE_CHECKING, Literal, get_args

from dp_hf.alarm.limits import AlarmLimits
from dp_hf.alarm.watch import StepsSince, Watch, WatchedPolicy, why_unwatched
from dp_hf.control.robot import Person
from dp_hf.errors import UserError
from dp_hf.pipelines.execution import Execution

if TYPE_CHECKING:
    from dp_hf.control.controller import Controller
    from dp_hf.control.planner import Policy
    from dp_hf.control.policy_settings import PolicySettings

Answer = Literal["hold", "retry", "person", "end", "off"]
# Tries from the start pose, after which the arm is held.
RETRIES = 3
_IN_WORDS = {
    "hold": "the arm is held: r goes on, t hands it to a person",
    "retry": f"the arm goes back to where the run began and tries again, {RETRIES} times at most",
    "person": "the arm is handed to the person: t gives it back",
    "end": "the run ends",
}


class OnAlarm:
    """One answer to alarms.

    Args:
        answer: the arm is held; goes back to where the run began and tries again, and is held after `RETRIES`; is held,
            and handed to its person; the run ends; nothing is watched.

    Raises:
        UserError: there is no such answer.
    """

    def __init__(self, answer: str):
        if answer not in get_args(Answer):
            raise UserError(f"on_alarm is one of {', '.join(get_args(Answer))}, not {answer!r}")
        self.answer = answer

    @property
    def retries(self) -> int:
        """Of the controller."""
        return RETRIES if self.answer == "retry" else 0

    def watched(
        self,
        policy: "Policy",
        settings: "PolicySettings",
        execution: Execution,
        rate: float,
        alarm: AlarmLimits | None,
        why_none: str = "the policy has no limits (dp-hf calibrate-alarm)",
    ) -> tuple[WatchedPolicy | None, str]:
        """The policy, watched where it can be; and what is to be said of that.

        Args:
            policy, settings: of a pipeline.
            execution, rate: how its chunks are executed.
            alarm: of the pipeline.
            why_none: it has none.
        """
        if self.answer == "off":
            return None, "alarm: off, as asked for"
        reason = (
            why_none if alarm is None else why_unwatched(alarm, execution.n_action_steps, execution.temporal_ensemble)
        )
        if alarm is None or reason is not None:
            return None, f"alarm: off, {reason}"
        steps = StepsSince(rate, execution.n_action_steps)
        return WatchedPolicy(
            policy, Watch.of(alarm, settings, rate), steps
        ), f"alarm: on, then {_IN_WORDS[self.answer]}"

    def require_possible(self, person: Person | None) -> None:
        """Refuses to call a person unasked who is not there, or who has to hold the arm before it is theirs."""
        if self.answer == "person" and (person is None or person.guides):
            why = "nobody can take this arm" if person is None else f"the arm is handed to {person.who}"
            raise UserError(f"--on_alarm person: {why}; give --on_alarm hold, after which t hands it over")

    def __call__(self, controller: "Controller") -> None:
        """Does what is to be done beside holding the arm and trying again; at every tick."""
        if (doubted := controller.takeover.doubted) is None:
            return
        if self.answer == "end":
            controller.stop(doubted)
        elif self.answer == "person":
            controller.call_person()
