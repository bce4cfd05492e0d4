"""The checker rejects every broken promise, says why, and accepts what keeps them.

A history here is a few words a line: ``a start x 10`` (process a starts run x at 10), so that a reader sees the case.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kopf_leader.testing.history import Expected, History, Process, Verdict, check

SECOND = 1_000_000_000
PIDS = {"a": 1, "b": 2, "c": 3, "a2": 4}  # a2 is the replica a after a restart


def fact(line: str) -> dict[str, object]:
    """``<process> <kind> [<run>] <time> [handler=] [uid=] [change=]``; a run's uid is its own name unless told."""
    words = line.split()
    extra = dict(word.split("=") for word in words if "=" in word)
    words = [word for word in words if "=" not in word]
    process, kind, time = words[0], words[1], int(words[-1])
    found: dict[str, object] = {"t": time, "kind": kind, "pid": PIDS[process], "replica": process[0]}
    if kind in ("start", "end", "cancelled", "failed"):
        found["run"] = words[2]
    if kind == "start":
        found |= {"handler": "create", "uid": words[2], "name": words[2], "change": "1"} | extra
        found["change"] = None if found["change"] == "none" else found["change"]
    return found


def history(*lines: str) -> History:
    return History.parse(b"".join(json.dumps(fact(line)).encode() + b"\n" for line in lines))


def judge(*lines: str, expected: tuple[Expected, ...] = (), wake_allowance: float = 0.0) -> Verdict:
    return check(history(*lines), expected, wake_allowance=wake_allowance)


