"""What a warm standby holds: one stream, kept open whoever leads, and the newest body of each object in it.

kopf would close its streams on a standby and list anew at the promotion. Here its own stream is run in a task beside
(the pump), with the election's pause hidden from it, and the bodies that it brings are put on a `shelf`. At a promotion
they are given to kopf as if they had just been listed, without a request; `barrier` sees to it that nothing starts on
one that is out of date.

While somebody else leads, events go no further than here: they fill the users' indices, in the order in which they
come, and no worker of kopf's is made. Only a stream with handlers that run on every replica is passed on. While this
process leads, and until everything of its term is over, kopf gets every event and fills the indices itself.

The order of the stream is the truth, not the numbers of the versions: a listing is a consistent read, and whatever it
does not contain is gone, for which kopf gets the DELETED event that it has missed. Within an object nothing older
follows anything newer: live events go first, and what is replayed is the newest of all that has come. Between objects
kopf knows no order; what has changed last is replayed first, as it is the most likely to be waiting for a handler.
"""

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, TypeVar

from kopf_leader.elector.clock import SystemClock
from kopf_leader.gate import seam, seam_read
from kopf_leader.gate.barrier import DEAF, Barrier
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.readers import end, is_cancelled
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.gate.seen import MARK, Seen
from kopf_leader.gate.shelf import Shelf
from kopf_leader.gate.tenure import Tenure

logger = logging.getLogger("kopf_leader.gate")

T = TypeVar("T")

BACKLOG = 1000  # events that may wait for kopf; then the stream does
RETRY = 5.0  # seconds until a standby tries again what the API server has refused
TOGETHER = 50  # objects of a listing that are indexed at once


HOLD: contextvars.ContextVar["Hold | None"] = contextvars.ContextVar("kopf_leader.hold", default=None)
"""For whom kopf's stream runs, if it is a held one."""


