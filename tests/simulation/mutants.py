"""The driver with one flaw each: what it must not do with the machine's decisions. Schedules must find each of them."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

from kopf_leader.clients.base import JSON
from kopf_leader.elector.driver import STANDBYS_NAP, Driver
from kopf_leader.elector.requests import Requests
from kopf_leader.elector.watch import Watcher
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import Sight, sight_of
from kopf_leader.protocol.state import Accepted, Event, Rejected, Seen, Tick, Unknown


class Telling(Driver):
    """A driver that tells the machine something else than what has come."""

    def post(self, event: Event) -> None:
        super().post(self.twist(event))

    def twist(self, event: Event) -> Event:
        return event

    def restamp(self, event: Any) -> Any:
        """Count the write in flight from now on, as if it had been sent now."""
        flight = self.state.flight
        if flight is None or flight.record != event.write.record:
            return event
        later = replace(flight, sent_at=self._clock.time())
        self.state = replace(self.state, flight=later)
        return replace(event, write=later)


class SwallowsFailures(Telling):
    """An unknown outcome is told as accepted, with what was sent for what is stored."""

    def twist(self, event: Event) -> Event:
        if not isinstance(event, Unknown) or event.write.base is None:
            return event
        write, base = event.write, event.write.base
        assert base is not None
        return Accepted(write, Sight(version=base.version + 1, uid=base.uid, record=write.record, lease=base.lease))


class CountsFromTheReply(Telling):
    """As client-go does: a slow reply prolongs the claim."""

    def twist(self, event: Event) -> Event:
        return self.restamp(event) if isinstance(event, Accepted) else event


class CountsFromTheLogin(Telling):
    """`sent_at` is taken again when a log-in has come in between."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.logged_in = False
        login = self._client.login

        async def login_and_remember() -> None:
            await login()
            self.logged_in = True

        self._client.login = login_and_remember  # type: ignore[method-assign]

    def twist(self, event: Event) -> Event:
        if isinstance(event, Accepted) and self.logged_in:
            self.logged_in = False
            return self.restamp(event)
        return event


class RejectsTimeouts(Telling):
    """A time-out is told as a refusal, as if the write could not land any more."""

    def twist(self, event: Event) -> Event:
        return Rejected(event.write) if isinstance(event, Unknown) else event


class BelievesRefusals(Driver):
    """After a 409 nothing is compared: what had landed all the same is not known again."""

    def _take(self, event: Event) -> None:
        super()._take(event)
        if isinstance(event, Rejected):
            self.state = replace(self.state, refused=None, read_after=None)


class SendsTwice(Driver):
    """A write is sent once more when its connection has broken."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        replace_ = self._client.replace

        async def twice(body: JSON) -> JSON:
            try:
                return await replace_(body)
            except LeaseAPIError as error:
                if error.status is not None:
                    raise
                return await replace_(body)

        self._client.replace = twice  # type: ignore[method-assign]


class WatchesOnce(Driver):
    """A watch that has ended is not opened again."""

    def _watch(self) -> None:
        class Once(Watcher):
            async def run(self) -> None:
                await self._requests.read()
                with contextlib.suppress(LeaseAPIError):
                    await self._listen()
                await asyncio.get_running_loop().create_future()

        self._watcher = asyncio.create_task(Once(self._client, self._requests).run())
        self._keep(self._watcher)


class ReadsOnce(Driver):
    """A read that fails is not repeated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

        class Once(Requests):
            async def read(self) -> JSON | None:
                try:
                    lease = await self._logged_in(self._client.read)
                except LeaseAPIError:
                    return None
                self.post(Seen(sight_of(lease), self._clock.time()))
                return lease

        self._requests.__class__ = Once


class WaitsForEver(Driver):
    """A request has no time-out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        settings = self._requests._settings

        class Patient:
            attempt_timeout = 1e9

            def __getattr__(self, name: str) -> Any:
                return getattr(settings, name)

        self._requests._settings = Patient()  # type: ignore[assignment]


class BelievesCopies(Telling):
    """Every event of the watch is told as if it came right after the version that it was made on."""

    def twist(self, event: Event) -> Event:
        return replace(event, after=event.sight.over) if isinstance(event, Seen) and event.after is not None else event


class KeepsTheClaim(Driver):
    """The claim is moved forward only: it stays alive when the term is over."""

    def _move_claim(self) -> None:
        term, before = self._term, -inf if self._term is None else self._term.claim.deadline
        super()._move_claim()
        if term is not None:
            term.claim.deadline = max(term.claim.deadline, before)


class MeasuresWithTheLoop(Driver):
    """Time is the event loop's, which stands still while the machine is suspended (L5)."""

    def __init__(self, **options: Any) -> None:
        clock = options["clock"]

        class LoopTime:
            def time(self) -> float:
                running = options["observers"][0].owner
                return float(running.time(clock._world.now))

            def utc(self) -> int:
                return int(clock.utc())

        super().__init__(**{**options, "clock": LoopTime()})


class Sleeps(Driver):
    """A leader trusts its timers and takes no nap of half a second, which a suspended machine needs."""

    async def _next_event(self) -> Event:
        pause = min(self._wake_at - self._clock.time(), STANDBYS_NAP)
        try:
            async with asyncio.timeout(max(pause, 0.0)):
                return await self._events.get()
        except TimeoutError:
            return Tick()


class LeavesItsClient(Driver):
    """Ends without closing the client that it was given."""

    async def _close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._observer.end()


MUTANTS: dict[str, Callable[..., Driver]] = {
    "outcome swallowed as accepted": SwallowsFailures,
    "sent_at from the reply": CountsFromTheReply,
    "sent_at after the log-in": CountsFromTheLogin,
    "time-out reported as rejected": RejectsTimeouts,
    "409 taken as nothing landed": BelievesRefusals,
    "second copy after a broken connection": SendsTwice,
    "watch never reopened": WatchesOnce,
    "read tried once": ReadsOnce,
    "no time-out": WaitsForEver,
    "copy told as a write of the holder": BelievesCopies,
    "claim left alive": KeepsTheClaim,
    "time of the loop": MeasuresWithTheLoop,
    "no nap": Sleeps,
    "client left open": LeavesItsClient,
}