# What must be rejected: the lines, and words that the explanation must have.
BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "one starts before the other ends": (
        ("a start x 10", "b start y 15", "a end x 20", "b end y 30"),
        "create of x (change 1) by a (pid 1) and create of y (change 1) by b (pid 2) ran at the same time",
    ),
    "one within the other": (("a start x 10", "b start y 12", "b end y 13", "a end x 20"), "ran at the same time"),
    "by a single nanosecond": (("a start x 10", "a end x 21", "b start y 20", "b end y 30"), "0.000000 s"),
    "the same object by both": (
        ("a start x 10 uid=u", "b start y 15 uid=u", "a end x 20", "b end y 30"),
        "ran at the same time",
    ),
    "a daemon beside a handler of another object": (
        ("a start d 10 handler=daemon change=none", "b start y 15", "b end y 16", "a cancelled d 20"),
        "daemon of d by a (pid 1)",
    ),
    "a handler that was being cancelled still ran": (
        ("a start x 10", "b start y 15", "a cancelled x 16", "b end y 30"),
        "ran at the same time",
    ),
    "a handler that failed still ran": (
        ("a start x 10", "b start y 15", "a failed x 16", "b end y 30"),
        "ran at the same time",
    ),
    "killed, but after the other began": (("a start x 10", "b start y 15", "a death 16", "b end y 30"), "ran at the"),
    "killed, and nobody wrote the death": (("a start x 10", "b start y 1500", "b end y 1600"), "ran at the same time"),
    "both never ended": (("a start x 10", "b start y 15"), "for inf s"),
    "a restarted replica beside its own former life": (
        ("a start x 10", "a2 start y 15", "a2 end y 16", "a end x 20"),
        "by a (pid 1)",
    ),
    "three at once": (
        ("a start x 10", "b start y 11", "c start z 12", "a end x 20", "b end y 20", "c end z 20"),
        "3 overlaps",
    ),
    "an overlap long before the end of the file": (
        ("a start x 10", "b start y 15", "a end x 20", "b end y 30", "b start z 40", "b end z 50"),
        "1 overlaps",
    ),
    "an old long handler, many short ones between": (
        (
            "a start x 1",
            "a start s 2",
            "a end s 3",
            "a start t 4",
            "a end t 5",
            "b start y 6",
            "b end y 7",
            "a end x 8",
        ),
        "ran at the same time",
    ),
    "the same daemon twice in one process": (
        (
            "a start d 10 uid=u handler=daemon change=none",
            "a start e 20 uid=u handler=daemon change=none",
            "a cancelled d 30",
            "a cancelled e 30",
        ),
        "doubled: daemon",
    ),
    "frozen while the other worked, and woke into it": (
        ("a start x 10", "a frozen 15", "b start y 20", "a woken 30", "a end x 35", "b end y 40"),
        "ran at the same time",
    ),
    "frozen only after the other had begun": (
        ("a start x 10", "b start y 12", "a frozen 15", "b end y 20", "a woken 30", "a end x 35"),
        "ran at the same time",
    ),
    "it ended and never started": (("a end x 10",), "never started"),
    "it started twice": (("a start x 10", "a start x 20", "a end x 30"), "started twice"),
    "it finished twice": (("a start x 10", "a end x 20", "a cancelled x 30"), "finished twice"),
    "it finished before it started": (("a start x 20", "a end x 10"), "finished before it started"),
    "a dead process wrote": (("a death 10", "a start x 20", "a end x 30"), "after its death"),
    "a dead process ended a handler": (("a start x 5", "a death 10", "a end x 20"), "wrote end after its death"),
    "it died twice": (("a start x 1", "a end x 2", "a death 10", "a death 20"), "died twice"),
    "a frozen process wrote": (
        ("a frozen 10", "a start x 20", "a woken 30", "a end x 40"),
        "wrote start while it was frozen",
    ),
    "a process that never woke wrote": (("a frozen 10", "a start x 20", "a end x 21"), "while it was frozen"),
    "it woke and had not slept": (("a start x 1", "a end x 2", "a woken 10"), "woke without having been frozen"),
    "frozen twice": (("a frozen 10", "a frozen 20", "a woken 30"), "frozen twice"),
    "an end in the name of another process": (
        ("a start x 10", "b end x 20", "a death 30"),
        "finished and never started",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_rejected_and_the_reason_is_a_sentence(name: str) -> None:
    """Every planted violation is found, whatever else the history has."""
    lines, words = BAD[name]
    verdict = judge(*lines)
    assert not verdict.ok
    assert words in verdict.explain()


GOOD: dict[str, tuple[str, ...]] = {
    "nothing at all": (),
    "one replica, many handlers at once": ("a start x 10", "a start y 11", "a end x 20", "a end y 21"),
    "one after the other": ("a start x 10", "a end x 20", "b start y 30", "b end y 40"),
    "touching in one nanosecond": ("a start x 10", "a end x 20", "b start y 20", "b end y 30"),
    "there and back": (
        *("a start x 10", "a end x 20", "b start y 30", "b end y 40"),
        *("a start z 50", "a end z 60", "c start w 70", "c end w 80"),
    ),
    "cancelled before the takeover": ("a start x 10", "a cancelled x 20", "b start y 30 uid=x", "b end y 40"),
    "killed before the takeover": ("a start x 10", "a death 20", "b start y 30 uid=x", "b end y 40"),
    "lines of two processes out of order in the file": (*("b start y 30", "a start x 10", "b end y 40", "a end x 20"),),
    "a handler that never ends, of the last leader": ("a start x 10", "a end x 20", "b start d 30 handler=daemon"),
    "the daemon again after a demotion": (
        "a start d 10 uid=u handler=daemon change=none",
        "a cancelled d 20",
        "b start e 30 uid=u handler=daemon change=none",
        "b cancelled e 40",
        "a start f 50 uid=u handler=daemon change=none",
        "a death 60",
    ),
    "two handlers of one object at once": (
        *("a start x 10 uid=u handler=daemon", "a start y 11 uid=u handler=timer", "a end x 20", "a end y 20"),
    ),
    "frozen for good while the other takes over": ("a start x 10", "a frozen 15", "b start y 20", "b end y 30"),
    "frozen, then killed in its sleep": (*("a start x 10", "a frozen 15", "b start y 20", "b end y 30", "a death 40"),),
    "frozen, and the other had finished when it woke": (
        *("a start x 10", "a frozen 15", "b start y 20", "b end y 25", "a woken 30", "a end x 35"),
    ),
    "frozen with nothing to do": (
        "a frozen 10",
        "b start y 20",
        "b end y 30",
        "a woken 40",
        "a start x 50",
        "a end x 60",
    ),
    "handled again by each leader, by nature": (
        "a start x 10 uid=u handler=resume change=none",
        "a end x 20",
        "b start y 30 uid=u handler=resume change=none",
        "b end y 40",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_is_accepted(name: str) -> None:
    """What keeps the promises is not rejected: a checker that always cries is worth nothing."""
    verdict = judge(*GOOD[name])
    assert verdict.ok, verdict.explain()
    assert verdict.twice == ()


# Lines that are no facts


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"t": 1, "kind": "mark"}', "torn"),
        (b'{"t": 1, "kind": "ma\n', "line 1 is no JSON"),
        (b"\xff\xfe\n", "line 1 is no JSON"),
        (b"\n", "line 1 is no JSON"),
        (b"[]\n", "no object"),
        (b'{"t": 1}\n', "unknown kind None"),
        (b'{"t": 1, "kind": "begin", "pid": 1, "replica": "a"}\n', "unknown kind 'begin'"),
        (b'{"kind": "mark"}\n', "no time"),
        (b'{"t": "1", "kind": "death", "pid": 1, "replica": "a"}\n', "lacks t"),
        (b'{"t": 1, "kind": "end", "pid": 1, "replica": "a"}\n', "lacks run"),
        (b'{"t": 1, "kind": "start", "pid": 1, "replica": "a", "run": "x"}\n', "lacks handler, uid"),
    ],
)
def test_a_history_that_is_not_whole_proves_nothing(content: bytes, words: str) -> None:
    """A torn or foreign line rejects the history, and its number is named; reading never raises."""
    verdict = check(History.parse(content))
    assert not verdict.ok
    assert words in verdict.explain()


