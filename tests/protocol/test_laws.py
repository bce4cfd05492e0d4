"""L1 to L11, one test or more for each law; the docstring is the law. Stopping and standing by: the file beside."""

import itertools
from math import inf

import pytest

from kopf_leader.protocol.machine import claim_until
from kopf_leader.protocol.record import sight_of
from kopf_leader.protocol.state import Kind, Reason, Rejected, Seen, Send, State
from kopf_leader.testing.link import Fate, Link, Work
from tests.protocol.stage import catches, held_by, isolate, lead, stage


def sends(world):
    """Every write that was decided, in order."""
    return [detail for _, _, what, detail in world.log if what == "action" and isinstance(detail, Send)]


@catches("PUT without uid", "PUT drops what it does not know")
def test_l1_a_write_is_a_put_of_what_was_seen(step):
    """L1: every write is a PUT with uid and resourceVersion, only our fields changed; all else survives."""
    world, _ = stage(step, labels={"app": "mine"})
    world.store.edit(
        metadata={"labels": {"by": "helm"}, "annotations": {"a": "b"}, "x": {"y": [1]}}, **{"x-new": {"z": 1}}
    )
    a = lead(world, "a")
    world.run_for(5)
    a.resign(leave=True)
    world.run_for(1)
    assert {write.body["metadata"]["uid"] for write in sends(world)} == {"uid-1"}
    assert world.store.lease["metadata"].get("labels") == {"by": "helm", "app": "mine"}
    assert world.store.lease["metadata"]["annotations"] == {"a": "b"}
    assert world.store.lease["metadata"]["x"] == {"y": [1]}
    assert world.store.lease["spec"]["x-new"] == {"z": 1}


@catches()
def test_l1_one_write_is_in_flight_at_a_time(step):
    """L1: one write in flight at a time; what else happens does not bring a second one."""
    world, _ = stage(step, lease=held_by("x"))
    a = world.add("a")
    a.link.hold = True
    world.run_until(15.5)
    first = a.state.flight
    world.store.edit(metadata={"labels": {"by": "me"}})
    world.run_until(19.9)
    assert first is not None
    assert len(a.held) == 1
    assert a.state.flight == first


@catches()
def test_l1_an_absent_lease_is_created_by_a_post(step):
    """L1: a POST when the Lease is absent, without uid and version, and never a DELETE."""
    world, _ = stage(step, lease=None)
    a = lead_later(world, "a")
    first = sends(world)[0]
    assert first.write.base is None
    assert set(first.body["metadata"]) == {"name", "namespace"}
    a.resign(leave=True)
    world.run_for(1)
    assert world.store.lease is not None


def lead_later(world, name, **options):
    """A new candidate that creates the Lease, waits (L11), and leads."""
    candidate = world.add(name, **options)
    world.wait_for(lambda: candidate.open, within=16)
    return candidate


@catches("a field left out", "no fractional digits")
def test_l2_all_five_fields_and_six_digits(step):
    """L2: all five spec fields are written, times with exactly six digits, the duration rounded up and never 0."""
    world, _ = stage(step, lease_duration=1.2, renew_deadline=1.15, retry_period=0.1, request_timeout=0.5)
    lead(world, "a")
    spec = world.store.lease["spec"]
    assert set(spec) == {"holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"}
    assert spec["leaseDurationSeconds"] == 2
    assert len(spec["renewTime"]) == len("2026-01-02T03:04:05.000000Z")


@catches("renewTime stands still")
def test_l2_renew_time_grows_also_when_the_wall_clock_goes_back(step):
    """L2: renewTime grows strictly with every write of a process, whatever the wall clock does."""
    world, _ = stage(step)
    a = lead(world, "a")
    for jump in (-3600, 7200, -86_400):
        a.clock.set_wall(jump)
        world.run_for(7)
    times = [write.body["spec"]["renewTime"] for write in sends(world)]
    assert len(times) > 9
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


