"""The election of one: with `enabled=False` the same path is taken by a leader that nobody questions (L19)."""

import math

from kopf_leader.elector.clock import Clock, SystemClock
from kopf_leader.elector.election import Follower
from kopf_leader.protocol.state import Reason, StopLeading
from kopf_leader.protocol.term import Claim, Term


class AlwaysLeader:
    """An `Election` without a Lease: leads from the start until it leaves, and sets no bounds to the draining."""

    TOKEN = 0

    def __init__(self, *, identity: str, follower: Follower, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.identity = identity
        self._follower = follower
        self._leading = False

    @property
    def alive(self) -> bool:
        return True

    def start(self) -> None:
        self._leading = True
        claim = Claim(math.inf)
        self._follower.start_leading(
            Term(lease="", identity=self.identity, token=self.TOKEN, claim=claim, clock=self.clock.time)
        )
        self._follower.new_leader(self.identity)

    def resign(self, *, leave: bool, away: float = 0.0) -> None:  # noqa: ARG002 (the protocol's shape)
        """Plain kopf decides how long its handlers may take at exit: nothing is cancelled from here."""
        if self._leading and leave:
            self._leading = False
            self._follower.stop_leading(StopLeading(self.TOKEN, Reason.LEAVING, math.inf, math.inf))

    def drained(self, token: int) -> None:
        """Nothing waits for it."""

    def join(self, timeout: float | None = None) -> bool:  # noqa: ARG002 (the protocol's shape)
        return True
