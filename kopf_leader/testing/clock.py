"""Virtual time for code that takes its time as an argument: hours pass in milliseconds, the same way every time.

`VirtualClock` is the true time of a small world and the list of what will happen in it. `LocalClock` is how one
process of that world reads it: with an origin, a rate and a wall clock of its own. (`virtualtime` is the other half:
an asyncio loop for code that waits by itself.)
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Appointment:
    """Something that will happen, unless it is called off."""

    at: float
    happen: Callable[[], None] | None

    def cancel(self) -> None:
        """Call it off; harmless when it has happened already."""
        self.happen = None


class VirtualClock:
    """True time in seconds, from 0; it moves only by `run_until`.

    What is due at the same moment happens in the order of `rank`, then in the order in which it was scheduled: so a
    run depends on nothing but what was put in.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, int, Appointment]] = []
        self._count = 0

    def at(self, moment: float, happen: Callable[[], None], *, rank: int = 1) -> Appointment:
        """Schedule `happen` for `moment` (seconds); what lies in the past happens next."""
        appointment = Appointment(max(moment, self.now), happen)
        self._count += 1
        heapq.heappush(self._due, (appointment.at, rank, self._count, appointment))
        return appointment

    def after(self, seconds: float, happen: Callable[[], None], *, rank: int = 1) -> Appointment:
        """Schedule `happen` for `seconds` from now."""
        return self.at(self.now + seconds, happen, rank=rank)

    def run_until(self, moment: float) -> None:
        """Let time pass to `moment` (seconds), with all that is due on the way, `moment` included."""
        while self._due and self._due[0][0] <= moment:
            at, _, _, appointment = heapq.heappop(self._due)
            if appointment.happen is None:
                continue
            self.now = at
            happen, appointment.happen = appointment.happen, None
            happen()
        self.now = max(self.now, moment)


class LocalClock:
    """One process's reading of the true time; it never goes back, and its origin means nothing (L5).

    `rate` is how many local seconds pass in one true second. `wall` is what its wall clock shows at true time 0, in
    microseconds since 1970; `set_wall` moves it in any direction, as an administrator or NTP may.
    """

    def __init__(self, world: VirtualClock, *, origin: float = 0.0, rate: float = 1.0, wall: int = 0) -> None:
        self._world = world
        self.origin = origin
        self.rate = rate
        self._wall = wall

    def time(self) -> float:
        """Seconds on the clock that decides."""
        return self.origin + self._world.now * self.rate

    def utc(self) -> int:
        """Microseconds since 1970 by the wall clock."""
        return self._wall + round(self._world.now * self.rate * 1_000_000)

    def set_wall(self, jump: float) -> None:
        """Move the wall clock by `jump` seconds; the deciding clock does not notice."""
        self._wall += round(jump * 1_000_000)

    def true(self, local: float) -> float:
        """The true moment at which this clock will show `local`."""
        return (local - self.origin) / self.rate
