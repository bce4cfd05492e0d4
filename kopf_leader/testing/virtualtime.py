"""An event loop whose time is virtual: it jumps to the next timer instead of waiting for it.

Whatever is written for asyncio runs unchanged, hours in milliseconds, and in the same order every time as long as it
waits for timers and other tasks only. Sockets and threads work, too, but then the kernel has a say in the order.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` moves only when nothing else can: by exactly what the next timer is away."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass at once, without anything running in it: a process that was frozen."""
        self._now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)  # no timer at all: only a socket or another thread can go on
        ready = super().select(0)
        if not ready and timeout > 0:
            self._loop.jump(timeout)
        return ready


class LoopClock:
    """An election's clock that follows a loop's (virtual) time, at a rate and from an origin of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, rate: float = 1.0, origin: float = 1000.0) -> None:
        self._loop = loop
        self._rate = rate
        self._origin = origin

    def time(self) -> float:
        return self._origin + self._loop.time() * self._rate

    def utc(self) -> int:
        return 1_700_000_000_000_000 + round(self._loop.time() * self._rate * 1_000_000)


def run_in_virtual_time(work: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
