"""What the election looked like last, for whoever asks from another thread.

The election's thread puts a finished picture in place with each step; a reader takes the whole picture and looks at
the clock itself. So a dead or hanging election shows: its picture grows old (L7).
"""

from typing import NamedTuple

from kopf_leader.elector.clock import Clock
from kopf_leader.elector.observer import Observer, Request
from kopf_leader.protocol.machine import claim_until
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Instant, State


class Picture(NamedTuple):
    """One moment of the election. Times are in seconds on the election's clock."""

    state: State = State()
    failing_since: float | None = None
    """Since when no request has succeeded, although some were sent."""


class View(Observer):
    """Keeps the latest picture. Any thread may read."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.picture = Picture()

    def stepped(self, before: State, after: State, now: Instant) -> None:  # noqa: ARG002 (the observer's shape)
        self.picture = self.picture._replace(state=after)

    def requested(self, request: Request) -> None:
        if request.error is None or request.absent:
            self.picture = self.picture._replace(failing_since=None)
            return
        if request.code in ("404", "409"):
            return  # part of the game: somebody else was faster
        if self.picture.failing_since is None:
            self.picture = self.picture._replace(failing_since=self.clock.time())

    @property
    def claim_left(self) -> float:
        """For how many seconds from now handlers may start, if nothing is renewed any more; 0 while standing by."""
        state = self.picture.state
        if state.reign is None or state.closing is not None:
            return 0.0
        return max(0.0, claim_until(self.settings, state) - self.clock.time())

    @property
    def overdue(self) -> float:
        """For how many seconds a term has outlived its Lease: it should have closed, drained or exited before."""
        reign = self.picture.state.reign
        return 0.0 if reign is None else max(0.0, self.clock.time() - reign.t0 - self.settings.lease_duration)

    @property
    def last_renewal_age(self) -> float | None:
        """Seconds since the last accepted renewal was sent; None while this process does not hold the Lease."""
        hold = self.picture.state.hold
        return None if hold is None else self.clock.time() - hold.write.sent_at

    @property
    def failing_for(self) -> float:
        """For how many seconds every request has failed."""
        since = self.picture.failing_since
        return 0.0 if since is None else self.clock.time() - since
