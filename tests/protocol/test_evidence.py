"""Proof of death: what proves it (`protocol/evidence.py`), and what the machine makes of it (L6)."""

from typing import Any

import pytest

from kopf_leader.protocol.evidence import Life, last_words, life_in, lived_before, place_of, told_dead
from kopf_leader.protocol.machine import step as good
from kopf_leader.protocol.record import HOLD
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Dead, tenure_of
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.world import Step
from tests.protocol.stage import catches, held_by, isolate, lead, stage

UID, POD = "2f5c7c9e-9d0a-4c55-8a39-7c0b0a4f4f11", "op-7d4b9-x2x8p"


def identity(*, pod: str = POD, random: str = "5f0c9a1e77", uid: str = UID, box: str = "operator", **life: Any) -> str:
    """As `make_identity` makes it."""
    given: dict[str, Any] = {"run": "0a1b2c3d", "boot": "9f8e7d6c", "start": 4711}
    return f"{pod}_{random}.{Life(place=place_of(uid, box), **(given | life))}"


def reported(*, state: Any = None, last: Any = None, uid: str = UID, **spec: Any) -> dict[str, Any]:
    """A pod with one container, as its kubelet reports it."""
    status = {"name": "operator", "containerID": "containerd://2", "state": state or {}, "lastState": last or {}}
    metadata = {"name": POD, "uid": uid, "namespace": "ns", "resourceVersion": "5"}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running", "containerStatuses": [status]}}


def ended(message: str, **more: Any) -> dict[str, Any]:
    """A run that is over."""
    return {
        "terminated": {"exitCode": 137, "reason": "Error", "containerID": "containerd://1", "message": message, **more}
    }


HOLDER, MY_RUN = identity(), "11111111"
WORDS = last_words(HOLDER) + "\n"


def test_an_identity_with_a_life_is_read_back():
    """L10: the identity stays `<pod name>_<rest>`, within 253 characters, and says where the process lives."""
    pod, life = life_in(HOLDER) or pytest.fail("no life")
    assert pod == POD
    assert life == Life(place=place_of(UID, "operator"), run="0a1b2c3d", boot="9f8e7d6c", start=4711)
    assert Settings(name="op", namespace="ns", identity=identity(pod="p" * 190)).identity
    for other in (
        "op_5f0c9a1e77",
        "somebody",
        "",
        f"{HOLDER}.more",
        HOLDER.upper(),
        identity(pod="../../services/x/proxy/y"),
    ):
        assert life_in(other) is None


def test_an_earlier_run_of_the_same_container_is_dead():
    """L6: a kubelet starts a container anew when the run before is over; another boot may be another machine's."""
    me = identity(random="0123456789", run="11111111", start=4712)
    assert lived_before(me, HOLDER)
    assert not lived_before(identity(random="0123456789", run="11111111", boot="00000000", start=9999), HOLDER)


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(identity(random="0123456789", run=MY_RUN), id="the same run, by a supervisor"),
        pytest.param(
            identity(random="0123456789", run=MY_RUN, start=4000), id="the same run, in a PID namespace of its own"
        ),
        pytest.param(identity(random="0123456789", run="22222222", start=4800), id="a later run"),
        pytest.param(identity(random="0123456789", run="22222222", start=4712), id="as old as I am"),
        pytest.param(identity(box="sidecar", run="22222222"), id="another container"),
        pytest.param(identity(uid="another", run="22222222"), id="another pod of the same name"),
        pytest.param(identity(pod="other", run="22222222"), id="another pod"),
        pytest.param(f"{POD}_5f0c9a1e77", id="no life"),
        pytest.param("", id="nobody"),
    ],
)
def test_what_is_no_earlier_run_is_not_told_dead(holder: str):
    """L6: the same run, another container, another pod, or a younger process: none of them is proved dead."""
    assert not lived_before(identity(run=MY_RUN, start=4712), holder)


