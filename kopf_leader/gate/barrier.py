"""The read barrier: what a standby has held may be old, and nothing starts on an old body.

A stream may lag, or have been cut off: what it shows as unhandled may have been handled by the former leader, and what
it shows as alive may be deleted. So before a handler starts on a body that was seen before the promotion (or after it,
as long as the stream has not shown all that had been written by then), its version is compared with the API server's.
If it is not the newest, nothing is started: the newer one is on its way through the stream, and counts.

Asking for each object would double the work, asking for none is a risk, so there are three ways, the cheap ones first:

- by the *level*: the version of the collection after the promotion, which every answer tells. A body of that version or
  later is new, and once the stream has come so far, it knows best itself. A quiet resource never comes so far, as the
  level is the version of the whole storage.
- one object by its name, a few at a time;
- all of them in pages, metadata only, as soon as more than a few wait; from then on those come first that are answered.

The first question is asked alone: the API server answers from its cache as soon as that has come as far as its storage,
and it looks at once for the first who asks, but every 100 ms only for those who ask later, if anything was written
meanwhile (`progressRequestPeriod` in k8s.io/apiserver). A question for the level before it would cost it that time.

It comes before handlers of every kind, daemons and timers too: a resume handler that acts on the body of an object that
is gone would create anew what the former leader has just cleaned up, and nothing would come to remove it.

Patience ends: if the newer version does not come, the watch is deaf (L16 says the same of the Lease's), and is begun
anew with a listing.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from kopf_leader.elector.waiting import all_done
from kopf_leader.gate import seam_read
from kopf_leader.gate.counters import Counters

logger = logging.getLogger("kopf_leader.gate")

T = TypeVar("T")

CROWD = 32  # unanswered questions beyond which the replay waits: more would only keep the loop from the answers
SINGLE = 16  # objects that may wait for being asked for by name
LINES = 4  # of them asked for until the first answer: each new connection costs a handshake, which that would wait for
LEVEL = 1.0  # seconds until the level is asked for if no answer has told it
PAUSE = 1.0  # seconds between attempts to read
GRACE = 5.0  # seconds that a version known to the API server may take to come through the stream
DEAF = 150.0  # seconds without a sign from the API server, which sends one a minute where nothing happens


class Stale(asyncio.CancelledError):
    """The body is not the newest. It ends the job without a patch: after an empty return, kopf would make one."""


class Held(Protocol):
    """What the barrier needs to know of the stream."""

    @property
    def position(self) -> int:
        """The latest version that the stream has shown."""
        ...

    def version(self, uid: str) -> str | None:
        """The latest version of this object that the stream has shown; None if it is gone."""
        ...

    def restart(self, why: str) -> None:
        """List anew."""
        ...

    def wake(self) -> None:
        """Go on with the replay: the barrier has more answers, or fewer questions."""
        ...

    def prefer(self, uids: Iterable[str]) -> None:
        """Replay these objects before the others, and go on: the barrier knows what is new of them."""
        ...

    def refuse(self, uid: str) -> None:
        """Take note that the object has not been handled."""
        ...

    def create_task(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Create a task that may use kopf's client."""
        ...

    def disorder(self) -> None:
        """Take note that versions cannot be compared."""
        ...


