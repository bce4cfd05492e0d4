"""What the records of kopf's peering say: who lives, and what proves that nobody else was at work."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from kopf_leader.gate.peers import Sights, holder_of, listed, proves, record, records_of

WALL = 1_800_000_000.0
OWN = "kopf-leader/ns/op"


def at(seconds):
    """The time of day, this many seconds from now, as kopf writes it."""
    return (datetime.fromtimestamp(WALL, UTC) + timedelta(seconds=seconds)).isoformat()


def peer(*, seen=0, lifetime=60, priority=0):
    return {"priority": priority, "lifetime": lifetime, "lastseen": at(seen)}


def names(sights, status, *, now=0.0, wall=WALL, where="here"):
    return [one.identity for one in sights.live(where, status, own=OWN, now=now, wall=wall)]


def test_a_record_lives_until_both_clocks_say_that_it_is_dead():
    """A record lives until its time has passed by the time of day and it has not changed for its lifetime."""
    sights, status = Sights(), {"old": peer(seen=0)}
    assert names(sights, status, now=0, wall=WALL) == ["old"]
    assert names(sights, status, now=59, wall=WALL + 61) == ["old"]
    assert names(sights, status, now=61, wall=WALL + 59) == ["old"]
    assert names(sights, status, now=61, wall=WALL + 61) == []


@pytest.mark.parametrize("seen", [-3600, 0, 3600])
def test_a_record_that_changes_lives_whatever_its_clock_says(seen):
    """Clocks that differ make us wait, never start: as long as it is refreshed, it is there."""
    sights = Sights()
    for turn in range(10):
        assert names(sights, {"old": peer(seen=seen + 55 * turn)}, now=55 * turn, wall=WALL + 55 * turn) == ["old"]


def test_a_record_found_for_the_first_time_is_waited_for():
    """Nobody can know of a record that looks dead at the first sight: it counts for its lifetime."""
    sights, status = Sights(), {"old": peer(seen=-1000, lifetime=20)}
    assert names(sights, status, now=5) == ["old"]
    assert names(sights, status, now=24) == ["old"]
    assert names(sights, status, now=26) == []


def test_removed_records_are_forgotten():
    """A removed record is nobody; when it comes back its time begins anew."""
    sights = Sights()
    dead = {"old": peer(seen=-1000)}
    assert names(sights, dead, now=0) == ["old"]
    assert names(sights, {"old": None}, now=50) == []
    assert names(sights, dead, now=70) == ["old"]


def test_objects_are_told_apart():
    """The same identity in two namespaces is two records."""
    sights = Sights()
    assert names(sights, {"old": peer(seen=-1000)}, now=0, where="a") == ["old"]
    assert names(sights, {"old": peer(seen=-900)}, now=30, where="b") == ["old"]
    assert names(sights, {"old": peer(seen=-1000)}, now=61, where="a") == []
    assert names(sights, {"old": peer(seen=-900)}, now=61, where="b") == ["old"]


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        "text",
        5,
        [],
        {"lastseen": None},
        {"lastseen": "yesterday", "lifetime": 1},
        {"priority": "x", "lifetime": []},
    ],
)
def test_what_cannot_be_read_lives(nonsense):
    """A record without a time that can be read counts as live, for good; it breaks nothing."""
    sights = Sights()
    assert names(sights, {"odd": nonsense}, now=0) == ["odd"]
    assert names(sights, {"odd": nonsense}, now=1e6, wall=WALL + 1e6) == ["odd"]


@pytest.mark.parametrize("status", [None, "text", [], 0])
def test_a_status_of_another_shape_holds_nobody(status):
    """No status at all: nobody is there."""
    assert names(Sights(), status) == []
    assert records_of(status) == {}


def test_our_own_record_is_nobody_else():
    """The record of the Lease's holders is none of somebody else's, whoever of them wrote it."""
    mine = record(holder="a", state="working", lifetime=60)
    peers = Sights().live("here", {OWN: mine, "old": peer(priority=7)}, own=OWN, now=0, wall=WALL)
    assert listed(peers) == "old (priority 7)"
    assert holder_of(mine) == "a"
    assert holder_of(None) is None


def test_only_a_fresh_record_of_work_is_a_proof():
    """`working`, and not older (nor younger) than half of its lifetime."""
    now = time.time()
    fresh = record(holder="a", state="working", lifetime=60)
    assert proves(fresh, wall=now)
    assert proves(fresh, wall=now + 29)
    assert not proves(fresh, wall=now + 32)
    assert not proves(fresh, wall=now - 32)
    assert not proves(record(holder="a", state="waiting", lifetime=60), wall=now)
    assert not proves(record(holder="a", state="working", lifetime=10), wall=now + 6)
    for nonsense in (None, {}, "working", {"state": "working"}, {"state": "working", "lastseen": "x", "lifetime": 1}):
        assert not proves(nonsense, wall=now)


def test_others_yield_to_our_record_whatever_their_priority():
    """Kopf reads our record, with the fields of ours in it, as one of a live operator above all others."""
    from kopf._core.engines.peering import Peer  # noqa: PLC0415 (kopf's own reading, on each release)

    ours = Peer(identity=OWN, **record(holder="a", state="waiting", lifetime=60))
    assert not ours.is_dead
    assert ours.priority > 999_999_999