def test_the_kubelet_reads_the_last_words():
    """L6: the termination message of the holder's container, with its identity: ended for good, or started anew."""
    assert told_dead(reported(state=ended(WORDS)), HOLDER)
    assert told_dead(reported(state={"running": {}}, last=ended(WORDS)), HOLDER)
    assert told_dead(reported(state=ended(f"the user's own\n{WORDS}bye")), HOLDER)
    assert told_dead(reported(state=ended(f"the runtime's own: {WORDS}")), HOLDER)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(reported(state={"running": {}}), id="running"),
        pytest.param(reported(state=ended("bye")), id="ended without a word: another run"),
        pytest.param(
            reported(state=ended(last_words(identity(random="0123456789")))), id="another process's last words"
        ),
        pytest.param(reported(state=ended(WORDS), uid="another"), id="another pod of the same name"),
        pytest.param(reported(state=ended(WORDS), shareProcessNamespace=True), id="shareProcessNamespace"),
        pytest.param(reported(state=ended(WORDS), hostPID=True), id="hostPID"),
        pytest.param(reported(state=ended(WORDS, reason="ContainerStatusUnknown")), id="container unknown"),
        pytest.param(reported(last=ended(WORDS, reason="Unknown", exitCode=255)), id="lost by its runtime"),
        pytest.param(reported(last=ended(WORDS, reason="StartError", exitCode=128)), id="its start was given up"),
        pytest.param(
            reported(
                state=ended(
                    "The container could not be located when the pod was terminated", reason="ContainerStatusUnknown"
                )
            ),
            id="container unknown, as the kubelet says it",
        ),
        pytest.param(reported(state=ended(WORDS, containerID="")), id="no container"),
        pytest.param(
            {**reported(state={"running": {}}), "status": {"phase": "Failed", "reason": "NodeLost"}}, id="marked Failed"
        ),
        pytest.param({"metadata": {"name": POD, "uid": UID, "deletionTimestamp": "now"}}, id="being deleted"),
        pytest.param({"metadata": "?", "status": {"containerStatuses": [7, {"state": "?"}]}}, id="nonsense"),
        pytest.param(None, id="nothing"),
    ],
)
def test_what_the_kubelet_has_not_told_is_no_proof(pod: Any):
    """L6: gone, marked Failed, being deleted, lost, another run, a shared PID namespace: none proves the death."""
    assert not told_dead(pod, HOLDER)


# The machine.


def proof_for(candidate: Candidate) -> Dead:
    """What its witness would tell of the holder that it sees."""
    return Dead(tenure_of(candidate.state.sight))


def two(step: Step, **settings: Any) -> tuple[Any, Candidate, Candidate]:
    """One leads, the other stands by."""
    world, _ = stage(step, takeover="evidence", **settings)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    return world, a, b


def three(step: Step) -> tuple[Any, Candidate, Candidate, Candidate]:
    """One leads, and two stand by."""
    world, a, b = two(step)
    c = world.add("c")
    world.run_for(1)
    return world, a, b, c


def overtake(world: Any, a: Candidate, b: Candidate, proof: Dead) -> None:
    """The leader dies, the other one leads by the proof of it, and is cut off at work."""
    a.crash()
    b.feed(proof)
    world.wait_for(lambda: b.open, within=1)
    isolate(b)


def come_back_by_reading(candidate: Candidate) -> None:
    """It is cut off no more, and what it learns first is by a read: its watch is opened anew."""
    candidate.deafen()
    candidate.heal()
    candidate.break_watch()
    candidate.heal()


def test_l6_a_dead_holder_is_not_waited_for():
    """L6: a proof of its holder's death stands in for the wait, and the write is on the version last seen."""
    world, a, b = two(good)
    a.crash()
    world.run_for(1)
    b.feed(proof_for(b))
    assert world.wait_for(lambda: b.open, within=1) < 0.1
    assert b.state.sight.record.transitions == 2


def test_l6_without_evidence_nobody_believes_it():
    """L6: takeover is by expiry unless it is switched on, whatever is told."""
    world, _ = stage()
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
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
    world.run_for(5)
    assert a.open
    assert not b.open


@catches("proof of death beside a creator")
def test_l6_a_creator_is_waited_for_even_when_it_is_dead(step: Step):
    """L6, L11: who has created the Lease may have waited for somebody who is still at work."""
    world, a, b = two(step)
    isolate(a)
    world.store.delete()
    world.run_for(0.5)
    assert b.state.hold is not None
    c = world.add("c")
    world.run_for(0.5)
    b.crash()
    c.feed(proof_for(c))
    world.run_for(5)
    assert a.open
    assert not c.open


@catches("proof of death of what was put back")
def test_l6_what_was_put_back_says_nothing_of_who_came_after(step: Step):
    """L6: a record with fewer transitions than were seen is not the latest hold, however dead its holder is."""
    world, a, b, c = three(step)
    saved, proof = dict(world.store.lease["spec"]), proof_for(c)
    overtake(world, a, b, proof)
    world.store.restore(saved)
    world.run_for(0.5)
    c.feed(proof)
    world.run_for(5)
    assert b.open
    assert not c.open


