"""The judge: an overlap is the fault of the right one."""

from __future__ import annotations

import pytest

from kopf_leader.testing.history import History
from tests.mixed.judge import Judgement, judge
from tests.mixed.watchman import Sight

LEASE = 6
KINDS = {"a": "ours", "x": "client-go"}
PIDS = {"a": 1, "x": 2}


def at(seconds: float) -> int:
    return int(1000 + seconds * 1_000_000_000)


def run(replica: str, begin: float, end: float | None = None) -> list[dict[str, object]]:
    """The facts of one run."""
    fact = {"pid": PIDS[replica], "replica": replica, "run": f"{replica}-{begin}"}
    facts = [{**fact, "t": at(begin), "kind": "start", "handler": "work", "uid": "fleet"}]
    return facts + ([{**fact, "t": at(end), "kind": "cancelled"}] if end is not None else [])


def sights(*told: tuple[float, str]) -> list[Sight]:
    """Versions of the Lease: when, and who holds it ("" nobody, "-" deleted)."""
    return [
        Sight(at(when), number, holder == "-", {"holderIdentity": f"{holder}_1" if holder not in ("", "-") else ""})
        for number, (when, holder) in enumerate(told, 1)
    ]


def verdict(facts: list[dict[str, object]], seen: list[Sight]) -> Judgement:
    ordered = tuple(sorted(facts, key=lambda fact: fact["t"]))
    return judge(History(ordered), "fleet", seen, lease_duration=LEASE, kinds=KINDS)


def culprits(facts: list[dict[str, object]], seen: list[Sight]) -> list[str]:
    return [fault.culprit for fault in verdict(facts, seen).faults]


@pytest.mark.parametrize(("leader", "rival"), [("a", "x"), ("x", "a")])
def test_who_is_silent_for_a_lease_duration_and_at_work_is_at_fault(leader, rival):
    """The hold has run out, another one took it: who still works is at fault."""
    seen = sights((0, leader), (1, leader), (7.1, rival))
    assert culprits([*run(leader, 0, 8), *run(rival, 7.2, 9)], seen) == [leader]


@pytest.mark.parametrize(("leader", "rival"), [("a", "x"), ("x", "a")])
def test_who_takes_what_is_not_free_is_at_fault(leader, rival):
    """The hold has not run out: who took it is at fault, not who works on."""
    seen = sights((0, leader), (1, leader), (4, rival))
    assert culprits([*run(leader, 0, 5), *run(rival, 4.1, 9)], seen) == [rival]


@pytest.mark.parametrize(("leader", "rival"), [("a", "x"), ("x", "a")])
def test_who_works_after_its_release_is_at_fault(leader, rival):
    """The hold was given up: who still works is at fault."""
    seen = sights((0, leader), (1, ""), (1.01, rival))
    assert culprits([*run(leader, 0, 2), *run(rival, 1.02, 9)], seen) == [leader]


@pytest.mark.parametrize(("leader", "rival"), [("a", "x"), ("x", "a")])
def test_who_works_without_the_lease_is_at_fault(leader, rival):
    """Who has never held it is at fault, whether it began first or second."""
    assert culprits([*run(leader, 0, 9), *run(rival, 5, 9)], sights((0, leader), (6, leader))) == [rival]
    assert culprits([*run(rival, 0, 9), *run(leader, 5, 9)], sights((4, leader), (6, leader))) == [rival]


@pytest.mark.parametrize(("leader", "rival"), [("a", "x"), ("x", "a")])
def test_who_creates_a_deleted_lease_and_starts_at_once_is_at_fault(leader, rival):
    """A deletion frees nothing: who starts within a lease duration of the last renewal is at fault (L11)."""
    seen = sights((0, leader), (1, "-"), (1.1, rival))
    assert culprits([*run(leader, 0, 3), *run(rival, 1.2, 9)], seen) == [rival]
    assert culprits([*run(leader, 0, 8), *run(rival, 7.2, 9)], seen) == [leader]


def test_a_release_that_wipes_the_successor_changes_nothing():
    """R1: client-go works on beside its successor, and empties the Lease later: it is at fault."""
    seen = sights((0, "x"), (6.1, "a"), (6.4, ""), (6.5, "a"))
    assert culprits([*run("x", 0, 7), *run("a", 6.15, 6.45), *run("a", 6.55, 9)], seen) == ["x", "x"]


def test_only_ours_has_time_after_waking():
    """What ours runs on after waking is exempt for a second; what others run on is shown from the first moment."""
    for sleeper, other, faults, exempt in (("a", "x", [], 0.5), ("x", "a", ["x"], 0)):
        asleep = [
            {"t": at(1), "kind": "frozen", "pid": PIDS[sleeper], "replica": sleeper},
            {"t": at(8), "kind": "woken", "pid": PIDS[sleeper], "replica": sleeper},
        ]
        judgement = verdict(
            [*run(sleeper, 0, 8.5), *asleep, *run(other, 7, 9)], sights((0, sleeper), (1, sleeper), (7, other))
        )
        assert [fault.culprit for fault in judgement.faults] == faults
        assert judgement.exempt == pytest.approx(exempt)


def test_what_belongs_to_other_leases_is_left_out():
    """Two processes may be at work at once under two Leases."""
    other = [{**fact, "uid": "other"} if fact["kind"] == "start" else fact for fact in run("x", 0, 9)]
    judgement = verdict([*run("a", 0, 9), *other], sights((0, "a")))
    assert judgement.faults == ()
    assert judgement.leaders == ("a",)
