"""Who looks on: what an election tells those who only want to know, for logs, metrics and Kubernetes Events.

An observer decides nothing and delays nothing. One that fails is left out of the election's business: its mistake is
logged once, and the election goes on.
"""

import asyncio
import enum
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kopf_leader.clients.base import LeaseClient
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.state import Instant, Kind, State, StopLeading
from kopf_leader.protocol.term import Term

logger = logging.getLogger("kopf_leader")

LAST_GRACE = 0.5  # seconds that observers get for what they have begun, once the election itself is over


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request that was answered, or given up."""

    verb: str
    """The verb that RBAC knows it by: get, create, update."""
    kind: Kind | None
    """What a write was for; None for a read."""
    seconds: float
    """From the step that decided on it, or for a read from its sending, to the answer."""
    error: Exception | None = None

    @property
    def code(self) -> str:
        """The HTTP status of a failure, "timeout", or "none" (no answer, or nonsense); "" for success."""
        if self.error is None:
            return ""
        if isinstance(self.error, LeaseAPIError) and self.error.status is not None:
            return str(self.error.status)
        timed_out = isinstance(self.error, TimeoutError) or isinstance(self.error.__cause__, TimeoutError)
        return "timeout" if timed_out else "none"

    @property
    def absent(self) -> bool:
        """Whether it is a read that found no Lease: an answer like any other."""
        return self.kind is None and isinstance(self.error, LeaseAPIError) and self.error.status == 404


class WatchEnd(enum.Enum):
    """Why the watch on the Lease is opened again."""

    ORDERLY = "ended by the server in order"
    EXPIRED = "its version was too old"
    BROKEN = "broken"
    DEAF = "it had missed a change"


class Observer:
    """Does nothing: observers override what they are interested in.

    Called in the election's thread, in order, where its event loop runs. Each method returns at once and blocks on
    nothing; `end` is the only one that may wait, for `LAST_GRACE` seconds at most.
    """

    def begin(self, client: LeaseClient) -> None:
        """The election begins, by this client."""

    def stepped(self, before: State, after: State, now: Instant) -> None:
        """The machine has made a step; what came of it (see below) has been told already."""

    def started(self, term: Term) -> None:
        """A term has begun."""

    def stopped(self, stop: StopLeading, state: State, now: Instant) -> None:
        """The term is to end. May come again for the same term, with nearer points."""

    def requested(self, request: Request) -> None:
        """A request for the Lease is over."""

    def watch_ended(self, end: WatchEnd, error: Exception | None = None) -> None:
        """The watch is over and will be opened again."""

    def logging_in(self, error: LeaseAPIError) -> None:
        """The credentials were refused, and the login handlers are about to be asked."""

    async def end(self) -> None:
        """The election is over; when this returns, its client is closed."""


class Observers(Observer):
    """Several as one; what one of them raises stops here."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._blamed: set[Observer] = set()

    def begin(self, client: LeaseClient) -> None:
        self._tell(lambda observer: observer.begin(client))

    def stepped(self, before: State, after: State, now: Instant) -> None:
        self._tell(lambda observer: observer.stepped(before, after, now))

    def started(self, term: Term) -> None:
        self._tell(lambda observer: observer.started(term))

    def stopped(self, stop: StopLeading, state: State, now: Instant) -> None:
        self._tell(lambda observer: observer.stopped(stop, state, now))

    def requested(self, request: Request) -> None:
        self._tell(lambda observer: observer.requested(request))

    def watch_ended(self, end: WatchEnd, error: Exception | None = None) -> None:
        self._tell(lambda observer: observer.watch_ended(end, error))

    def logging_in(self, error: LeaseAPIError) -> None:
        self._tell(lambda observer: observer.logging_in(error))

    async def end(self) -> None:
        try:
            async with asyncio.timeout(LAST_GRACE):
                ends = await asyncio.gather(*(each.end() for each in self._observers), return_exceptions=True)
        except TimeoutError:
            return
        for observer, result in zip(self._observers, ends, strict=True):
            if isinstance(result, Exception):
                self._blame(observer, result)

    def _tell(self, tell: Callable[[Observer], Any]) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except Exception as error:  # noqa: BLE001 (whatever it is, the election goes on)
                self._blame(observer, error)

    def _blame(self, observer: Observer, error: Exception) -> None:
        if observer not in self._blamed:
            self._blamed.add(observer)
            logger.error(
                "%s fails and goes on being told; the election is not affected: report this as a defect of it.",
                type(observer).__name__,
                exc_info=error,
            )