# Lost objects


@dataclass(frozen=True)
class Case:
    lines: tuple[str, ...]
    wanted: Expected


LOST = {
    "never seen": Case((), Expected("u")),
    "only started": Case(("a start x 10 uid=u",), Expected("u")),
    "cancelled and never done again": Case(("a start x 10 uid=u", "a cancelled x 20"), Expected("u")),
    "failed": Case(("a start x 10 uid=u", "a failed x 20"), Expected("u")),
    "its process died": Case(("a start x 10 uid=u", "a death 20"), Expected("u")),
    "an older change only": Case(("a start x 10 uid=u change=1", "a end x 20"), Expected("u", change="2")),
    "another handler only": Case(("a start x 10 uid=u", "a end x 20"), Expected("u", handlers=("delete",))),
    "another object only": Case(("a start x 10 uid=v", "a end x 20"), Expected("u")),
}


@pytest.mark.parametrize("name", LOST)
def test_what_was_never_handled_to_the_end_is_lost(name: str) -> None:
    """Lost: no execution with an end for this object, change and handler."""
    case = LOST[name]
    verdict = judge(*case.lines, expected=(case.wanted,))
    assert verdict.lost == (case.wanted,)
    assert not verdict.ok
    assert f"lost: {case.wanted}" in verdict.explain()


def test_what_was_handled_to_the_end_is_not_lost() -> None:
    """By whichever replica and after however many attempts."""
    verdict = judge(
        *("a start x 10 uid=u change=2", "a death 20", "b start y 30 uid=u change=2 handler=update", "b end y 40"),
        expected=(Expected("u", change="2", handlers=("create", "update")), Expected("u")),
    )
    assert verdict.ok
    assert verdict.lost == ()


# Twice, cut and repeated


def test_a_change_that_was_cut_by_a_takeover_may_be_repeated() -> None:
    """Cut and repeated is allowed, and counted; it is not handled twice."""
    verdict = judge("a start x 10 uid=u", "a cancelled x 20", "b start y 30 uid=u", "b end y 40")
    assert (verdict.repeats, verdict.twice, verdict.ok) == (1, (), True)


def test_a_change_that_came_to_its_end_twice_is_reported() -> None:
    """Handled twice is counted apart, and names both; the promise of no overlap is not broken by it."""
    verdict = judge("a start x 10 uid=u", "a end x 20", "b start y 30 uid=u", "b end y 40")
    assert [[run.process.replica for run in runs] for runs in verdict.twice] == [["a", "b"]]
    assert verdict.repeats == 0
    assert verdict.ok
    assert "handled twice: create of u" in verdict.explain().replace(" x ", " u ")


def test_twice_by_the_same_process_is_reported_too() -> None:
    """Whoever did it."""
    assert len(judge("a start x 10 uid=u", "a end x 20", "a start y 30 uid=u", "a end y 40").twice) == 1