class Hold:
    """One stream of a warm operator. On kopf's loop."""

    def __init__(
        self,
        stream: seam.Stream,
        *,
        original: Callable[[], AsyncIterator[Any]],
        parts: Parts,
        counters: Counters,
        passes: bool,
    ) -> None:
        self.stream = stream
        self.tenure: Tenure | None = None
        self.position = 0
        """The latest version seen, as a number."""
        self.ordered = True
        """Whether versions are numbers; where they are not, every promotion lists anew."""
        self._original = original
        self._parts = parts
        self._counters = counters
        self._passes = passes
        self._indexed = parts.has_indices(stream.resource)
        self._shelf = Shelf()  # what has changed last comes last
        self.broken = False
        """Whether it could not be listed or watched when that was tried last. Any thread."""
        self._listing: set[str] | None = None
        self._listing_for: Tenure | None = None  # under whom the listing has begun
        self._barrier: Barrier | None = None
        self._live: deque[tuple[Any, Barrier | None]] = deque()  # for kopf
        self._pending: dict[str, None] = {}  # uids that are still to be replayed, from the last one to the first
        self._refused: set[str] = set()  # uids that the barrier has refused last
        self._indexing: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._room = asyncio.Event()
        self._clock = SystemClock()  # goes on while the machine is suspended, unlike the loop's
        self._heard = self._clock.time()
        self._context = contextvars.copy_context()
        self._context.run(HOLD.set, self)
        self._pump: asyncio.Task[None] | None = None

    # Told by the intake.

    def promote(self, tenure: Tenure) -> None:
        """Begin a term: replay what is held, or list anew where that cannot be trusted."""
        self.tenure = tenure
        self._refused.clear()
        self._live = deque(item for item in self._live if self._stays(item[0]))
        silent = self._clock.time() - self._heard
        if self.broken:
            self.restart("it was broken")
        elif not self.ordered:
            self.restart("its versions are no numbers")
        elif silent > DEAF:
            self.restart(f"it has shown nothing for {silent:.0f} s")
        else:
            self._pending = dict.fromkeys(self._shelf)
            self._barrier = Barrier(self, settings=self._parts.settings, stream=self.stream, counters=self._counters)
            self._barrier.start()
        self._woken.set()
        self._room.set()

    def _stays(self, event: Any) -> bool:
        """Whether an event that waits still counts; for the leader what is in the store, too, and newer, does not."""
        if not seam.is_listed(event) and event["type"] != "DELETED":
            event.setdefault(MARK, Seen(None, event["type"], self))
            return self._passes
        return True

    def demote(self) -> None:
        """End the replay; the stream goes on."""
        self._pending.clear()
        self._end_barrier()

    async def close(self) -> None:
        """End the stream."""
        self.demote()
        pump, self._pump = self._pump, None
        await end(pump)
        for task in [*self._indexing.values()]:
            await end(task)

    # Told by the barrier.

    def version(self, uid: str) -> str | None:
        """The version in which the object was last seen; None if it is gone."""
        return self._shelf.version(uid)

    def restart(self, why: str) -> None:
        """Begin the stream anew, with a listing."""
        logger.debug("The stream of %s is begun anew: %s.", self.stream.resource, why)
        self._pending.clear()
        self._pump = self.create_task(self._run(self._pump))
        self._pump.add_done_callback(lambda _: self._woken.set())

    def wake(self) -> None:
        """Go on with the replay."""
        self._woken.set()

    def prefer(self, uids: Iterable[str]) -> None:
        """Replay these objects before the others, and go on."""
        for uid in [uid for uid in uids if uid in self._pending]:
            del self._pending[uid]
            self._pending[uid] = None
        self.wake()

    def refuse(self, uid: str) -> None:
        """Take note that kopf has not been given the object in this term."""
        self._refused.add(uid)

    def is_unknown(self, event: Any) -> bool:
        """Whether this is the end of an object that kopf has not been given: it would start daemons for it."""
        uid = seam_read.uid_of(event)
        refused = uid in self._refused
        self._refused.discard(uid)
        return refused and bool(event["type"] == "DELETED")

    def disorder(self) -> None:
        """Take note that versions are no numbers; what was replayed is covered by a new listing."""
        if self.ordered:
            self.ordered = False
            logger.info("Versions of %s are no numbers: it is listed anew at each promotion.", self.stream.resource)
            if self._leading and self._listing_for is not self.tenure:
                self.demote()
                self.restart("its versions are no numbers")

    def create_task(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Create a task in the context of kopf's stream, which holds the credentials, and outside of any term."""
        return asyncio.get_running_loop().create_task(coro, context=self._context.copy())

    def bodies(self) -> list[Any]:
        """The objects that are held."""
        return [self._shelf.body(uid) for uid in self._shelf]

    # For kopf.

    async def events(self) -> AsyncIterator[Any]:
        """What kopf's watcher gets."""
        self.restart("it begins")
        try:
            while (event := await self._next()) is not None:
                yield event
        finally:
            await self.close()

    async def _next(self) -> Any:
        while True:
            if self._live:
                return self._marked(*self._live.popleft())
            if self._may_replay():
                await asyncio.sleep(0)  # let answers in between: there may be ten thousand of them
                if self._live or not self._may_replay():
                    continue
                uid, _ = self._pending.popitem()
                if uid in self._shelf:
                    return self._marked({"type": None, "object": self._shelf.body(uid)}, self._barrier)
            elif self._pump is None or self._pump.done():
                return None if self._pump is None else self._pump.result()
            else:
                self._woken.clear()
                await self._woken.wait()

    def _may_replay(self) -> bool:
        if not self._pending or not self._leading:
            return False
        return self._barrier is None or not self._barrier.delays(next(reversed(self._pending)))

    def _marked(self, event: Any, guard: Barrier | None) -> Any:
        self._room.set()
        if not isinstance(event, dict) or MARK in event:
            return event
        uid, kind = seam_read.uid_of(event), event["type"]
        if uid in self._pending:
            del self._pending[uid]
            if event["type"] == "DELETED":
                self.refuse(uid)
            else:
                event["type"] = None  # an event that overtakes the replay stands for it
        event[MARK] = Seen(self.tenure if self._leading else None, kind, self, guard)
        return event

    @property
    def _leading(self) -> bool:
        return self.tenure is not None and self.tenure.may_start

    @property
    def _passing(self) -> bool:
        return self._passes or (self.tenure is not None and not self.tenure.over)

    # The pump.

    async def _run(self, previous: asyncio.Task[None] | None) -> None:
        await end(previous)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (it is one)
        while True:
            try:
                await self._run_once(task)
            except Exception as error:
                if self._leading:
                    raise  # as plain kopf does
                logger.warning("%s cannot be watched by this standby (%r): tried again.", self.stream.resource, error)
                self.broken = True
                await asyncio.sleep(RETRY)
            except asyncio.CancelledError:
                if task is not self._pump or await is_cancelled(task):
                    raise
                logger.debug("The stream of %s is begun anew: it was silent.", self.stream.resource)
            else:
                return

    async def _run_once(self, task: asyncio.Task[Any]) -> None:
        async with aclosing(self._original()) as events:  # type: ignore[type-var]  # an async generator of kopf's
            async for event in events:
                if task.cancelling():
                    raise asyncio.CancelledError  # kopf's streams may swallow one
                await self._take(event)

    async def watch(self, original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Go along with one listing and watching of kopf's, inside of the pump."""
        self._listing, self._listing_for = set(), self.tenure if self._leading else None
        async with aclosing(original()) as events:  # type: ignore[type-var]  # an async generator of kopf's
            async for event in events:
                if seam.is_listed(event) and seam_read.streams_initially(self._parts.settings):
                    bookmark = await anext(events, None)
                    if bookmark is None or not seam_read.ends_listing(bookmark):
                        return  # kopf takes any bookmark for the end of a listing that has broken off: list anew
                    self._note_version(bookmark["object"])
                yield event

    async def _take(self, event: Any) -> None:
        self._heard = self._clock.time()
        if asyncio.current_task() is not self._pump:
            return  # the stream is begun anew, and a listing that is not taken down as a whole says nothing
        if seam.is_listed(event):
            await self._listed()
            await self._pass(event)
            return
        body = event["object"]
        version = self._note_version(body)
        if event["type"] == "BOOKMARK":
            return
        if "uid" not in body.get("metadata", {}):
            self.disorder()
        if asyncio.current_task() is self._pump:  # still
            await self._note(event, version)

    async def _note(self, event: Any, version: str) -> None:
        kind, body = event["type"], event["object"]
        uid, guard = seam_read.uid_of(event), self._barrier
        known = self.version(uid)
        if kind == "DELETED":
            self._shelf.drop(uid)
            guard = None
        else:
            self._shelf.put(uid, version, body, compress=not self._leading)
        if self._listing is not None:
            if kind is None:
                self._listing.add(uid)
            if self._listing_for is self.tenure:  # initial events may have live ones among them
                guard = None
        if self._passing:
            await self._pass(event, guard)
        elif version != known or kind == "DELETED":
            await self._keep_up(event)

    def _note_version(self, body: Any) -> str:
        version = str((body.get("metadata") or {}).get("resourceVersion"))
        try:
            self.position = max(self.position, int(version))
        except ValueError:
            self.disorder()
        return version

    async def _listed(self) -> None:
        await self._settle()
        listing, self._listing = self._listing, None
        self.broken = False
        if listing is None:
            return
        if self.ordered:
            self._shelf.sort()
        for uid in [uid for uid in self._shelf if uid not in listing]:
            body = self._shelf.body(uid)
            self._shelf.drop(uid)
            # Who lives until its finalizers are gone is marked for it; kopf would start daemons for it otherwise.
            body["metadata"].setdefault("deletionTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
            gone = {"type": "DELETED", "object": body}
            await (self._pass(gone) if self._passing else self._keep_up(gone))
        if self._leading and self._listing_for is self.tenure:
            self._end_barrier()

    async def _pass(self, event: Any, guard: Barrier | None = None) -> None:
        self._live.append((event, guard))
        self._woken.set()
        while len(self._live) > BACKLOG:
            self._room.clear()
            await self._room.wait()

    def _end_barrier(self) -> None:
        if self._barrier is not None:
            self._barrier.cancel()
            self._barrier = None

    # The indices of a standby.

    async def _keep_up(self, event: Any) -> None:
        """Index the object, or forget it; the objects of a listing a few at a time."""
        if event["type"] == "DELETED":
            await self._settle()
            await self._parts.forget(event["object"])
        elif self._indexed:
            if self._listing is None or len(self._indexing) >= TOGETHER or seam_read.uid_of(event) in self._indexing:
                await self._settle()
            task = self._spawn_indexing(event)
            if self._listing is None:
                await asyncio.wait({task})

    async def index(self, event: Any) -> None:
        """Index what kopf does not handle, unless a newer state of it is known: then that one is, or has been.

        What is passed on whoever leads has been indexed before any handler saw it.
        """
        version, uid = str(event["object"]["metadata"].get("resourceVersion")), seam_read.uid_of(event)
        if self._indexed and not self._passes and self.version(uid) == version:
            while uid in self._indexing:
                await self._settle()
            await asyncio.wait({self._spawn_indexing(event)})

    def _spawn_indexing(self, event: Any) -> asyncio.Task[None]:
        uid = seam_read.uid_of(event)
        task = self._indexing[uid] = self.create_task(self._index(event))
        task.add_done_callback(lambda _: self._indexing.pop(uid))
        return task

    async def _index(self, event: Any) -> None:
        try:
            await self._parts.index(raw_event=event, resource=self.stream.resource)
        except Exception:  # a failure here would stop the operator
            logger.exception("An object could not be indexed on a standby.")

    async def _settle(self) -> None:
        """Let the indices be in the order of the stream."""
        if self._indexing:
            await asyncio.wait([*self._indexing.values()])
