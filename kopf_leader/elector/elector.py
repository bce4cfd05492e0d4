"""A candidate for code that runs on asyncio and not in kopf: the same machine and driver, in a thread of theirs, which
all elections of a process share.

A loop that the user blocks does not lose the Lease, as renewals do not need it. What must be known about the user's
code is when nothing of it runs any more; `standings()` and `run()` are two ways to say so.
"""

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, Unpack

from kopf_leader.elector.candidacy import Candidacy, prepare, release_timeout, stand
from kopf_leader.elector.guardian import dismiss, guard
from kopf_leader.elector.seat import LOOK, Seat
from kopf_leader.elector.standings import Leading, Standing
from kopf_leader.elector.waiting import join
from kopf_leader.errors import ElectionDied, NotLeader

logger = logging.getLogger("kopf_leader")

Result = TypeVar("Result")
Work: TypeAlias = Callable[[Leading[asyncio.Event]], Coroutine[Any, Any, Result]]


class Elector:
    """A candidate for the Lease `name`, for as long as the `async with` block lasts.

        async with Elector("my-job", namespace="default") as elector:
            async for standing in elector.standings():
                match standing:
                    case Leading(term=term): ...   # begin to work
                    case Stopping(): ...           # stop, and come back: then the Lease is released
                    case Standby(holder=holder): ...

    or, for a coroutine that is started with each term and cancelled at its end, `await elector.run(function)`.

    `client` says how to reach the Lease: None for the kubeconfig or the pod's service account; an object or the name of
    a library, or a callable that returns a `LeaseClient`, as for `enable(client=…)`. The other keywords, and their
    defaults, are those of `Candidacy`. Raises `SettingsError` for values that break a rule (L18).

    Leaving the block says that nothing of the work runs any more; only what `run()` has begun, and minds in another
    task, is ended first. It releases the Lease and waits for the confirmation, until the Lease would have expired at
    the latest, also when it is cancelled.

    If the work is not over at the exit point (`drain_timeout` after it was told, at four fifths between renew deadline
    and lease duration at the latest), the process logs the stacks and exits with status 1, without a release (L12):
    somebody else is about to lead, and nothing else keeps the work from going on beside them.
    """

    def __init__(self, name: str, **candidacy: Unpack[Candidacy]) -> None:
        self._settings, self._client = prepare(name, candidacy)
        self._entered = False
        self._left = False
        self._iterating: Callable[[], object] = lambda: None

    @property
    def identity(self) -> str:
        """Who this candidate is, in the Lease and in logs."""
        return self._settings.identity

    async def __aenter__(self) -> Self:
        if self._entered:
            raise RuntimeError("An Elector stands once: make a new one.")
        self._entered = True
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._seat: Seat[asyncio.Event] = Seat(
            self._settings,
            make_event=asyncio.Event,
            tell=lambda event: self._call(event.set),
            changed=lambda: self._call(self._woken.set),
            tasks=lambda: asyncio.all_tasks(self._loop),
        )
        self._seat.election = stand(self._settings, self._client, self._seat)
        self._seat.election.start()
        try:
            guard(self._seat)
        except BaseException:
            self._seat.leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._woken.set()
        self._seat.leave()
        try:
            if not await join(self._seat.election, release_timeout(self._settings)):
                logger.warning("The Lease may not have been given back: the next leader waits until it expires.")
        finally:
            dismiss(self._seat)

    def standings(self) -> AsyncIterator[Standing[asyncio.Event]]:
        """Where this candidate stands, each time that it changes: the newest, without a backlog.

        A `Leading` is always followed by a `Stopping`, unless the block is left before. Coming back from the `Stopping`
        says that nothing of the term runs any more: then, and never before, the Lease is released. It may be given
        before the work that began with `Leading` was noticed to end: stop it there.

        One loop at a time. Raises `ElectionDied` when the election has ended by a defect, and RuntimeError when it is
        used outside of the block or twice at once. Cancellation while waiting loses nothing.
        """
        if not self._entered:
            raise RuntimeError("Enter the Elector first: async with Elector(…) as elector.")
        if self._iterating() is not None:
            raise RuntimeError("The standings go to one loop at a time, or nobody could tell when the work is over.")
        standings = _Standings(self)
        self._iterating = weakref.ref(standings)
        return standings

    async def run(self, function: Work[Result]) -> Result:
        """Run `function(leading)` as a task in each term, until it ends by itself; what it returns or raises.

        When the term has to end, the task is cancelled: it may clean up, and the Lease is released when it is over. It
        is cancelled once more at the drain time-out, or when half of the time between renew deadline and lease duration
        has passed (L12). What ends so, returns after the end of its term, or raises the `NotLeader` of its term, is
        started anew in the next one; one that returns before is done. Tasks and threads that it has started are its own
        to stop. Raises as `standings()` does.
        """
        standings = self.standings()
        self._seat.minded = True
        try:
            return await self._run(function, standings)
        finally:
            self._seat.minded = False

    async def _run(self, function: Work[Result], standings: AsyncIterator[Standing[asyncio.Event]]) -> Result:
        async for standing in standings:
            if isinstance(standing, Leading):
                task, cancelled = await self._work(function, standing)
                over = self._seat.put_down(standing)
                failure = None if task.cancelled() else task.exception()
                if failure is not None and not (over and isinstance(failure, NotLeader)):
                    raise failure
                if cancelled is not None:
                    raise cancelled
                if not over:
                    return task.result()
        raise RuntimeError("The Elector was left while its work was run.")

    async def _work(
        self, function: Work[Result], leading: Leading[asyncio.Event]
    ) -> tuple["asyncio.Task[Result]", asyncio.CancelledError | None]:
        """Run it to its end, whatever that is; and the cancellation from outside, which went to the task, if any."""
        task = asyncio.create_task(function(leading), name=f"work in the term {leading.term.token}")
        pressing = asyncio.create_task(self._press(task, leading))
        cancelled: asyncio.CancelledError | None = None
        while pending := {each for each in (task, pressing) if not each.done()}:
            if task.done():
                pressing.cancel()
            try:
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                cancelled = error
                task.cancel()
        return task, cancelled

    async def _press(self, task: "asyncio.Task[Any]", leading: Leading[asyncio.Event]) -> None:
        """Cancel the task when the term has to end, and at the point of cancelling."""
        await leading.ended.wait()
        task.cancel()
        await asyncio.sleep(self._settings.last_grace / 4)  # two at once would come as one
        while (stop := self._seat.stop_of(leading)) is not None:
            left = stop.cancel_at - leading.term.clock()
            if left <= 0:
                task.cancel()
                return
            await asyncio.sleep(min(left, LOOK))  # timers stand still while the machine is suspended

    async def _next(self, last: Standing[asyncio.Event] | None) -> Standing[asyncio.Event]:
        while True:
            self._woken.clear()
            if self._left:
                raise StopAsyncIteration
            standing = self._seat.next(last)
            if standing is not None:
                return standing
            if self._seat.dead:
                raise ElectionDied(self._settings.name)
            await self._woken.wait()

    def _call(self, function: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(function)


class _Standings:
    """One loop over the standings; no generator, so that a cancelled wait does not end it."""

    def __init__(self, elector: Elector) -> None:
        self._elector = elector
        self._last: Standing[asyncio.Event] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Standing[asyncio.Event]:
        self._last = await self._elector._next(self._last)  # noqa: SLF001 (of this module)
        return self._last