class Barrier:
    """One stream at one promotion. On kopf's loop."""

    def __init__(self, held: Held, *, settings: Any, stream: Any, counters: Counters) -> None:
        self.level: int | None = None
        self._held = held
        self._settings = settings
        self._stream = stream
        self._counters = counters
        self._single = 0
        self._lines = asyncio.Semaphore(LINES)
        self._found: seam_read.Versions = {}
        self._swept = False
        self._sweep: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Future[str | None]] = {}
        self._passed: set[str] = set()  # uids that kopf has been given
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._over = False

    def start(self) -> None:
        """See to it that the level is known some day, and that the stream comes so far."""
        self._later(LEVEL, lambda: self._spawn(self._ask_for_level()))
        self._later(DEAF, self._see_to_level)

    def cancel(self) -> None:
        """End it with its term, and every question with it."""
        self._over = True
        for timer in self._timers:
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        for future in self._asked.values():
            future.cancel()

    async def end(self) -> None:
        """Cancel it, and wait for the end."""
        self.cancel()
        await all_done(self._tasks)

    def delays(self, uid: str) -> bool:
        """Whether the replay had better wait: for an answer about this object, or as too many wait for theirs."""
        if self._caught_up:
            return False  # nothing is asked any more
        unknown = self._sweep is not None and not self._swept and uid not in self._found
        return unknown or self._single + len(self._asked) >= CROWD

    async def check(self, metadata: Mapping[str, Any]) -> None:
        """Raise `Stale` unless this is the newest version of the object."""
        uid, version = str(metadata.get("uid")), str(metadata.get("resourceVersion"))
        await self._check(uid, version, metadata)
        self._passed.add(uid)

    async def _check(self, uid: str, version: str, metadata: Mapping[str, Any]) -> None:
        if self._is_later(version):
            return
        if self._over or self._held.version(uid) != version:
            self._refuse(uid)  # the stream has shown a newer one, or lists anew: that waits behind this one
        if self._caught_up:
            return
        newest = await self._ask(uid, metadata)
        if self._is_later(version):  # known by now: it was made behind the listing of all
            return
        if newest is None or _is_newer(newest, version):
            self._later(GRACE, lambda: self._see_to_object(uid, version))
            self._refuse(uid)

    def _is_later(self, version: str) -> bool:
        """Whether a body of this version was written after the promotion."""
        return not self._over and self.level is not None and int(version) >= self.level

    @property
    def _caught_up(self) -> bool:
        """Whether the stream has shown all that had been written by the promotion, and more."""
        return self.level is not None and self._held.position >= self.level

    def _refuse(self, uid: str) -> None:
        if uid not in self._passed:
            self._held.refuse(uid)
        self._counters.stale += 1
        raise Stale

    async def _ask(self, uid: str, metadata: Mapping[str, Any]) -> str | None:
        if uid in self._found or self._swept:
            return self._found.get(uid)
        if self._sweep is None and self._single < SINGLE:
            self._single += 1
            question = self._spawn(self._ask_for_one(metadata))  # ends with the term
            try:
                return await question
            except Exception as error:  # noqa: BLE001 (whatever kopf's client raises; the other way is patient)
                logger.debug("An object cannot be read (%r); all are listed.", error)
            finally:
                self._single -= 1
                self._held.wake()
        if uid in self._found or self._swept:  # meanwhile: nobody would answer any more
            return self._found.get(uid)
        if self._sweep is None:
            self._sweep = self._spawn(self._ask_for_all())
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._asked[uid] = future
        try:
            return await future
        finally:
            self._asked.pop(uid, None)
            self._held.wake()

    async def _ask_for_one(self, metadata: Mapping[str, Any]) -> str | None:
        async with self._lines:
            version, level = await seam_read.version_of(self._settings, self._stream, metadata)
        self._learn(level)
        return version

    async def _ask_for_level(self) -> None:
        if self.level is None:
            self._learn(await self._patiently(lambda: seam_read.level(self._settings, self._stream)))

    def _learn(self, level: str) -> None:
        if self.level is not None:
            return
        for _ in range(SINGLE - LINES):
            self._lines.release()
        try:
            self.level = int(level)
        except ValueError:
            self._held.disorder()

    async def _ask_for_all(self) -> None:
        await self._patiently(self._read_all)
        self._swept = True
        for uid in [*self._asked]:
            self._answer(uid)
        self._held.wake()

    async def _read_all(self) -> None:
        try:
            async for page, level in seam_read.all_versions(self._settings, self._stream):
                self._learn(level)
                self._found |= page
                for uid in self._asked.keys() & page.keys():
                    self._answer(uid)
                self._held.prefer(page)
        except Exception:
            if not self._caught_up:
                raise
            # The stream knows best by now: nobody has to wait for what cannot be read.
            for uid in self._asked:
                if (version := self._held.version(uid)) is not None:
                    self._found[uid] = version

    def _answer(self, uid: str) -> None:
        future = self._asked[uid]
        if not future.done():
            future.set_result(self._found.get(uid))

    async def _patiently(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        while True:
            try:
                return await read()
            except Exception as error:  # noqa: BLE001 (whatever kopf's client raises)
                logger.warning("%s cannot be read to see what is new (%r): tried again.", self._stream.resource, error)
                await asyncio.sleep(PAUSE)

    def _see_to_object(self, uid: str, version: str) -> None:
        if self._held.version(uid) == version:
            self._restart("a change that the API server knows of has not come")

    def _see_to_level(self) -> None:
        if self.level is None or self._held.position < self.level:
            self._restart("it has shown nothing for long")

    def _restart(self, why: str) -> None:
        """Once: the new listing does not need this barrier."""
        if not self._over:
            self._over = True
            self._held.restart(why)

    def _spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = self._held.create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        if not self._over:
            self._timers.append(asyncio.get_running_loop().call_later(seconds, call))


def _is_newer(newest: str, version: str) -> bool:
    try:
        return int(newest) > int(version)
    except ValueError:
        return newest != version


@dataclass
class Check:
    """The barrier in the way of one event's handlers."""

    barrier: Barrier
    metadata: Mapping[str, Any]
    passed: bool = field(default=False)


CHECK: ContextVar[Check | None] = ContextVar("kopf_leader.check", default=None)


async def before_handlers() -> None:
    """Raise `Stale` if handlers must not start on the body at hand."""
    check = CHECK.get()
    if check is not None and not check.passed:
        await check.barrier.check(check.metadata)
        check.passed = True