@catches("transitions beyond an int32")
def test_l3_transitions_count_holders(step):
    """L3: leaseTransitions goes up by one when the holder changes, also when taking an empty holder; it saturates."""
    world, _ = stage(step, lease={"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 2_147_483_646})
    a = lead(world, "a")
    assert world.store.lease["spec"]["leaseTransitions"] == 2_147_483_647
    b = world.add("b")
    world.run_for(3)
    assert world.store.lease["spec"]["leaseTransitions"] == 2_147_483_647
    a.resign()
    world.wait_for(lambda: b.open, within=1)
    assert world.store.lease["spec"]["leaseTransitions"] == 2_147_483_647


@catches("doubtful writes forgotten")
def test_l4_a_409_can_hide_that_a_first_copy_landed(step):
    """L4: after a rejection it reads, and compares the content."""
    world, checker = stage(step)
    a = world.add("a", start=False)
    a.link.fates.append(Fate(reply=3.0))
    a.link.quiet = True
    a.start()
    world.run_for(0.1)
    landed = world.store.lease
    a.feed(Rejected(a.state.flight))
    world.run_for(0.1)
    assert world.store.lease["spec"]["acquireTime"] == landed["spec"]["acquireTime"]
    assert a.open
    assert checker.terms[0][2] == int(landed["metadata"]["resourceVersion"])


@catches("only replies confirm")
def test_l4_a_sight_confirms_from_its_own_sent_at(step):
    """L4: any sight of one's own write confirms it, from its own `sent_at`."""
    world, _ = stage(step)
    a = lead(world, "a")
    a.link.fates.append(Fate(request=1.0, reply=2.0))
    world.wait_for(lambda: a.state.flight is not None, within=5)
    sent_at = a.state.flight.sent_at
    world.run_for(2.9)
    assert a.state.reign.t0 == sent_at
    assert claim_until(a.settings, a.state) == sent_at + 10


@catches()
def test_l5_no_timestamp_is_compared_with_a_clock(step):
    """L5: only local monotonic time decides: an old timestamp frees nothing, a future one holds nothing."""
    for year in ("1999", "2999"):
        world, checker = stage(step, lease=held_by("x") | {"renewTime": f"{year}-01-01T00:00:00.000000Z"})
        world.add("a")
        world.run_for(40)
        assert [name for _, name, _ in checker.terms] == ["a"]
        assert 15 <= checker.terms[0][0] <= 15.1


@catches("standby believes short durations", "standby uses its own duration")
def test_l6_rivals_wait_for_the_longer_duration(step):
    """L6: rivals count from `seen_at`, for max(the record's duration, their own lease_duration)."""
    for recorded, expected in ((3, 15), (40, 40), (None, 15)):
        world, checker = stage(step, lease=held_by("x", duration=recorded))
        world.add("a")
        world.run_for(60)
        assert expected <= checker.terms[0][0] <= expected + 0.1


@catches("old versions restart timers")
def test_l6_a_timer_restarts_when_the_record_changes(step):
    """L6: the timer restarts when the record changes, with full precision, and not when only the version does."""
    world, checker = stage(step, lease=held_by("x"))
    a = world.add("a")
    world.run_until(10)
    world.store.edit(renewTime="2020-01-01T00:00:00.000001Z")
    world.run_until(12)
    world.store.edit(metadata={"labels": {"by": "me"}})
    world.run_until(14)
    a.feed(Seen(sight_of(world.store.lease)))
    world.run_until(24.9)
    assert not checker.terms
    world.wait_for(lambda: a.open, within=0.3)


@catches()
def test_l6_a_huge_duration_is_waited_for(step):
    """L6: a ghost with a huge duration is waited for; writing the form of a release is the remedy."""
    world, _ = stage(step, lease=held_by("x", duration=2_147_483_647))
    a = world.add("a")
    world.run_for(3600)
    assert not a.open
    world.store.edit(holderIdentity="", leaseDurationSeconds=1)
    world.wait_for(lambda: a.open, within=1)


@catches("deadline from the reply")
def test_l7_the_claim_runs_out_by_itself(step):
    """L7: leadership is a computed value: without another step of the machine the claim ends at the deadline."""
    world, _ = stage(step)
    a = world.add("a", start=False)
    a.link.fates.append(Fate(reply=4.0))
    a.link.quiet = True
    a.start()
    world.wait_for(lambda: a.open, within=5)
    until = claim_until(a.settings, a.state)
    assert until == pytest.approx(a.clock.origin + 10, abs=0.1)
    assert claim_until(a.settings, State()) == -inf


@catches("patient with rivals", "deletion ignored by the leader", "denial ignored")
def test_l8_a_rival_a_deletion_a_refusal_end_the_term_at_once(step):
    """L8: another holder, a deletion, or a lasting 401/403 ends the term at once, not at the renew deadline."""
    for fault, reason, within in (
        (lambda world, _: world.store.edit(holderIdentity="z"), Reason.RIVAL, 0.05),
        (lambda world, _: world.store.delete(), Reason.DELETED, 0.05),
        (lambda _, a: setattr(a.link, "status", 403), Reason.DENIED, 6.1),
    ):
        world, checker = stage(step)
        a = lead(world, "a")
        world.run_for(3)
        fault(world, a)
        world.wait_for(lambda a=a: not a.gate_open, within=within)
        stop = checker.stops[0][2]
        assert stop.reason is reason
        if reason is Reason.RIVAL:
            assert stop.exit_at <= a.clock.time() + 1
            assert claim_until(a.settings, a.state) == -inf


@catches("stopped term resumed")
def test_l9_a_stopped_term_never_comes_back(step):
    """L9: a hold without a running term is taken up by a new PUT into a new term, at once if it was written by PUT."""
    world, checker = stage(step)
    a = lead(world, "a")
    world.run_for(1)
    a.link.hold = a.link.lose_requests = True
    world.wait_for(lambda: not a.running, within=15)
    a.heal()
    assert world.wait_for(lambda: a.open, within=1) < 0.1
    tokens = [token for _, _, token in checker.terms]
    assert len(tokens) == 2
    assert tokens[0] < tokens[1]


def test_l9_a_claim_that_has_run_out_stays_out():
    """L9: a term once over never comes back, for handlers that still run, too: their claim does not revive."""
    world, _ = stage(lease_duration=60)
    a = lead(world, "a", work=Work(finish=3600))
    isolate(a)
    world.wait_for(lambda: not a.gate_open, within=11)
    assert a.clock.time() >= claim_until(a.settings, a.state)
    token, written = a.state.reign.token, a.state.hold.write
    a.heal()
    world.run_for(8)  # renewed again, and still draining: handlers may go on for 10 s after the gate has closed
    assert a.state.hold is not None
    assert a.state.hold.write != written, "a renewal was accepted"
    assert a.state.reign.token == token
    assert a.clock.time() >= claim_until(a.settings, a.state)


@catches("own name is own term")
def test_l10_a_foreign_write_under_my_name_is_somebody_elses_hold(step):
    """L10: only my own writes make me holder, never my name: the clash is waited out."""
    world, checker = stage(step, lease=held_by("a_0"))
    a = world.add("a")
    world.run_for(14.9)
    assert not checker.terms
    world.wait_for(lambda: a.open, within=1)
    world.store.edit(renewTime="2026-01-02T03:04:05.000001Z")
    world.wait_for(lambda: not a.running, within=1)
    assert checker.stops[-1][2].reason is Reason.RIVAL
    clashed = world.now
    world.wait_for(lambda: a.open, within=16)
    assert world.now - clashed >= 14.9


@catches("creating starts", "wait from the last record")
def test_l11_creating_starts_nothing(step):
    """L11: who finds no Lease creates it at once, holds and renews it, and starts one lease_duration later."""
    world, checker = stage(step, lease=None)
    a = world.add("a")
    world.run_for(0.1)
    assert world.store.holder == "a_0"
    assert not a.open
    world.run_for(14)
    assert not checker.terms
    kinds = {write.write.kind for write in sends(world)}
    assert kinds == {Kind.CREATE, Kind.RENEW}
    world.wait_for(lambda: a.open, within=2)
    assert sends(world)[-1].write.kind is Kind.ACQUIRE


@catches()
def test_l11_the_wait_is_as_long_as_the_largest_duration_seen(step):
    """L11: max with the largest duration it has seen recorded."""
    world, checker = stage(step, lease=held_by("x", duration=40))
    world.add("a")
    world.run_for(5)
    world.store.delete()
    world.run_for(39.9)
    assert not checker.terms
    world.run_for(0.3)
    assert len(checker.terms) == 1


@catches("deletion ignored by the leader")
def test_l11_a_holder_whose_hold_is_fresh_starts_again_at_once(step):
    """L11: a holder whose hold is valid when it sees the absence starts again as soon as nothing runs any more."""
    world, checker = stage(step)
    a = lead(world, "a", work=Work(finish=0.5))
    world.add("b", start=True)
    world.candidates["b"].link.event = 0.2
    world.run_for(3)
    world.store.delete()
    world.wait_for(lambda: len(checker.terms) == 2, within=2)
    assert checker.terms[1][1] == "a"
    assert a.open


@catches("heir by the law's letter")
def test_l11_an_heir_is_not_late(step):
    """L11: an heir's POST must have *landed* early: by the law's letter (absence seen before T0 + lease_duration) it
    would start beside a creator that has waited its duration.

    Deletion, seen by A whose POST stays in the network; A cut off; B creates, waits, starts; B cut off; second
    deletion; A's old POST lands.
    """
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    a.link.hold = True
    b.link.event = 0.05
    world.store.delete()
    world.wait_for(lambda: a.state.flight is not None and a.state.flight.kind is Kind.CREATE, within=0.05)
    isolate(a)
    world.wait_for(lambda: b.open, within=17)
    isolate(b)
    a.deafen()
    world.store.delete()
    a.heal(link=Link(request=0.001, reply=0.001))
    world.run_for(8)
    assert world.store.holder == a.settings.identity
    assert b.open
    assert not a.running


@catches("heir until T0 + lease_duration")
def test_l11_an_heir_is_not_late_in_a_chain(step):
    """L11: nor may an heir's POST land as late as T0 + lease_duration: two heirs could follow each other.

    Deletion, unseen by A; B creates and renews until it is cut off; second deletion; A, 12 s after T0, finds no Lease
    and creates it; third deletion, unseen by A; B, whose wait has just ended, finds no Lease.
    """
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    isolate(a)
    world.store.delete()
    world.run_until(11.5)  # A's next read is due in half a second
    assert world.store.holder == b.settings.identity
    isolate(b)
    b.deafen()
    world.store.delete()
    a.deafen()
    a.heal()
    world.wait_for(lambda: world.store.holder == a.settings.identity, within=1)
    world.run_for(0.05)
    isolate(a)
    world.store.delete()
    world.run_until(16.2)
    b.heal()
    world.run_for(8)
    assert world.store.holder == b.settings.identity


@catches()
def test_l11_an_empty_lease_is_taken_at_once_by_who_has_seen_no_hold(step):
    """L11, L14: a Lease that exists and was never held is taken at once."""
    world, _ = stage(step)
    a = world.add("a")
    assert world.wait_for(lambda: a.open, within=1) < 0.1
