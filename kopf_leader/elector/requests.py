"""Requests for the one Lease: each is bounded in time and ends in exactly one event for the machine."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from kopf_leader.clients.base import JSON, LeaseClient
from kopf_leader.elector.clock import Clock
from kopf_leader.elector.observer import Observers, Request
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import sight_of, version_of
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Absent, Accepted, Denied, Event, Kind, Rejected, Seen, Send, Unknown

JITTER = 0.2  # of the retry period, to both sides: candidates that lost the API server together come back apart


@contextmanager
def given_up_within() -> Iterator[None]:
    """Take a cancellation that nobody here has asked for as a failure: it came from a client, or a log-in handler."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LeaseAPIError("The request for the Lease was given up from within its client.") from error


class Requests:
    """Sends what the machine decides and tells it what came of it."""

    def __init__(
        self,
        *,
        settings: Settings,
        client: LeaseClient,
        clock: Clock,
        post: Callable[[Event], None],
        observer: Observers,
        random: Random,
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._random = random
        self._login = asyncio.Lock()
        self._logins = 0
        self.post = post
        self.observer = observer

    async def send(self, action: Send) -> None:
        """Send one write; tells exactly one of its four outcomes, a time-out included (L4)."""
        write = action.write
        request = self._client.create if write.kind is Kind.CREATE else self._client.replace
        left = write.sent_at + self._settings.attempt_timeout - self._clock.time()
        try:
            async with asyncio.timeout(max(left, 0.0)):  # what has not left by then is dropped
                lease = await self._logged_in(lambda: request(action.body))
            self.post(Accepted(write, sight_of(lease)))
            self._tell(write.kind, write.sent_at)
        except LeaseAPIError as error:
            self._tell(write.kind, write.sent_at, error)
            await self._pause_asked_for(error)
            self.post(Denied(write) if error.denied else Rejected(write) if error.refused else Unknown(write))
        except Exception as error:  # noqa: BLE001 (a time-out, nonsense in the answer, a mistake in a client: nobody knows)
            self._tell(write.kind, write.sent_at, error)
            self.post(Unknown(write))

    async def read(self) -> JSON | None:
        """Read the Lease until an answer comes, and tell it; what was read, or None if the Lease is absent (L17)."""
        while True:
            sent_at = self._clock.time()
            error: Exception
            try:
                async with asyncio.timeout(self._settings.attempt_timeout):
                    lease = await self._logged_in(self._client.read)
                self.post(Seen(sight_of(lease), sent_at))
                self._tell(None, sent_at)
            except LeaseAPIError as api_error:
                if api_error.status == 404:
                    self.post(Absent(sent_at=sent_at))
                    self._tell(None, sent_at, api_error)
                    return None
                error = api_error
            except Exception as other:  # noqa: BLE001 (as above)
                error = other
            else:
                return lease
            self._tell(None, sent_at, error)
            await self.retry_pause(error)

    def stopwatch(self) -> Callable[[], bool]:
        """Start it; asked later, it tells whether less than one retry_period has passed since."""
        started = self._clock.time()
        return lambda: self._clock.time() < started + self._settings.retry_period

    async def retry_pause(self, error: Exception | None = None) -> None:
        """Wait one retry_period with jitter, or as long as the server asked for (L17)."""
        period = self._settings.retry_period * self._random.uniform(1 - JITTER, 1 + JITTER)
        await asyncio.sleep(max(period, self._asked_for(error)))

    def seen(self, lease: JSON, *, after: int | None = None) -> int:
        """Tell of a Lease that a watch brought, right after that version of it; its own. Raises ValueError."""
        sight = sight_of(lease)
        self.post(Seen(sight, after=after))
        return sight.version

    def gone(self, lease: JSON) -> int:
        """Tell of a deletion that a watch brought; its resourceVersion. Raises ValueError if it has none."""
        version = version_of(lease)
        self.post(Absent(version=version))
        return version

    def traced_from(self, lease: JSON) -> int | None:
        """From which earlier version on a watch tells whether this is no copy of the holder's write (L6)."""
        if self._settings.takeover != "evidence":
            return None
        sight = sight_of(lease)
        return sight.over if sight.over is not None and sight.over < sight.version else None

    def _tell(self, kind: Kind | None, since: float, error: Exception | None = None) -> None:
        verb = "get" if kind is None else "create" if kind is Kind.CREATE else "update"
        seconds = self._clock.time() - since
        self.observer.requested(Request(verb=verb, kind=kind, seconds=seconds, error=error))

    async def _logged_in(self, request: Callable[[], Coroutine[Any, Any, JSON]]) -> JSON:
        """Send a request; after a 401, which means that nothing was done, log in again and send it once more (L17)."""
        logins = self._logins
        with given_up_within():
            try:
                return await request()
            except LeaseAPIError as error:
                if error.status != 401:
                    raise
                async with self._login:
                    if self._logins == logins:  # else a request beside this one has just logged in
                        self.observer.logging_in(error)
                        await self._client.login()
                        self._logins += 1
                return await request()

    async def _pause_asked_for(self, error: LeaseAPIError) -> None:
        """Keep the answer back for as long as the server wants to be left alone: nothing is written meanwhile (L17)."""
        if (pause := self._asked_for(error)) > 0:
            await asyncio.sleep(pause)

    def _asked_for(self, error: Exception | None) -> float:
        asked = error.retry_after if isinstance(error, LeaseAPIError) and error.retry_after else 0.0
        return min(asked, self._settings.lease_duration)
