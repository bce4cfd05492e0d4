"""The second SIGTERM (or SIGINT): exit at once, without a release (L20).

kopf has its signals delivered through its event loop, which may be blocked. Python's own handlers run beside that: the
wake-up of the loop goes on whatever they are, so both see every signal.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

_exit: Callable[[int], NoReturn] = os._exit


class Signals:
    """How many signals to stop have come."""

    def __init__(self) -> None:
        self.count = 0

    def handle(self, signum: int, _frame: FrameType | None) -> None:
        """Count, and exit at the second. It runs between two instructions of the main thread: so it takes no lock."""
        self.count += 1
        if self.count > 1:
            os.write(2, b"kopf_leader: stopped by a second signal: the Lease is not given back, it has to expire.\n")
            _exit(128 + signum)  # a process that is number 1 in its container cannot be killed by a signal of its own


@contextmanager
def counting(signals: Signals) -> Iterator[None]:
    """Count the signals. Does nothing outside of the main thread, where kopf does not see to them either."""
    replaced: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGTERM, signal.SIGINT):
            replaced[signum] = signal.getsignal(signum)
            signal.signal(signum, signals.handle)
    try:
        yield
    finally:
        for signum, handler in replaced.items():
            if signal.getsignal(signum) == signals.handle:  # else somebody has replaced it since
                signal.signal(signum, handler)
