"""When something cannot be stopped: say what it is, and end the process without a release (L12).

All of this happens outside of kopf's loop, which may be what is stuck, and nothing in here waits for anybody: log
handlers have locks, and pipes may be full, so even the report is given a fraction of a second only.
"""

import asyncio
import faulthandler
import logging
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

logger = logging.getLogger("kopf_leader.gate")

REPORT = 0.3  # seconds that each way of reporting may take; four fifths of the slack have passed, one is left
SHOWN = 20  # tasks whose stacks are logged
CHECK = 1.0  # seconds between two looks at the loop

_exit: Callable[[int], NoReturn] = os._exit


def leave(why: str, tasks: Iterable[asyncio.Task[Any]] = (), *, status: int = 1, leading: bool = True) -> None:
    """Log why, with the stacks of all threads and these tasks, and end the process. From any thread but kopf's own."""
    listed = [*tasks]
    why = f"{', without giving the Lease back' if leading else ''}: {why}"
    if not _within(REPORT, lambda: _log(why, listed)):
        _within(REPORT, lambda: _print(why))  # log handlers are part of what is stuck
    _exit(status)


def _within(seconds: float, report: Callable[[], None]) -> bool:
    """Whether it was done in that time; it goes on in its thread otherwise."""
    done = threading.Event()

    def run() -> None:
        try:
            report()
        finally:
            done.set()

    threading.Thread(target=run, name="last words", daemon=True).start()
    return done.wait(seconds)


def _log(why: str, tasks: list[asyncio.Task[Any]]) -> None:
    logger.critical("%s", f"This process exits now{why}")
    logger.critical("The stacks of all threads:\n%s", "\n".join(_thread_stacks()))
    if tasks:
        logger.critical("The stacks of the tasks that still run:\n%s", "\n".join(_task_stacks(tasks)))
    for handler in logging.getLogger().handlers:
        handler.flush()
    if not logging.getLogger().handlers:
        _print(why)


def _print(why: str) -> None:
    os.write(2, f"kopf_leader: this process exits now{why}\n".encode())
    faulthandler.dump_traceback(file=2, all_threads=True)


def _thread_stacks() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 (the documented way to see other threads)
        yield f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"


def _task_stacks(tasks: list[asyncio.Task[Any]]) -> Iterator[str]:
    for task in tasks[:SHOWN]:
        yield f"Task {task.get_name()}:\n{''.join(_lines(task))}"
    if len(tasks) > SHOWN:
        yield f"… and {len(tasks) - SHOWN} more."


def _lines(task: asyncio.Task[Any]) -> Iterator[str]:
    """From the task's own coroutine down to what it waits for; `Task.get_stack()` stops at the first."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield from traceback.format_stack(frame, limit=1)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)


class Watched(Protocol):
    """Who is looked after."""

    @property
    def leading(self) -> bool:
        """Whether it is worth ending the process when the loop is stuck."""
        ...

    def look(self) -> None:
        """Called with each check, in the guardian's thread."""
        ...


@contextmanager
def guarding(watched: Watched, loop: asyncio.AbstractEventLoop, *, timeout: float) -> Iterator[None]:
    """Check from a thread whether the loop still turns; end a leader's process when it has not for `timeout` seconds.

    Time is counted in checks, not by a clock: a machine that was suspended for an hour has missed one check.
    """
    guardian = _Guardian(watched, loop, timeout)
    guardian.start()
    try:
        yield
    finally:
        guardian.ended.set()


class _Guardian(threading.Thread):
    def __init__(self, watched: Watched, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        super().__init__(name="guardian of the event loop", daemon=True)
        self.ended = threading.Event()
        self._watched = watched
        self._loop = loop
        self._timeout = timeout
        self._period = min(CHECK, timeout / 5)
        self._limit = math.ceil(timeout / self._period) if math.isfinite(timeout) else math.inf
        self._beaten = True

    def run(self) -> None:
        missed = 0
        while not self.ended.wait(self._period):
            if self._beaten:
                missed, self._beaten = 0, False
                try:
                    self._loop.call_soon_threadsafe(self._beat)
                except RuntimeError:  # closed
                    return
            else:
                missed += 1
            if missed >= self._limit and self._watched.leading:
                leave(f"kopf's event loop has been stuck for {self._timeout:g} s; see which handler blocks it.")
            self._watched.look()

    def _beat(self) -> None:
        self._beaten = True
