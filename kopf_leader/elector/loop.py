"""The one event loop of all elections of this process, in a thread of its own: it is there while an election is.

Each election is a task in here, so that its defect ends no other one. A call that may block gets a thread for itself
from this loop (a client that is made, a look-up of names, a credential plugin, a synchronous login handler): the
elections beside it go on, however many such calls hang.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from typing import Any, TypeAlias

MOMENT = 1.0  # seconds

Run: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Over: TypeAlias = Callable[[BaseException | None], None]


class ElectionLoop:
    """The loop and its thread; see `take_in`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_ThreadEach())
        self._members: set[Over] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="elections", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs, in this process: a child that was forked has none."""
        return self._thread.is_alive()

    def call(self, function: Callable[..., object], *args: object) -> bool:
        """Have the loop call this soon; False where it has ended."""
        if not self.alive:
            return False
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # closed
            return False
        return True

    def start(self) -> None:
        """Raises RuntimeError where no thread can be started."""
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            raise

    def add(self, run: Run, over: Over) -> None:
        """Under the lock: see `take_in`."""
        self._members.add(over)
        # A task has the context of who makes it: here nobody's, as the election is not part of what its starter does.
        self._loop.call_soon_threadsafe(self._begin, run, over, context=Context())

    def settle(self) -> None:
        """Wait for the end of the thread if nobody is left in here; it takes a moment."""
        if not self._members:
            self._thread.join(MOMENT)

    def _begin(self, run: Run, over: Over) -> None:
        task = self._loop.create_task(self._host(run, over), name="election")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _host(self, run: Run, over: Over) -> None:
        failure: BaseException | None = None
        try:
            await run()
        except BaseException as error:  # noqa: BLE001 (whatever it is, SystemExit too: it ends this election only)
            failure = error
        self._let_go({over}, failure)

    def _run(self) -> None:
        # What cannot be closed of a broken loop is left behind.
        with contextlib.suppress(Exception), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                self._turn(runner.get_loop())
            except BaseException as error:  # noqa: BLE001 (the loop itself is broken: nothing can be saved)
                self._let_go(self._members, error)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = loop.create_task(self._empty.wait(), name="elections")
        while not waiting.done():
            try:
                loop.run_until_complete(waiting)
            except (SystemExit, KeyboardInterrupt):  # a task has raised it, and who waits for that task will see it
                continue

    def _let_go(self, members: set[Over], failure: BaseException | None) -> None:
        """Tell these, unless they have been told, that their election is over; the last one ends the thread."""
        global _current  # noqa: PLW0603 (one in a process)
        with _lock:
            told = members & self._members
            self._members -= told
            if not self._members:
                self._empty.set()
                if _current is self:
                    _current = None
        for over in told:
            over(failure)


class _ThreadEach(ThreadPoolExecutor):
    """A daemon thread for each call: none waits for another one's end, and nobody at all for one that hangs."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # from here on it cannot be cancelled

        def run() -> None:
            try:
                result = function(*args, **options)
            except StopIteration as error:  # the loop's futures do not take it
                future.set_exception(RuntimeError(f"{function} raised StopIteration: {error}"))
            except BaseException as error:  # noqa: BLE001 (told to who waits)
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="election's call", daemon=True).start()
        return future


_lock = threading.Lock()
_current: ElectionLoop | None = None


def take_in(run: Run, over: Over) -> ElectionLoop:
    """Run this coroutine as a task of the elections' loop, which begins with the first and ends with the last one.

    `over` is called once, in the loop's thread, when it has ended: with what it has raised, or with what has ended the
    whole loop. In any thread. Raises RuntimeError where no thread can be started.
    """
    global _current  # noqa: PLW0603 (one in a process)
    with _lock:
        if _current is None or not _current.alive:
            begun = ElectionLoop()
            begun.start()
            _current = begun
        _current.add(run, over)
        return _current


def _forked() -> None:
    """A child has the parent's variables, and none of its threads."""
    global _lock, _current
    _lock, _current = threading.Lock(), None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)
