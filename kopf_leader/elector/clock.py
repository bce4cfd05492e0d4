"""The two clocks of an election: one that decides, one that is only written down (L5).

The deciding clock has a random origin, so that a mix-up with wall time or with another process's readings shows at
once instead of working by luck (after trio's `SystemClock`).
"""

import random
import time
from typing import Protocol

# It goes on while the machine is suspended, where CLOCK_MONOTONIC stands still (L5). macOS's own does not stand still.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Where an election gets its time from."""

    def time(self) -> float:
        """Seconds on a local clock that never goes back and whose origin means nothing."""
        ...

    def utc(self) -> int:
        """Microseconds since 1970 by the wall clock, for the Lease's timestamps only."""
        ...


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._origin = random.uniform(10_000, 1_000_000)  # noqa: S311 (no secret)

    def time(self) -> float:
        return self._origin + time.clock_gettime(_CLOCK)

    def utc(self) -> int:
        return time.time_ns() // 1000
