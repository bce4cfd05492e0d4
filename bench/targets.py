"""What is to be reached, in one place: the tables' words, their verdicts, and what the tests' guard calls far off.

A target is of one statistic of one series. Some that are ratios of two things measured in the same run, or counts, are
guarded in `tests/bench`, which fails where they are far off.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def quantile(values: Sequence[float], percent: int) -> float:
    """The smallest value that is not below so many per cent of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


def p95(values: Sequence[float]) -> float:
    """The 95th percentile, as `quantile` has it."""
    return quantile(values, 95)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile, as `quantile` has it."""
    return quantile(values, 99)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A bound that one statistic of a series is to keep; `at_least` for a lower one. Its unit is that of the series.

    `today` is what it comes to now, where that misses the bound: the guard then keeps it from becoming worse.
    """

    words: str
    bound: float
    of: Callable[[Sequence[float]], float] = p50
    at_least: bool = False
    today: float | None = None

    def reached(self, values: Sequence[float]) -> bool:
        """Whether it is kept."""
        return self.of(values) >= self.bound if self.at_least else self.of(values) <= self.bound

    def guard(self) -> float:
        """Where the tests fail: twice the bound; for a share that is to be kept, twice what it lacks."""
        bound = self.bound if self.today is None else self.today
        return 1 - 2 * (1 - bound) if self.at_least else 2 * bound

    def far_off(self, values: Sequence[float]) -> bool:
        """Whether it is beyond the guard."""
        return self.of(values) < self.guard() if self.at_least else self.of(values) > self.guard()


TARGETS = {
    "handover": Target(words="median ≤ 2 × the floor", bound=2.0),
    "handover, client-go": Target(words="≥ 50 × faster", bound=50.0, at_least=True),
    "first handler": Target(words="p95 ≤ 0.15 s", bound=150.0, of=p95),
    "first handler, busy": Target(words="p95 ≤ 0.3 s", bound=300.0, of=p95),
    "first handler, many": Target(words="≤ 1.2 ×: does not grow", bound=1.2),
    "pending": Target(words="≤ 1.2 × plain kopf", bound=1.2),
    "sigkill": Target(words="mean ≤ 14.1 s", bound=14.1, of=statistics.fmean),
    "evidence": Target(words="p95 ≤ 1.5 s", bound=1.5, of=p95),
    "standby's requests": Target(words="≤ 0.3 a minute", bound=0.3, of=max),
    "leader's requests": Target(words="≤ 30 a minute", bound=30.0, of=max),
    "each standby more": Target(words="a watch each, nothing else", bound=0.0),
    "herd, refused": Target(words="median ≤ 3 in all", bound=3.0),
    "herd, time": Target(words="p95 ≤ 150 ms", bound=150.0, of=p95),
    "events": Target(words="≥ 0.98", bound=0.98, at_least=True, today=0.88),
    "gate": Target(words="≤ 20 µs", bound=20.0),
    "start-up": Target(words="≤ 60 ms", bound=60.0),
    "memory, cold": Target(words="≤ 5 MB", bound=5.0),
    "memory, warm": Target(words="≤ plain kopf with the same objects", bound=1.0),
    "standby's processor": Target(words="≤ 0.1 % of a core", bound=0.1),
    "renewals under load": Target(words="p99 < 1 s late", bound=1.0, of=p99),
    "kept": Target(words="leadership never lost", bound=0.0),
    "many: threads": Target(words="one thread, and its guardian", bound=2.0),  # see `elector/guardian.py`
    "many: connections": Target(words="one pool: a watch each, few to write", bound=1.25),
    "overlaps": Target(words="never", bound=0.0),
    "blocked": Target(words="kept for 60 s", bound=60.0, at_least=True),
    "stuck": Target(words="exits", bound=0.0),
    "fenced": Target(words="≤ 1.5 ×", bound=1.5),
    "fenced, handover": Target(words="p95 ≤ 150 ms", bound=150.0, of=p95),
    "fenced, new holder": Target(words="p95 ≤ 50 ms", bound=50.0, of=p95),
}