@catches("proof of death across a gap")
def test_l6_a_read_may_have_skipped_a_later_hold(step: Step):
    """L6: after a read that is not the first, a write of the holder has to be seen by the watch."""
    world, a, b, c = three(step)
    saved, proof = dict(world.store.lease["spec"]), proof_for(c)
    isolate(c)
    overtake(world, a, b, proof)
    world.store.restore(saved)
    c.deafen()
    c.heal()
    world.run_for(4)
    c.feed(proof)
    world.run_for(2)
    assert b.open
    assert not c.open


def test_l6_a_renewal_that_the_watch_tells_of_closes_the_gap():
    """L6: a candidate whose watch had been broken goes by evidence again as soon as it has seen the leader renew."""
    world, a, b = two(good)
    b.break_watch()
    world.wait_for(lambda: not b.state.latest.gapless, within=5)
    b.heal()
    world.run_for(5)
    a.crash()
    b.feed(proof_for(b))
    assert world.wait_for(lambda: b.open, within=1) < 0.1


def test_l6_on_hold_nobody_takes_over_from_the_dead():
    """L6: a proof makes nobody lead who has been asked not to."""
    world, a, b = two(good)
    a.crash()
    world.store.edit(metadata={"annotations": {HOLD: "maintenance"}})
    world.run_for(0.5)
    b.feed(proof_for(b))
    world.run_for(5)
    assert not b.open


def test_l6_a_fresh_candidate_may_go_by_its_first_sight():
    """L6: a container that was started anew has seen nothing yet, and takes over at once."""
    world, _ = stage(takeover="evidence", lease=held_by("a_1"))
    a = world.add("a")
    world.run_for(1)
    assert not a.open
    a.feed(proof_for(a))
    assert world.wait_for(lambda: a.open, within=1) < 0.1


def test_l6_a_return_to_an_earlier_hold_is_no_renewal():
    """L6: what the watch shows after another holder's record was put back by somebody: it closes no gap."""
    world, a, b, c = three(good)
    saved, proof = dict(world.store.lease["spec"]), proof_for(c)
    isolate(c)
    overtake(world, a, b, proof)
    world.store.restore({**saved, "holderIdentity": "x_0", "leaseTransitions": 0})  # in two steps: first a draft
    come_back_by_reading(c)
    world.run_for(4)
    world.store.restore(saved)
    world.run_for(0.5)
    c.feed(proof)
    world.run_for(2)
    assert b.open
    assert not c.open


def test_l6_a_read_of_the_past_may_have_skipped_a_later_hold():
    """L6: what is believed after a restored backup was read, so holds may have been missed before it."""
    world, checker = stage(takeover="evidence")
    a, c = lead(world, "a"), world.add("c")
    world.run_for(60)
    isolate(c)
    a.crash()
    world.store.version = 50
    checker.tokens.clear()
    world.store.changes.clear()
    world.store.edit(metadata={"labels": {"restored": "from a backup"}})
    b = world.add("b")
    world.wait_for(lambda: b.open, within=20)
    saved = dict(world.store.lease["spec"])
    come_back_by_reading(c)
    world.wait_for(lambda: c.state.older_since is not None, within=20)
    proof = proof_for(b)
    b.crash()
    d = world.add("d")
    world.run_for(1)
    d.feed(proof)
    world.wait_for(lambda: d.open, within=1)
    world.run_for(10)
    isolate(d)
    world.store.restore(saved)
    world.wait_for(lambda: c.state.older_since is None, within=20)
    c.feed(proof)
    world.run_for(0.5)
    assert d.open
    assert not c.open


def test_l6_a_holder_that_does_not_count_was_seen_all_the_same():
    """L6: of two holds with the same transitions nobody can say which is the later; so neither is proved the latest."""
    world, a, c = two(good)
    saved, proof = dict(world.store.lease["spec"]), proof_for(c)
    a.crash()
    world.store.edit(holderIdentity="another-library_0", renewTime="2026-01-02T03:04:05.000000Z")
    world.run_for(1)
    world.store.restore(saved)
    world.run_for(0.5)
    c.feed(proof)
    world.run_for(5)
    assert not c.open


def test_l6_the_dead_do_not_renew():
    """L6: who is known to be dead closes no gap: what looks like its renewal was put back, or has landed late."""
    world, a, b, c = three(good)
    early, proof = dict(world.store.lease["spec"]), proof_for(c)
    world.run_for(2)
    late = dict(world.store.lease["spec"])
    assert early != late
    isolate(c)
    overtake(world, a, b, proof)
    world.store.restore(early)
    come_back_by_reading(c)
    world.run_for(4)
    c.feed(proof)
    world.store.restore(late)
    world.run_for(1)
    assert b.open
    assert not c.open
