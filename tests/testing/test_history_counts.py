"""What the checker counts: lost, twice, cut and repeated, exempted after a waking, handovers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kopf_leader.testing.history import Expected, History, Process, Verdict, check
from tests.testing.histories import SECOND, judge

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
