"""Transfers at awkward moments: to whom leads already, to a closing leader, on a dead leader's Lease."""

import pytest

from kopf_leader.protocol.record import TRANSFER_TO
from kopf_leader.protocol.state import Kind, Reason, StartLeading
from kopf_leader.testing.link import Work
from tests.protocol.stage import isolate, lead, stage
from tests.protocol.test_laws import sends


def call(world, target):
    """As `kopf-leader transfer` writes it; None takes it away."""
    metadata = world.store.lease["metadata"]
    kept = {key: text for key, text in metadata.get("annotations", {}).items() if key != TRANSFER_TO}
    world.store.edit(metadata={"annotations": kept if target is None else {**kept, TRANSFER_TO: target}})


def called(world):
    return world.store.lease["metadata"].get("annotations", {}).get(TRANSFER_TO)


def starts(world):
    """Who began a term, in order."""
    return [who for _, who, what, detail in world.log if what == "action" and isinstance(detail, StartLeading)]


@pytest.mark.parametrize("target", ["a_0", "a"])
def test_a_call_that_is_answered_is_taken_away(target):
    """Who leads already takes the call for itself away with its next renewal; it sends nothing more than it would."""
    counts = []
    for calls in (False, True):
        world, checker = stage()
        lead(world, "a")
        world.add("b")
        world.run_for(3)
        if calls:
            call(world, target)
        world.run_for(2.5)
        assert called(world) is None
        world.run_for(60)
        counts.append(len(sends(world)))
        assert starts(world) == ["a"]
        assert not checker.stops
    assert counts[0] == counts[1]


def test_a_call_in_the_wait_of_l11_is_taken_away():
    """Also by the creator, while it waits: it is going to lead."""
    world, _ = stage(lease=None)
    world.add("a")
    world.run_for(3)
    call(world, "a_0")
    world.run_for(2.5)
    assert called(world) is None
    world.run_for(15)
    assert starts(world) == ["a"]


@pytest.mark.parametrize("target", ["b_0", "*"])
def test_a_closing_leader_obeys(target):
    """A request that comes while the gate closes, for whatever reason: released when drained, no term in between."""
    world, checker = stage()
    a = lead(world, "a", work=Work(finish=3))
    world.add("b")
    world.add("c")
    world.run_for(1)
    isolate(a)
    world.wait_for(lambda: not a.gate_open, within=11)
    a.heal()
    call(world, target)
    world.wait_for(lambda: bool(world.leaders), within=20)
    assert starts(world) in (["a", "b"], ["a", "c"] if target == "*" else ["a", "b"])
    assert [stop.reason for _, who, stop in checker.stops if who == "a"] == [Reason.RENEW_DEADLINE]
    assert [send.write.kind for send in sends(world) if send.write.record.holder == ""] == [Kind.RELEASE]
    world.run_for(60)
    assert len(starts(world)) == 2


@pytest.mark.parametrize("leave", [True, False])
def test_a_leaving_leader_lets_the_called_one_lead(leave):
    """A transfer that comes while the leader drains for another reason: the one who is called leads."""
    world, _ = stage()
    a = lead(world, "a", work=Work(finish=3))
    world.add("b")
    world.add("c")
    world.run_for(1)
    a.resign(leave=leave)
    world.run_for(1)
    call(world, "c_0")
    world.wait_for(lambda: bool(world.leaders), within=5)
    assert world.leaders == ["c"]
    assert called(world) is None


def test_a_hold_that_comes_to_a_closing_leader():
    """A hold likewise: the Lease is given back, and nobody leads until it is resumed."""
    world, _ = stage()
    a = lead(world, "a", work=Work(finish=3))
    world.add("b")
    world.run_for(1)
    isolate(a)
    world.wait_for(lambda: not a.gate_open, within=11)
    a.heal()
    world.store.edit(metadata={"annotations": {"kopf-leader/hold": "why"}})
    world.wait_for(lambda: world.store.holder == "", within=5)
    world.run_for(60)
    assert starts(world) == ["a"]
    world.store.edit(metadata={"annotations": {}})
    world.wait_for(lambda: bool(world.leaders), within=1)


@pytest.mark.parametrize("name", ["b", "c", "d"])
def test_a_call_on_a_dead_leaders_lease(name):
    """Who is called goes first at expiry, too; nobody is hurried by it, and the call is gone then."""
    world, _ = stage()
    a = lead(world, "a")
    for other in ("b", "c", "d"):
        world.add(other)
    world.run_for(1)
    a.crash()
    call(world, f"{name}_0")
    waited = world.wait_for(lambda: bool(world.leaders), within=20)
    assert 12.9 < waited < 15.5
    assert world.leaders == [name]
    assert called(world) is None


def test_a_call_in_vain_on_a_dead_leaders_lease():
    """Nobody by that name: the others go one retry period later."""
    world, _ = stage()
    a = lead(world, "a")
    world.add("b")
    world.run_for(1)
    a.crash()
    call(world, "nobody")
    assert 14.9 < world.wait_for(lambda: bool(world.leaders), within=20) < 17.5
    assert called(world) is None
