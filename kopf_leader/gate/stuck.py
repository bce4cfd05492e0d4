"""When kopf's loop is stuck: end the process without a release (L12). All of this happens outside of the loop."""

import asyncio
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from kopf_leader.elector.leave import leave

CHECK = 1.0  # seconds between two looks at the loop


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
