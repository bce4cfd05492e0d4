"""The checker rejects every broken promise, says why, and accepts what keeps them.

What it counts beside that is in `test_history_counts.py`; random histories, judged tick by tick beside it, are in
`test_history_random.py`.
"""

from __future__ import annotations

import pytest

from kopf_leader.testing.history import History, check
from tests.testing.histories import judge

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
    "it was frozen after its death": (("a death 10", "a frozen 20"), "was frozen after its death"),
    "it woke after its death": (("a frozen 5", "a death 10", "a woken 20"), "woke after its death"),
    "back from a freeze, it starts what the other has begun": (
        ("a frozen 10", "b start y 20", "a woken 30", "a start x 31", "b end y 40", "a end x 41"),
        "ran at the same time",
    ),
    "the successor's successor beside the first": (
        ("a start x 10", "b start y 12", "b end y 14", "c start z 16", "a end x 20", "c end z 22"),
        "2 overlaps",
    ),
    "a thread that outlives the cancelled handler": (
        ("a start x 10", "a start t 11 handler=thread", "a cancelled x 12", "b start y 15", "a end t 16", "b end y 20"),
        "thread of t",
    ),
    "handled by the killed one's orphan": (
        ("a start x 10", "a death 12", "a2 start x2 20", "b start y 25", "a2 end x2 30", "b end y 31"),
        "by a (pid 4)",
    ),
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
        (b'{"kind": "mark", "t": true}\n', "no time"),
        (b'{"t": 1, "kind": "death", "pid": true, "replica": "a"}\n', "lacks pid"),
        (b'{"t": 1e400, "kind": "death", "pid": 1, "replica": "a"}\n', "lacks t"),
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
