"""Whose turn it is: the policy's, or a person's who acts in its place where it fails (Kelly et al. 2019, HG-DAgger,
arXiv:1810.02890)."""

import logging
from typing import Protocol

import numpy as np

from dp_hf.arms.limits import SafetyLimits
from dp_hf.control.robot import Person, Stamped
from dp_hf.control.trajectory import Chunk, Trajectory, hand_over
from dp_hf.episodes.format import Actor
from dp_hf.episodes.run_file import Judged
from dp_hf.errors import UserError

logger = logging.getLogger(__name__)

# Seconds for which an arm that a person has guided stands still before it is commanded again.
SETTLE = 0.3


class Doubt(Protocol):
    """What watches a policy, such as `dp_hf.alarm.watch.Watch`.

    Attributes:
        reason: why the arm is to be held, if it is.
        scores: of the latest prediction, in a mapping of its own; None before the first.
    """

    @property
    def reason(self) -> str | None: ...

    @property
    def scores(self) -> Judged | None: ...

    def reset(self) -> None:
        """The policy has another chance."""


class Takeover:
    """Calls the person and dismisses them; only an arm that stands changes hands.

    Called, the arm brakes, and then the person acts. Dismissed, one who commands the arm leaves it where it was
    commanded to; after one who guided it, nothing is sent until it is measured to stand still, and it goes on from
    there.

    Args:
        person: of the robot; None where nobody can take the arm.
        limits: a number stands still while it moves by less than a quarter of its `start_tolerance`.
        doubt: says when the policy does not know what it does; None where nothing does.

    Attributes:
        is_called: what is wanted; may be set from any thread.
        count: how often the person took the arm.
    """

    def __init__(self, person: Person | None, limits: SafetyLimits, doubt: Doubt | None = None):
        self.person = person
        self.limits = limits
        self.doubt = doubt
        self.is_called = False
        self.count = 0
        self._acts = False
        self._leaves_since: float | None = None
        self._stood_at: np.ndarray | None = None
        self._command: Stamped[np.ndarray] | None = None
        self._way: Trajectory | None = None

    def call(self) -> None:
        """The person is to have the arm; callable from any thread, as the next two.

        Raises:
            UserError: nobody can take it.
        """
        if self.person is None:
            raise UserError("nobody can take this arm over: its robot has no `person`, or this is a dry run")
        self.is_called = True

    def dismiss(self) -> None:
        """The policy is to have it, and is trusted after a person who was called."""
        if self.is_called:
            self.trust()
        self.is_called = False

    def toggle(self) -> None:
        """Calls or dismisses; says where nobody can take the arm."""
        if self.is_called:
            self.dismiss()
        elif self.person is None:
            logger.warning("nobody can take this arm over, or this is a dry run")
        else:
            self.call()

    def trust(self) -> None:
        """The policy has another chance."""
        if self.doubt is not None:
            self.doubt.reset()

    @property
    def doubted(self) -> str | None:
        """Why the policy may not act: it does not know what it does. A person who is called may act."""
        return None if self.doubt is None or self.is_called else self.doubt.reason

    @property
    def is_guided(self) -> bool:
        """Whether the arm is, or just was, moved by a person without commands from here: none may be sent."""
        guides = self.person is not None and self.person.guides
        return guides and (self._acts or self._leaves_since is not None)

    def next(self, now: float, is_held: bool, is_at_rest: bool, measured: np.ndarray | None) -> Actor:
        """Hands the arm over or back where that is due, at every tick; who acts now.

        Args:
            is_held: something forbids to move.
            is_at_rest: no command is on its way to another.
            measured: (n,) the arm's fresh state, or None.
        """
        if self.person is None:
            return "nobody" if is_held else "policy"
        may_take = is_at_rest and (self.person.guides or not is_held)
        if self.is_called and not self._acts and may_take:
            self._take(self.person)
        elif not self.is_called and self._acts:
            self._give_back(self.person, now)
        if self._leaves_since is not None:
            self._settle(now, self._leaves_since, measured)
        if self._acts:
            return "nobody" if is_held and not self.person.guides else "person"
        return "nobody" if is_held or self.is_called or self._leaves_since is not None else "policy"

    def way(
        self, now: float, position: np.ndarray, velocity: np.ndarray, sent_at: float, period: float
    ) -> Trajectory | None:
        """Where a person who commands the arm leads it, from the last command, its velocity and its time `sent_at`."""
        assert self.person is not None
        command = self.person.read_command()
        if command is not None and command is not self._command:
            wanted = np.clip(np.asarray(command.value, np.float64), self.limits.lowest, self.limits.highest)
            chunk = Chunk(np.array([command.timestamp]), wanted[None])
            self._way = hand_over(chunk, period, position, velocity, sent_at, now)
        self._command = command
        return self._way

    def end(self) -> None:
        """Takes the arm from a person who has it, at the end of a run."""
        self.is_called = False
        if self._acts and self.person is not None:
            self._acts = False
            self.person.give_back()

    def _take(self, person: Person) -> None:
        person.take()
        self._acts, self._leaves_since = True, None
        self._command = self._way = None
        self.count += 1
        logger.warning("a person has the arm")

    def _give_back(self, person: Person, now: float) -> None:
        self._acts = False
        self._leaves_since, self._stood_at = (now, None) if person.guides else (None, None)
        person.give_back()
        logger.warning("the policy has the arm")

    def _settle(self, now: float, since: float, measured: np.ndarray | None) -> None:
        """Ends the leaving once the arm has stood still for long enough."""
        moved = None if measured is None or self._stood_at is None else np.abs(measured - self._stood_at)
        if moved is None or (moved > self.limits.start_tolerance / 4).any():
            self._leaves_since, self._stood_at = now, measured
        elif now - since >= SETTLE:
            self._leaves_since = None
