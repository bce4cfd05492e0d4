"""Proof of death: what the machine makes of it. The holder is dead, and its hold is traced (L6).

A dead holder says nothing of who came after it. So its hold counts only where every version was seen from a write of
its own on; `Manifest` is what must not pass for one.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from kopf_leader.protocol.machine import step as good
from kopf_leader.protocol.record import HOLD, MAX_TRANSITIONS
from kopf_leader.protocol.state import Dead, tenure_of
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.world import Step, World
from tests.protocol.stage import catches, held_by, isolate, lead, stage


@dataclass(frozen=True)
class Manifest:
    """The Lease as somebody has saved it, to put it back later: all of it, or its spec alone."""

    lease: dict[str, Any]

    def put_back(self, world: World, *, whole: bool = True) -> None:
        annotations = self.lease["metadata"].get("annotations") if whole else None
        world.store.restore(self.lease["spec"], annotations=annotations)


def saved(world: World) -> Manifest:
    return Manifest(dict(world.store.lease or {}))


def proof_for(candidate: Candidate) -> Dead:
    """What its witness would tell of the holder that it sees."""
    assert candidate.state.sight is not None
    return Dead(tenure_of(candidate.state.sight))


def two(step: Step = good, **settings: Any) -> tuple[World, Candidate, Candidate]:
    """One leads, the other stands by."""
    world, _ = stage(step, takeover="evidence", **settings)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    return world, a, b


def three(step: Step = good) -> tuple[World, Candidate, Candidate, Candidate]:
    """One leads, and two stand by."""
    world, a, b = two(step)
    c = world.add("c")
    world.run_for(1)
    return world, a, b, c


def overtake(world: World, a: Candidate, b: Candidate, proof: Dead) -> None:
    """The leader dies, the other one leads by the proof of it, and is cut off at work."""
    a.crash()
    b.feed(proof)
    world.wait_for(lambda: b.open, within=1)
    world.run_for(2.5)  # it has renewed, too
    isolate(b)


def come_back_by_reading(candidate: Candidate) -> None:
    """It is cut off no more, and what it learns first is by a read: its watch is opened anew."""
    candidate.deafen()
    candidate.heal()
    candidate.break_watch()
    candidate.heal()


def waits(world: World, leader: Candidate, other: Candidate, *, within: float = 4) -> None:
    """The leader goes on, and the other one does not lead beside it."""
    world.run_for(within)
    assert leader.open
    assert not other.open


def test_l6_a_dead_holder_is_not_waited_for():
    """L6: a proof of its holder's death stands in for the wait, and the write is on the version last seen."""
    world, a, b = two()
    a.crash()
    world.run_for(1)
    b.feed(proof_for(b))
    assert world.wait_for(lambda: b.open, within=1) < 0.1
    assert b.state.sight.record.transitions == 2


@catches("proof of death that was not asked for")
def test_l6_without_evidence_nobody_believes_it(step: Step):
    """L6: takeover is by expiry unless it is switched on, whatever is told."""
    world, _ = stage(step)
    a, b = lead(world, "a", takeover="evidence"), world.add("b")
    world.run_for(3)
    a.crash()
    b.feed(proof_for(b))
    world.run_for(12)
    assert not b.open
    world.wait_for(lambda: b.open, within=4)


@catches("proof of death bound to nobody", "proof of death bound to the pod")
def test_l6_a_proof_is_of_one_process(step: Step):
    """L6: of the very holder, in its very term: a later process under the same pod's name is not meant by it."""
    world, a, b = two(step)
    proof = proof_for(b)
    a.crash()
    world.wait_for(lambda: b.open, within=16)
    b.resign()
    a.restart()
    world.wait_for(lambda: a.open, within=2)
    world.run_for(16)  # standing back (L20) is over
    b.feed(proof)
    waits(world, a, b)


@catches("proof of death beside a creator")
def test_l6_a_creator_is_waited_for_even_when_it_is_dead(step: Step):
    """L6, L11: who has created the Lease may have waited for somebody who is still at work."""
    world, a, b = two(step)
    isolate(a)
    world.store.delete()
    world.run_for(2.5)
    assert b.state.hold is not None
    c = world.add("c")
    world.run_for(0.5)
    b.crash()
    c.feed(proof_for(c))
    waits(world, a, c)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "spec"])
