"""The last words of a process that ends because something of its term cannot be stopped (L12).

Nothing in here waits for anybody: log handlers have locks, and pipes may be full, so even the report is given a
fraction of a second only.
"""

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

logger = logging.getLogger("kopf_leader")

REPORT = 0.3  # seconds that each way of reporting may take; four fifths of the slack have passed, one is left
SHOWN = 20  # tasks whose stacks are logged

_exit: Callable[[int], NoReturn] = os._exit


def leave(why: str, tasks: Iterable[asyncio.Task[Any]] = (), *, status: int = 1, leading: bool = True) -> None:
    """Log why, with the stacks of all threads and these tasks, and end the process. From any thread."""
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
