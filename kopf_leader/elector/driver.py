"""The driver: performs the machine's actions on the world and feeds back what came of them.

One coroutine takes the events in, one at a time; requests run beside it and end in exactly one event each. All of it
lives on one event loop. It raises nothing for what the world does; a mistake in the code itself ends it, and then the
claim runs out by the clock (L7).
"""

import asyncio
from collections.abc import Iterable
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from kopf_leader.clients.base import LeaseClient
from kopf_leader.elector.clock import Clock
from kopf_leader.elector.election import Follower
from kopf_leader.elector.observer import Observer, Observers, WatchEnd
from kopf_leader.elector.reports import Reporter
from kopf_leader.elector.requests import Requests
from kopf_leader.elector.watch import Watcher
from kopf_leader.protocol.machine import claim_until, step
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import (
    Action,
    Event,
    Exit,
    Finish,
    Instant,
    Lapsed,
    Read,
    Send,
    StartLeading,
    State,
    StopLeading,
    Tick,
    WakeAt,
    Watch,
)
from kopf_leader.protocol.term import Claim, Term

if TYPE_CHECKING:
    from kopf_leader.elector.witness import Witness

# Timers of an event loop stand still while the machine is suspended, the clock of L5 does not: a leader looks at it
# at least this often (seconds).
LEADERS_NAP = 0.5
STANDBYS_NAP = 60.0  # for what is repeated once a minute: the warnings of those who wait


class Driver:
    """One candidate at work. Not thread-safe: see `ElectionThread`."""

    def __init__(
        self,
        *,
        settings: Settings,
        client: LeaseClient,
        follower: Follower,
        clock: Clock,
        observers: Iterable[Observer] = (),
        random: Random | None = None,
    ) -> None:
        self.settings = settings
        self.state = State()
        self._client = client
        self._follower = follower
        self._clock = clock
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._wake_at = 0.0
        self._term: Term | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._holder: str | None = None
        self._observer = Observers([Reporter(settings, clock), *observers])
        self._requests = Requests(
            settings=settings,
            client=client,
            clock=clock,
            post=self.post,
            observer=self._observer,
            random=random or Random(),  # noqa: S311 (jitter)
        )
        self._witness: Witness | None = None
        if settings.takeover == "evidence":
            from kopf_leader.elector import witness  # noqa: PLC0415 (for who goes by evidence only)

            self._witness = witness.Witness(settings, client, post=self.post, pause=self._requests.retry_pause)
        self._watcher: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None

    def post(self, event: Event) -> None:
        """Tell the machine something; it is taken in by `run`, in order."""
        self._events.put_nowait(event)

    async def run(self) -> None:
        """Stand as a candidate until resigned for good. Leaves no task and no connection behind, even cancelled."""
        try:
            self._observer.begin(self._client)
            if self._witness is not None:
                self._witness.begin()
            self._take(Tick())
            while not self.state.over:
                event = await self._next_event()
                if self._failure is not None:
                    raise self._failure
                self._take(event)
        finally:
            await self._clean_up()

    async def _next_event(self) -> Event:
        if self._term is not None and self._term.claim.lapsed and self._claimed:
            return Lapsed(self._term.token)
        nap = STANDBYS_NAP if self.state.reign is None else LEADERS_NAP
        pause = min(self._wake_at - self._clock.time(), nap)
        if not self._events.empty() or pause <= 0:
            await asyncio.sleep(0)  # requests and watch must get their turn, however many events are waiting
            return Tick() if self._events.empty() else self._events.get_nowait()
        try:
            async with asyncio.timeout(pause):
                return await self._events.get()
        except TimeoutError:
            return Tick()

    def _take(self, event: Event) -> None:
        now = Instant(self._clock.time(), self._clock.utc())
        before = self.state
        self.state, actions = step(self.settings, before, now, event)
        self._move_claim()
        for action in actions:
            self._perform(action, now)
        if self.state.sight is not before.sight or self.state.known != before.known:
            self._tell_holder()
        self._observer.stepped(before, self.state, now)
        if self._witness is not None:
            self._witness.look(self.state)

    @property
    def _claimed(self) -> bool:
        return claim_until(self.settings, self.state) > -inf

    def _move_claim(self) -> None:
        """The claim is all that other threads see of the deadline: a number, moved after every step (L7)."""
        if self._term is not None:
            self._term.claim.deadline = claim_until(self.settings, self.state)
            if self.state.reign is None:  # drained: a term begins in a later step, as it needs a write of its own
                self._term = None

    def _perform(self, action: Action, now: Instant) -> None:
        match action:
            case WakeAt(at=at):
                self._wake_at = at
            case Send():
                self._keep(asyncio.create_task(self._requests.send(action)))
            case Read():
                self._keep(asyncio.create_task(self._requests.read()))
            case Watch():
                self._watch()
            case StartLeading(token=token):
                self._start_leading(token)
            case StopLeading():
                self._follower.stop_leading(action)
                self._observer.stopped(action, self.state, now)
            case Exit():
                self._follower.exit_process(action)
            case Finish():
                pass

    def _start_leading(self, token: int) -> None:
        claim = Claim(claim_until(self.settings, self.state))
        lease = f"{self.settings.namespace}/{self.settings.name}"
        self._term = Term(
            lease=lease, identity=self.settings.identity, token=token, claim=claim, clock=self._clock.time
        )
        self._follower.start_leading(self._term)
        self._observer.started(self._term)

    def _tell_holder(self) -> None:
        holder = self.state.sight.record.holder if self.state.sight is not None else ""
        if holder != self._holder:
            self._holder = holder
            self._follower.new_leader(holder)

    def _watch(self) -> None:
        if self._watcher is not None:
            self._dismiss(self._watcher)
            self._observer.watch_ended(WatchEnd.DEAF)
        self._watcher = asyncio.create_task(Watcher(self._client, self._requests).run())
        self._keep(self._watcher)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _dismiss(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task: how it ends is of no concern any more."""
        task.remove_done_callback(self._ended)
        task.add_done_callback(self._tasks.discard)
        task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        """A task has ended by itself; one that was lost ends the election, which would wait for it for ever (L7)."""
        self._tasks.discard(task)
        failure = RuntimeError("A request was cut off.") if task.cancelled() else task.exception()
        if failure is not None:
            self._failure = failure
            self.post(Tick())  # so that it is noticed at once

    async def _clean_up(self) -> None:
        """Cancel what is left and wait for it, even when cancelled once more meanwhile (L15)."""
        for task in list(self._tasks):
            self._dismiss(task)
        closing = asyncio.ensure_future(self._close())
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        closing.result()

    async def _close(self) -> None:
        try:
            if self._witness is not None:
                await self._witness.close(over=self.state.over)
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._observer.end()
        finally:
            await self._client.close()