def test_l6_what_was_put_back_says_nothing_of_who_came_after(whole: bool):
    """L6: a record that was put back is no write of the dead holder's: its next write is known, and was another."""

    @catches("proof of death of what was put back", "another hold followed")
    def play(step: Step) -> None:
        world, a, b, c = three(step)
        manifest, proof = saved(world), proof_for(c)
        overtake(world, a, b, proof)
        manifest.put_back(world, whole=whole)
        world.run_for(0.1)
        c.feed(proof)
        waits(world, b, c)

    play()


@catches("hold followed across others")
def test_l6_a_hold_of_another_kind_came_between(step: Step):
    """L6: who leads without evidence, or with another library, does not say what it writes on, and was there."""
    world, a, b = two(step)
    c = world.add("c", takeover="expiry")
    world.run_for(1)
    manifest, proof = saved(world), proof_for(b)
    isolate(b)
    a.crash()
    world.wait_for(lambda: c.open, within=20)
    b.heal()  # its watch tells it all
    world.run_for(3)
    assert b.state.sight.record.holder == "c_0"
    isolate(c)
    manifest.put_back(world)
    world.run_for(0.1)
    b.feed(proof)
    waits(world, c, b)


@catches("proof of death across a gap", "proof of death of what was put back")
def test_l6_a_read_may_have_skipped_a_later_hold(step: Step):
    """L6: who was cut off knows the hold of before, and not what came between: a read does not tell."""
    world, a, b, c = three(step)
    manifest, proof = saved(world), proof_for(c)
    isolate(c)
    overtake(world, a, b, proof)
    manifest.put_back(world)
    c.deafen()
    c.heal()
    world.run_for(4)
    c.feed(proof)
    waits(world, b, c, within=2)


@catches("read taken for what came next")
def test_l6_what_a_read_shows_need_not_come_next(step: Step):
    """L6: a copy may name the very version that was seen last, and others have held in between."""
    world, a, b, c = three(step)
    isolate(c)
    version = world.store.version
    world.wait_for(lambda: world.store.version > version, within=3)
    manifest, proof = saved(world), proof_for(c)
    overtake(world, a, b, proof)
    manifest.put_back(world)
    c.deafen()
    c.heal()
    c.feed(proof)  # it writes on what it has seen, is refused, and reads
    waits(world, b, c, within=3)


def test_l6_a_watch_that_was_broken_is_traced_again():
    """L6: whose watch was broken goes by evidence again as soon as it can watch: it begins before the last write."""
    world, a, b = two()
    b.break_watch()
    world.run_for(5)
    a.crash()
    b.feed(proof_for(b))
    world.run_for(1)
    assert not b.open
    b.heal()
    world.wait_for(lambda: b.open, within=3)


def test_l6_what_nobody_remembers_is_waited_for():
    """L6: where the API server has forgotten what came before a read, the dead holder is waited for."""
    world, a, b = two()
    a.crash()
    world.store.compacted = world.store.version
    c = world.add("c")
    world.run_for(0.5)
    c.feed(proof_for(c))
    world.run_for(5)
    assert not c.open
    b.feed(proof_for(b))  # it has watched
    world.wait_for(lambda: b.open, within=1)


def test_l6_on_hold_nobody_takes_over_from_the_dead():
    """L6: a proof makes nobody lead who has been asked not to; nor do such edits break the trace."""
    world, a, b = two()
    a.crash()
    world.store.edit(metadata={"annotations": {**world.store.lease["metadata"]["annotations"], HOLD: "maintenance"}})
    world.run_for(0.5)
    b.feed(proof_for(b))
    world.run_for(5)
    assert not b.open
    annotations = {**world.store.lease["metadata"]["annotations"]}
    del annotations[HOLD]
    world.store.edit(metadata={"annotations": annotations})
    world.wait_for(lambda: b.open, within=3)


def test_l6_a_fresh_candidate_need_not_wait_for_the_dead():
    """L6: all pods have died. Who is started then has seen nothing, and takes over at once: its watch begins before."""
    world, a, b = two()
    world.run_for(5)
    a.crash()
    b.crash()
    c = world.add("c")
    world.run_for(0.5)
    assert not c.open
    c.feed(proof_for(c))
    assert world.wait_for(lambda: c.open, within=1) < 0.1


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "spec"])
def test_l6_a_fresh_candidate_is_not_taken_in_by_what_was_put_back(whole: bool):
    """L6: nor does a candidate that has seen nothing else believe the record of a dead holder that was put back."""

    @catches("proof of death of what was put back", "copy taken for a write")
    def play(step: Step) -> None:
        world, a, b = two(step)
        manifest, proof = saved(world), proof_for(b)
        overtake(world, a, b, proof)
        manifest.put_back(world, whole=whole)
        c = world.add("c")
        world.run_for(0.5)
        c.feed(proof)
        waits(world, b, c)

    play()


