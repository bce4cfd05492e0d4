"""What runs under one term: jobs, handlers, daemons, timers, and whatever tasks and threads they have started.

kopf has no list of it: an orphaned daemon, a task that a handler has forgotten, a thread of `asyncio.to_thread` whose
handler was cancelled are in none of its books, and each of them would go on beside the next leader (L12). So every
task of the loop is looked at when it is created: one created under a term (see `fence`) is that term's until it ends.
Threads that users' code starts by itself (`threading.Thread`) and child processes are beyond it. What a handler starts
for the whole life of the process (a client with tasks in the background) is cut off with the term: such things belong
into start-up handlers.
"""

import asyncio
import concurrent.futures
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from kopf_leader.gate.counters import Counters
from kopf_leader.gate.fence import TENURE, TermOver
from kopf_leader.protocol.state import StopLeading
from kopf_leader.protocol.term import Term

PREPARED: ContextVar[bool] = ContextVar("kopf_leader.prepared", default=False)
"""Whether the code belongs to what was started before the gate opened, as opposed to a handler."""


@dataclass(frozen=True)
class Job:
    """What the handling of one event may wait for."""

    pressure: asyncio.Event | None
    """It ends kopf's sleep until the next attempt at a handler."""
    indexed: Any
    """kopf's toggle that holds all handlers back until the indices are filled; None when they are."""


class Tenure:
    """A term as the gate runs it.

    `changed` is called, in any thread, when something has ended behind the closed gate; `ended` once, in any thread,
    when everything has. Tasks are kept on kopf's loop; everything that says so may be used in any thread.
    """

    def __init__(
        self, term: Term, *, counters: Counters, changed: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self.term = term
        self.began = term.clock()
        """When it was told of, on the election's clock."""
        self.counters = counters
        self.told: StopLeading | None = None
        """How the election wants it to end. Written by the election's thread."""
        self.own: StopLeading | None = None
        """How it has to end by the clock, if the election says nothing. Any thread."""
        self.shut = False
        """Whether the gate has closed, so that nothing starts any more. Any thread; it never goes back."""
        self.over = False
        """Whether nothing runs, and never will. Any thread; it never goes back."""
        self.owes = False
        """Whether hooks have yet to run between the last handler and the end. Any thread."""
        self.concluding_since: float | None = None
        """Since when they run (on the election's clock): nothing else does any more. Any thread."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.prepared: set[asyncio.Task[Any]] = set()
        """Those of `tasks` that hooks have started before the gate opened: they serve the handlers."""
        self.jobs: dict[asyncio.Task[Any], Job] = {}
        self.threads = 0
        self._changed = changed
        self._ended = ended
        self._lock = threading.Lock()  # held for a few instructions

    @property
    def stop(self) -> StopLeading | None:
        """How it has to end: the election has the last word. Any thread."""
        return self.told or self.own

    @property
    def may_start(self) -> bool:
        """Whether a job or a handler may start now. Any thread."""
        return not self.shut and self.term.valid

    @property
    def may_call(self) -> bool:
        """Whether a function of users' may be called now: a handler, or a hook behind the last one. Any thread."""
        return self.may_start or (self.concluding_since is not None and not self.over)

    @property
    def may_write(self) -> bool:
        """Whether a request may be sent now. Any thread."""
        return not self.over and self.term.valid

    @property
    def busy(self) -> bool:
        """Whether anything runs. Any thread.

        One look at the set, as a task that starts another is in it until after the other one is.
        """
        return self.threads > 0 or bool(self.tasks)

    def begin(self, *, owes: bool) -> bool:
        """Begin to act under it, on the loop; `owes`: with hooks to run at the end. False if it has ended before."""
        with self._lock:  # `shut` is set without it, but then comes `finish()`, which sees what is owed
            if not self.shut and not self.over:
                self.owes = owes
                return True
            return False

    def conclude(self, start: Callable[[], object], now: float) -> None:
        """Start the hooks that are owed, on the loop, when nothing else runs any more."""
        self.concluding_since = now
        start()
        self.owes = False  # their task is one of `tasks` by now: at no moment nothing runs and nothing is owed

    def finish(self) -> bool:
        """Declare it over if the gate is closed and nothing runs, and say so once. Whether it is over. Any thread."""
        with self._lock:
            if not self.over and self.shut and not self.owes and not self.busy:  # in this order: see `conclude()`
                self.over = True
                self._ended()
            return self.over

    @property
    def idle(self) -> bool:
        """Whether what still runs only serves handlers, and there are none any more."""
        return bool(self.tasks) and self.tasks == self.prepared

    def add(self, task: asyncio.Task[Any], *, prepared: bool = False) -> None:
        """Count a task in until it is done."""
        if not task.done():  # an eager one may be
            self.tasks.add(task)
            if prepared:
                self.prepared.add(task)
            task.add_done_callback(self._discard)

    def _discard(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        self.prepared.discard(task)
        self.jobs.pop(task, None)
        if self.shut and self.tasks == self.prepared:
            self._changed()

    def in_thread(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap what goes to a thread: counted while it runs, refused if its turn comes after the end."""
        concluding = self.concluding_since is not None

        def run(*args: Any) -> Any:
            with self._lock:
                if not self.may_write and not (concluding and self.may_call):
                    raise TermOver
                self.threads += 1
            try:
                return function(*args)
            finally:
                with self._lock:
                    self.threads -= 1
                if self.shut and not self.threads:
                    self._changed()

        return run

    def add_job(self, task: asyncio.Task[Any], job: Job) -> None:
        """Remember what a job may come to wait for."""
        if not task.done():
            self.jobs[task] = job

    def end_waiting(self) -> None:
        """End the jobs that only wait for handlers to start: none will."""
        for task, job in list(self.jobs.items()):
            if job.pressure is not None:
                job.pressure.set()
            if job.indexed is not None and job.indexed.is_off():
                task.cancel()

    def cancel(self) -> None:
        """Cancel every task; threads can only be waited for."""
        for task in list(self.tasks):
            if not task.done():
                task.cancel()

    def running(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done. Any thread."""
        return [task for task in list(self.tasks) if not task.done()]


def _counts(executor: Any, function: Callable[..., Any]) -> bool:
    """Whether it may do harm: looking up a name does none, and takes half a minute when the network fails."""
    usual = executor is None or isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    # It could not pickle the wrapper. Last, as naming the class imports multiprocessing.
    if not usual and isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        return False
    return function not in (socket.getaddrinfo, socket.getnameinfo)


@contextmanager
def tracking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have every task and every executor call of this loop counted in with the term under which it is started."""
    previous = loop.get_task_factory()
    run_in_executor = loop.run_in_executor

    def create(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        context = kwargs.get("context")
        tenure = TENURE.get() if context is None else context.get(TENURE)
        task: Any = asyncio.Task(coro, loop=loop, **kwargs) if previous is None else previous(loop, coro, **kwargs)
        if tenure is not None:
            tenure.add(task, prepared=PREPARED.get() if context is None else context.get(PREPARED, False))
        return task

    def submit(executor: Any, function: Callable[..., Any], *args: Any) -> Any:
        tenure = TENURE.get()
        if tenure is not None and _counts(executor, function):
            function = tenure.in_thread(function)
        return run_in_executor(executor, function, *args)

    loop.set_task_factory(create)
    # There is no hook for it; `asyncio.to_thread` and kopf call it by name.
    loop.run_in_executor = submit  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        loop.set_task_factory(previous)
        loop.run_in_executor = run_in_executor  # type: ignore[method-assign]