@pytest.mark.parametrize("difference", ["uid=v", "handler=update", "change=2", "change=none"])
def test_another_object_handler_or_change_is_not_twice(difference: str) -> None:
    """Twice is the same object, handler and change."""
    verdict = judge("a start x 10 uid=u change=1", "a end x 20", f"b start y 30 uid=u {difference}", "b end y 40")
    assert verdict.twice == ()


# Freezing


FROZEN = (
    *("a start x 10", "a frozen 15", "b start y 20"),
    f"a woken {SECOND}",
    f"a cancelled x {SECOND + 500}",
    f"b end y {2 * SECOND}",
)


def test_without_an_allowance_nothing_is_exempt() -> None:
    """The default is the strict one."""
    verdict = judge(*FROZEN)
    assert [overlap.seconds for overlap in verdict.overlaps] == [500 / SECOND]
    assert verdict.exempted == ()


def test_the_moments_after_a_waking_are_exempt_and_reported() -> None:
    """A process runs on for some milliseconds until it has looked at the clock: never silently."""
    verdict = judge(*FROZEN, wake_allowance=1e-6)
    assert verdict.ok
    assert [overlap.seconds for overlap in verdict.exempted] == [500 / SECOND]
    assert verdict.exempted_seconds == 500 / SECOND
    assert "exempted: create of y (change 1) by b (pid 2) and create of x (change 1) by a" in verdict.explain()


def test_beyond_the_allowance_it_is_an_overlap() -> None:
    """The exemption is bounded: the rest counts."""
    verdict = judge(*FROZEN, wake_allowance=400e-9)
    assert not verdict.ok
    assert [overlap.seconds for overlap in verdict.exempted] == [400 / SECOND]
    assert [overlap.seconds for overlap in verdict.overlaps] == [100 / SECOND]


def test_a_handler_that_starts_after_the_waking_is_not_exempt() -> None:
    """What was running may run on until the clock was looked at; a start looks at the clock."""
    verdict = judge(
        *("a frozen 15", "b start y 20", "a woken 30", "a start x 31", "a end x 32", "b end y 40"), wake_allowance=1.0
    )
    assert not verdict.ok
    assert verdict.exempted == ()


def test_an_allowance_excuses_nobody_who_was_not_frozen() -> None:
    """The exemption belongs to the process that woke."""
    assert not judge("a start x 10", "b start y 15", "a end x 20", "b end y 30", wake_allowance=10.0).ok


def test_a_freeze_that_ended_before_the_handler_began_excuses_nothing() -> None:
    """Waking long ago is no excuse."""
    lines = ("a frozen 1", "a woken 2", "a start x 10", "b start y 15", "a end x 20", "b end y 30")
    assert not judge(*lines, wake_allowance=10.0).ok


def test_frozen_twice_is_judged_piece_by_piece() -> None:
    """Between two freezes the process was awake, and what it did then counts."""
    verdict = judge(
        "a start x 10",
        "a frozen 20",
        "b start y 30",
        "a woken 40",
        "a frozen 50",
        "a woken 60",
        "a end x 65",
        "b end y 70",
    )
    assert [overlap.begin for overlap in verdict.overlaps] == [40, 60]


# Handovers


def test_handovers_are_named_with_the_time_without_work() -> None:
    """From the last finish of all before to the first start of another process."""
    verdict = judge(
        "a start x 10",
        "a start w 11",
        f"a end w {1 * SECOND}",
        f"a end x {2 * SECOND}",
        f"b start y {5 * SECOND}",
        f"b end y {6 * SECOND}",
        f"b start z {7 * SECOND}",
    )
    (handover,) = verdict.handovers
    assert (handover.before, handover.after, handover.seconds) == (Process("a", 1), Process("b", 2), 3.0)


def test_marks_are_ignored() -> None:
    """A test's notes to itself decide nothing."""
    assert check(History.parse(b'{"t": 1, "kind": "mark", "note": "SIGTERM"}\n')) == Verdict()


def test_a_long_explanation_is_cut() -> None:
    """Ten of a kind, then how many more."""
    lines = [f"a start x{n} {n}" for n in range(15)] + ["b start y 99"]
    text = judge(*lines).explain()
    assert text.count("ran at the same time") == 10
    assert "and 5 more" in text


# Properties: random histories, judged by brute force beside the checker


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
