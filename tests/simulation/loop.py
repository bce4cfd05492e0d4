"""An event loop for several processes in one virtual time: each has a clock of its own and can be frozen alone.

What is scheduled from within a process belongs to it (a context variable, which tasks and callbacks inherit), and
`time()` is that process's own: its rate decides when its timers ring. What belongs to nobody is the network and the
API server, and goes by the true time. Nothing here depends on the real time, on sockets or on threads, so the same
seed gives the same run.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

OWNER: contextvars.ContextVar["Owner | None"] = contextvars.ContextVar("owner", default=None)
SHORTEST = 1e-6  # seconds that a timer takes at least: time passes while a program runs
THREAD = 0.05  # seconds that work in a thread takes
MOST_AT_ONCE = 20_000  # callbacks at one moment; more is a program that spins


class Owner:
    """A process, as the loop sees it."""

    def __init__(self, name: str, *, rate: float = 1.0, origin: float = 0.0) -> None:
        self.name = name
        self.rate = rate
        self.origin = origin
        self.frozen = False
        self.suspended = False
        self.dead = False
        self.frozen_at = 0.0
        self.lost = 0.0
        """True seconds that the loop's clock has missed: it stands still while a machine is suspended (L5)."""
        self.backlog: list[asyncio.Handle] = []
        self.timers: list[tuple[float, asyncio.Handle]] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)

    def time(self, now: float) -> float:
        return self.origin + (now - self.lost) * self.rate

    def true(self, when: float) -> float:
        return (when - self.origin) / self.rate + self.lost


class SimLoop(asyncio.AbstractEventLoop):
    """Runs callbacks in the order of a virtual clock; see the head of this file."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Owner | None = None
        self.failures: list[str] = []
        self.wrap: Callable[[Any], Any] = lambda coro: coro
        """What is made of every coroutine that becomes a task; for harnesses that look at each suspension."""
        self._ready: deque[tuple[Owner | None, asyncio.Handle]] = deque()
        self._timers: list[tuple[float, int, Owner | None, asyncio.Handle]] = []
        self._count = 0
        self._task_factory: Any = None
        self._nobody = contextvars.copy_context()
        self._nobody.run(OWNER.set, None)

    # What asyncio needs of a loop.

    def time(self) -> float:
        return self.now if self.current is None else self.current.time(self.now)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((handle._context.get(OWNER), handle))
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        owner = handle._context.get(OWNER)
        self._push(when if owner is None else owner.true(when), owner, handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are dropped when their time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        options = {} if context is None else {"context": context}
        if self._task_factory is None:
            task = asyncio.Task(self.wrap(coro), loop=self, name=name, **options)
        else:
            task = self._task_factory(self, self.wrap(coro), **options)
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            owner.tasks.add(task)
            task.add_done_callback(owner.tasks.discard)
        return task

    def get_task_factory(self) -> Any:
        return self._task_factory

    def set_task_factory(self, factory: Any) -> None:
        self._task_factory = factory

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> asyncio.Future[Any]:
        """A thread of short work: it takes no processor time, and some virtual time."""
        future = self.create_future()

        def run() -> None:
            try:
                result, error = function(*args), None
            except BaseException as raised:
                result, error = None, raised
            if not future.done():
                future.set_result(result) if error is None else future.set_exception(error)

        self.call_later(THREAD, run)
        return future

    def call_exception_handler(self, context: Any) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    # The world.

    def at(self, moment: float, happen: Callable[[], None]) -> None:
        """Let the world do something at this true time, whoever asks."""
        self._push(moment, None, asyncio.Handle(happen, (), self, self._nobody))

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        self.at(self.now + seconds, happen)

    def task_of_nobody(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of the world: of the API server, say."""
        return asyncio.Task(coro, loop=self, context=self._nobody)

    def freeze(self, owner: Owner, *, suspend: bool = False) -> None:
        """Nothing of it runs from now on; with `suspend` the clock of its timers stands still, too."""
        if not owner.frozen:
            owner.frozen, owner.suspended, owner.frozen_at = True, suspend, self.now

    def thaw(self, owner: Owner) -> None:
        """It goes on with what has come due meanwhile."""
        if not owner.frozen:
            return
        owner.frozen = False
        if owner.suspended:
            missed = self.now - owner.frozen_at
            owner.lost += missed
            theirs = [entry for entry in self._timers if entry[2] is owner]
            self._timers = [entry for entry in self._timers if entry[2] is not owner]
            heapq.heapify(self._timers)
            for moment, handle in [*((entry[0], entry[3]) for entry in theirs), *owner.timers]:
                self._push(moment + missed, owner, handle)
            owner.timers = []
        backlog, owner.backlog = owner.backlog, []
        self._ready.extend((owner, handle) for handle in backlog)

    def run_until(self, moment: float) -> None:
        """Let time pass to this true moment, with everything due on the way."""
        asyncio._set_running_loop(self)
        try:
            while True:
                self._settle()
                if not self._timers or self._timers[0][0] > moment:
                    break
                at, _, owner, handle = heapq.heappop(self._timers)
                if handle._cancelled:
                    continue
                self.now = max(self.now, at)
                if owner is not None and owner.frozen and owner.suspended:
                    owner.timers.append((at, handle))
                else:
                    self._ready.append((owner, handle))
        finally:
            asyncio._set_running_loop(None)
            self.current = None
        self.now = max(self.now, moment)

    def _settle(self) -> None:
        ready, count = self._ready, 0
        while ready:
            owner, handle = ready.popleft()
            if handle._cancelled:
                continue
            if owner is not None and owner.frozen:
                owner.backlog.append(handle)
                continue
            self.current = owner
            handle._run()
            self.current = None
            count += 1
            if count > MOST_AT_ONCE:
                raise AssertionError(f"{owner.name if owner else 'the server'} spins: {handle!r}")

    def _push(self, moment: float, owner: Owner | None, handle: asyncio.Handle) -> None:
        self._count += 1
        least = self.now if owner is None else self.now + SHORTEST
        heapq.heappush(self._timers, (max(moment, least), self._count, owner, handle))