@catches("proof of death of what was put back")
def test_l6_of_a_strange_record_nothing_is_known(step: Step):
    """L6: the record of a dead holder of whom no write was ever seen is waited for, however it came there."""
    world, _ = stage(step, takeover="evidence", lease=held_by("a_1"))
    a = world.add("a")
    world.run_for(1)
    a.feed(proof_for(a))
    world.run_for(5)
    assert not a.open


@catches("proof of death of what was put back", "another hold followed")
def test_l6_a_record_of_the_lease_before_is_put_back_into_the_new_one(step: Step):
    """L6: after a deletion the transitions are counted anew, so a record of before looks later than the leader's.

    Found by the random schedules (seed 12 of `deaths`): counting transitions does not tell which hold is the latest.
    """
    world, a, b, c = three(step)
    a.resign(leave=True)
    world.wait_for(lambda: b.open or c.open, within=1)
    b, c = (b, c) if b.open else (c, b)
    world.run_for(5)
    manifest = saved(world)
    dead = tenure_of(b.state.sight)
    b.crash()
    world.store.delete()
    world.wait_for(lambda: c.open, within=20)
    d = world.add("d")
    world.run_for(1)
    assert d.state.sight.record.transitions < dead.transitions
    isolate(c)
    manifest.put_back(world)
    world.run_for(0.1)
    d.feed(proof_for(d))
    waits(world, c, d)


@catches("who asks vouches for the holder")
def test_l6_who_asks_for_the_place_vouches_for_nobody(step: Step):
    """L6: a candidate of higher priority writes its request, and leaves the holder's words as they are."""
    world, a, b = two(step)
    manifest, proof = saved(world), proof_for(b)
    overtake(world, a, b, proof)
    manifest.put_back(world, whole=False)
    c = world.add("c", priority=5)
    world.wait_for(lambda: world.store.lease["metadata"]["annotations"].get("kopf-leader/transfer-to"), within=1)
    world.run_for(0.5)
    c.feed(proof)
    waits(world, b, c)


@pytest.mark.parametrize("late", [True, False], ids=["landed late", "put back"])
def test_l6_the_last_write_of_the_dead_may_land_late(late: bool):
    """L6: it is the dead holder's own, on the version before it, so it is traced; a copy of it is not."""
    world, a, b, c = three()
    a.link.hold = True
    version = world.store.version
    world.wait_for(lambda: bool(a.held), within=3)
    held = list(a.held)
    proof = proof_for(c)
    a.crash()
    assert world.store.version == version
    for arrive in held:
        arrive()
    if not late:
        manifest = saved(world)
        world.run_for(0.1)
        overtake(world, a, b, proof)
        manifest.put_back(world)
    world.run_for(0.1)
    c.feed(proof)
    if late:
        world.wait_for(lambda: c.open, within=1)
    else:
        waits(world, b, c)


@catches("trace kept across a restored backup")
def test_l6_a_restored_backup_breaks_the_trace(step: Step):
    """L6: a version that was traced may be used once more in another history, after others have held."""
    world, checker = stage(step, takeover="evidence")
    a, c = lead(world, "a"), world.add("c")
    world.run_for(60)
    manifest = saved(world)
    world.run_for(2.5)
    isolate(c)
    proof, version = proof_for(c), c.state.version
    a.crash()
    checker.tokens.clear()
    world.store.changes.clear()
    world.store.version = version - 40
    world.store.edit(metadata={"labels": {"restored": "from a backup"}})
    b = world.add("b")
    world.wait_for(lambda: b.open, within=20)
    come_back_by_reading(c)
    world.wait_for(lambda: c.state.older_since is not None, within=20)
    c.deafen()
    world.run_for(12)
    isolate(b)
    world.store.version = version - 1
    manifest.put_back(world)
    c.feed(proof)
    waits(world, b, c)
    assert c.state.older_since is None


def test_l6_a_hold_with_the_most_transitions_counts():
    """L3, L6: where transitions have reached their end and stay there, a traced hold is proved as any other."""
    world, _ = stage(takeover="evidence", lease=held_by("x", transitions=MAX_TRANSITIONS))
    a = world.add("a")
    world.wait_for(lambda: a.open, within=20)
    b = world.add("b")
    world.run_for(1)
    a.crash()
    b.feed(proof_for(b))
    assert world.wait_for(lambda: b.open, within=1) < 0.1
