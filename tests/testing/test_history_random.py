"""Random histories, judged by brute force beside the checker."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kopf_leader.testing.history import Expected, History, check
from tests.testing.histories import SECOND, judge


@dataclass(frozen=True)
class Run:
    process: str
    start: int
    length: int


# Nothing here depends on how fast the machine is.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
runs = st.lists(st.builds(Run, st.sampled_from("abc"), st.integers(0, 40), st.integers(1, 10)), min_size=1, max_size=8)
freezes = st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=2)


def lines_of(chosen: list[Run]) -> list[str]:
    return [
        line
        for number, run in enumerate(chosen)
        for line in (
            f"{run.process} start r{number} {run.start}",
            f"{run.process} end r{number} {run.start + run.length}",
        )
    ]


@untimed
@given(runs)
def test_overlaps_are_exactly_what_a_clock_tick_by_tick_shows(chosen: list[Run]) -> None:
    """Look at every tick: are two processes at work? The checker must say the same, pair by pair."""
    verdict = judge(*lines_of(chosen))
    expected = {
        frozenset((f"r{i}", f"r{j}"))
        for (i, one), (j, other) in combinations(enumerate(chosen), 2)
        if one.process != other.process
        and set(range(one.start, one.start + one.length)) & set(range(other.start, other.start + other.length))
    }
    assert {frozenset((overlap.first.run, overlap.second.run)) for overlap in verdict.overlaps} == expected
    assert verdict.ok == (not expected)


@untimed
@given(runs, freezes, st.integers(0, 30))
def test_frozen_ticks_and_allowance_are_judged_like_tick_by_tick(
    chosen: list[Run], frozen: dict[str, tuple[int, int]], allowance: int
) -> None:
    """The same with freezes: the ticks of sleep do not count, those after a waking are exempt up to the allowance."""
    span = {process: range(begin, begin + length) for process, (begin, length) in frozen.items()}
    # A frozen process writes nothing: leave out runs that would start or end in its sleep.
    chosen = [
        run
        for run in chosen
        if not any(
            span[run.process].start < moment < span[run.process].stop
            for moment in (run.start, run.start + run.length)
            if run.process in span
        )
    ]
    lines = [f"{p} frozen {s.start}" for p, s in span.items()] + [f"{p} woken {s.stop}" for p, s in span.items()]
    verdict = judge(*lines, *lines_of(chosen), wake_allowance=allowance / SECOND)

    def ticks(run: Run) -> set[int]:
        return set(range(run.start, run.start + run.length)) - set(span.get(run.process, ()))

    def pardoned(run: Run) -> set[int]:
        sleep = span.get(run.process)
        in_course = sleep is not None and run.start < sleep.stop
        return ticks(run) & set(range(sleep.stop, sleep.stop + allowance)) if in_course else set()

    shared = [
        (ticks(one) & ticks(other), pardoned(one) | pardoned(other))
        for one, other in combinations(chosen, 2)
        if one.process != other.process
    ]
    assert round(sum(o.seconds for o in verdict.overlaps) * SECOND) == sum(len(both - free) for both, free in shared)
    assert round(sum(o.seconds for o in verdict.exempted) * SECOND) == sum(len(both & free) for both, free in shared)


@untimed
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5), st.integers(0, 5)), max_size=10), st.randoms())
def test_one_at_a_time_is_always_accepted_in_whatever_order_it_was_written(plan, random) -> None:
    """Any sequence of leaders, one after the other, is fine; the order of lines in the file does not matter."""
    moment, lines = 0, []
    for number, (process, length, pause) in enumerate(plan):
        pair = [f"{process} start r{number} {moment}", f"{process} end r{number} {moment + length}"]
        lines += pair
        moment += length + pause
    random.shuffle(lines)
    verdict = judge(*lines, expected=tuple(Expected(f"r{number}") for number in range(len(plan))))
    assert verdict.ok, verdict.explain()


@untimed
@given(runs, st.integers(0, 7))
def test_a_run_without_an_end_is_never_judged_more_kindly(chosen: list[Run], victim: int) -> None:
    """Taking an end away can only add overlaps."""
    lines = lines_of(chosen)
    full = judge(*lines)
    lines.remove(next(line for line in lines if f"end r{victim % len(chosen)} " in line))
    assert len(judge(*lines).overlaps) >= len(full.overlaps)


@untimed
@given(st.binary(max_size=200))
def test_reading_never_raises(content: bytes) -> None:
    """Whatever is in the file, there is a verdict."""
    verdict = check(History.parse(content))
    assert verdict.ok == (not verdict.problems)
