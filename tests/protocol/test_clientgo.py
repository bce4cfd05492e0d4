"""client-go's cases that concern the decision, in intent; and its defects R1 to R9, absent here.

The numbers of the cases are those of the table in `tests/README.md`.
"""

from kopf_leader.protocol.record import decode, encode
from kopf_leader.protocol.state import Kind, Reason, Send
from kopf_leader.testing.link import Fate, Work
from tests.protocol.rival import Rival
from tests.protocol.stage import catches, held_by, isolate, lead, stage

STUCK = Work(finish=3600, obey=float("inf"))


def kinds(world, name="a"):
    """What one candidate has written, in order."""
    log = [(who, detail) for _, who, what, detail in world.log if what == "action"]
    return [detail.write.kind for who, detail in log if who == name and isinstance(detail, Send)]


def spec(world):
    """What stands in the Lease."""
    return world.store.lease["spec"]


@catches()
def test_01_acquire_from_no_object(step):
    """Case 1: no Lease: created, transitions 0. (Ours starts one duration later, L11.)"""
    world, _ = stage(step, lease=None)
    world.add("a")
    world.run_for(0.1)
    assert (spec(world)["holderIdentity"], spec(world)["leaseTransitions"]) == ("a_0", 0)
    assert kinds(world) == [Kind.CREATE]


@catches()
def test_02_04_acquire_from_an_object_without_a_record(step):
    """Cases 2 and 4: an empty spec, or a record of zeros: acquired at once, transitions 1."""
    for empty in ({}, {"holderIdentity": "", "leaseDurationSeconds": None, "leaseTransitions": 0}):
        world, _ = stage(step, lease=empty)
        lead(world, "a")
        assert spec(world)["leaseTransitions"] == 1


@catches("standby believes short durations")
def test_03_acquire_from_a_led_object_when_its_time_is_over(step):
    """Case 3: the holder's silence is waited out; ours waits its own lease_duration where that is longer (L6)."""
    world, checker = stage(step, lease=held_by("bing", duration=3, transitions=0))
    world.add("a")
    world.run_for(14.9)
    assert not checker.terms
    world.run_for(0.3)
    assert (spec(world)["holderIdentity"], spec(world)["leaseTransitions"]) == ("a_0", 1)


@catches()
def test_05_acquire_from_led_unacked(step):
    """Case 5: a holder that has been seen unchanged for long: acquired, transitions up by one."""
    world, _ = stage(step, lease=held_by("bing", transitions=0))
    a = world.add("a")
    a.link.status = 500
    world.run_for(100)
    a.heal()
    world.wait_for(lambda: a.open, within=3)
    assert spec(world)["leaseTransitions"] == 1


@catches()
def test_06_an_emptied_holder_beats_the_timer(step):
    """Case 6: a holder that was just seen, then released: acquired at once."""
    world, _ = stage(step, lease=held_by("bing", transitions=0))
    a = world.add("a")
    world.run_for(1)
    world.store.edit(holderIdentity="", leaseDurationSeconds=1)
    assert world.wait_for(lambda: a.open, within=1) < 0.1


@catches()
def test_07_do_not_acquire_from_led_acked(step):
    """Case 7: a holder that was just seen: nothing is written."""
    world, _ = stage(step, lease=held_by("bing"))
    world.add("a")
    world.run_for(14)
    assert kinds(world) == []
    assert spec(world) == held_by("bing")


@catches()
def test_08_18_renewals_are_one_put_each(step):
    """Cases 8 and 18: a renewal keeps acquireTime and transitions, and is one PUT without a read."""
    world, _ = stage(step)
    a = lead(world, "a")
    acquired = dict(spec(world))
    log = len(world.log)
    world.run_for(60)
    asked = [detail for _, _, what, detail in list(world.log)[log:] if what == "action"]
    assert all(isinstance(action, Send) and action.write.kind is Kind.RENEW for action in asked)
    assert len(asked) in (29, 30)
    assert spec(world) == acquired | {"renewTime": spec(world)["renewTime"]}
    assert a.open


def test_11_35_a_record_survives_the_way_to_a_spec_and_back():
    """Cases 11 and 35: record -> spec -> record is the same (all records: `test_record.py`)."""
    record = decode(held_by("foo", duration=10, transitions=1))
    assert decode(encode(record)) == record


@catches("release before the drain")
def test_12_release(step):
    """Case 12: a release writes holder "", keeps transitions, and is what the next look shows."""
    world, _ = stage(step)
    a = lead(world, "a")
    a.resign(leave=True)
    world.run_for(0.1)
    assert (spec(world)["holderIdentity"], spec(world)["leaseTransitions"]) == ("", 1)
    assert spec(world)["leaseDurationSeconds"] == 1
    assert kinds(world) == [Kind.ACQUIRE, Kind.RELEASE]
    assert not a.alive


@catches()
def test_13_14_a_release_that_meets_a_conflict_is_repeated(step):
    """Cases 13 and 14: after a 409 the release reads and tries again (a label was put on the Lease meanwhile)."""
    world, _ = stage(step)
    a = lead(world, "a")
    a.link.quiet = True
    world.store.edit(metadata={"labels": {"x": "y"}})
    a.resign(leave=True)
    world.wait_for(lambda: world.store.holder == "", within=3)
    assert kinds(world)[-2:] == [Kind.RELEASE, Kind.RELEASE]


@catches()
def test_15_16_after_a_lost_write_or_a_lost_read_release_still_works(step):
    """Cases 15 and 16: stopped while a renewal is lost, then while a read is lost: it releases all the same."""
    for landed in (Fate(reply=None), Fate(request=None)):
        world, _ = stage(step)
        a = lead(world, "a")
        a.link.fates.append(landed)
        a.link.quiet = True
        world.wait_for(lambda a=a: a.state.flight is not None, within=3)
        world.run_for(4.99)
        a.link.lose_replies = True  # the read is lost, too
        world.run_for(0.1)
        a.resign(leave=True)
        a.link.lose_replies = False
        world.wait_for(lambda world=world: world.store.holder == "", within=8)


@catches()
def test_19_a_conflict_costs_one_read(step):
    """Case 19: PUT refused, read, PUT: and the term goes on."""
    world, checker = stage(step)
    a = lead(world, "a")
    world.run_for(1)
    a.link.quiet = True
    world.store.edit(metadata={"labels": {"x": "y"}})
    world.run_for(20)
    assert a.open
    assert len(checker.terms) == 1


@catches()
def test_43_of_two_one_leads(step):
    """Case 43: two candidates for one Lease: one leads and the other does not."""
    world, checker = stage(step)
    for name in "ab":
        world.add(name)
    world.run_for(120)
    assert len(checker.terms) == 1
    assert len(world.leaders) == 1


@catches("release checks the stale record")
def test_r1_a_release_does_not_wipe_a_successor(step):
    """R1: a slow look before the release, and a successor in it: its Lease is left alone."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    a.link.quiet = True
    a.link.fates.append(Fate(reply=None))  # released, and it does not know
    a.resign(leave=True)
    world.wait_for(lambda: b.open, within=1)
    a.link.reply = 0.5  # its read is slow
    world.run_for(20)
    assert world.store.holder == "b_0"
    assert b.open


@catches()
def test_r2_a_release_that_hangs_delays_no_stop(step):
    """R2: the gate is closed before the release is tried, so a black-holed release keeps nothing running."""
    world, _ = stage(step)
    a = lead(world, "a")
    world.run_for(1)
    isolate(a)
    a.resign()
    assert not a.gate_open
    assert not a.running or a.state.closing is not None
    world.run_for(0.1)
    assert not a.running


@catches("patient with rivals")
def test_r3_a_seen_rival_is_acted_upon(step):
    """R3: who sees another holder stops at once, and does not try until the renew deadline."""
    world, checker = stage(step)
    a = lead(world, "a", work=STUCK)
    a.deafen()
    world.store.edit(holderIdentity="b", renewTime="2026-01-02T03:04:05.000001Z")
    world.wait_for(lambda: not a.alive, within=2 + 1.1)  # its next renewal is refused, it reads, it stops
    assert checker.stops[-1][2].reason is Reason.RIVAL


@catches()
def test_r4_a_lead_in_between_ends_the_term(step):
    """R4: another one has led and released in between: the old term is over; there are a stop and a new start."""
    world, checker = stage(step)
    a = lead(world, "a")
    world.run_for(1)
    a.deafen()
    world.store.edit(holderIdentity="b", renewTime="2026-01-02T03:04:05.000001Z")
    world.store.edit(holderIdentity="", leaseDurationSeconds=1, leaseTransitions=2)
    world.run_for(5)
    assert a.open
    assert len(checker.stops) == 1
    assert len(checker.terms) == 2
    assert spec(world)["leaseTransitions"] == 3


@catches("release before the drain")
def test_r5_nothing_is_released_while_work_runs(step):
    """R5: cancelled with a release wanted: the Lease is held until the work has ended."""
    world, _ = stage(step)
    a, b = lead(world, "a", work=Work(finish=5)), world.add("b")
    world.run_for(1)
    a.resign(leave=True)
    world.run_for(4.9)
    assert a.running
    assert world.store.holder == "a_0"
    world.wait_for(lambda: b.open, within=1)


@catches()
def test_r6_a_cancelled_acquire_leaves_no_orphan(step):
    """R6: asked to leave while the acquiring PUT is in flight: what has landed is released."""
    world, _ = stage(step)
    a = world.add("a", start=False)
    a.link.fates.append(Fate(request=0.5, reply=None))
    a.start()
    world.run_for(0.1)
    a.resign(leave=True)
    world.wait_for(lambda: not a.alive, within=15)
    assert world.store.holder == ""
    b = world.add("b")
    world.wait_for(lambda: b.open, within=1)


@catches("creating starts")
def test_r7_a_deletion_ends_the_term(step):
    """R7: deleted while led: the term ends, whoever creates it anew waits, and the token goes on growing."""
    world, checker = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    isolate(a)
    world.store.delete()
    world.wait_for(lambda: b.open, within=17)
    assert not a.running
    assert checker.terms[1][2] > checker.terms[0][2]
    assert spec(world)["leaseTransitions"] == 0


@catches("own name is own term")
def test_r8_equal_identities_do_not_both_lead(step):
    """R8: two processes with one identity: the second one waits like any other."""
    world, checker = stage(step, identity="same")
    a = lead(world, "a", identity="same")
    b = world.add("b", identity="same")
    world.run_for(60)
    assert a.open
    assert not b.open
    a.crash()
    world.wait_for(lambda: b.open, within=16)
    assert len(checker.terms) == 2


@catches()
def test_r9_leases_of_one_second_are_not_robbed(step):
    """R9: records are compared with full precision: with a lease of one second a healthy leader stays."""
    short = {"lease_duration": 2, "renew_deadline": 1.5, "retry_period": 0.2, "request_timeout": 0.5}
    world, checker = stage(step, **short)
    for name in "abc":
        world.add(name)
    world.run_for(600)
    assert len(checker.terms) == 1


@catches()
def test_a_client_go_candidate_and_ours_compete(step):
    """One wire format: ours takes over from client-go's and the other way round, never both at once."""
    world, checker = stage(step)
    a = lead(world, "a")
    rival = Rival(world, "go")
    checker.rivals.append(rival)
    world.run_for(60)
    assert a.open
    a.resign()
    world.wait_for(lambda: rival.running, within=5)
    world.run_for(60)
    assert rival.running
    rival.resign()
    world.wait_for(lambda: a.open, within=1)
    a.crash()
    world.wait_for(lambda: rival.running, within=15 + 2 * 4.4 + 1)


def test_r9_a_client_go_rival_sees_each_renewal_after_a_step_of_the_wall_clock():
    """R9: client-go's standbys compare whole seconds; a wall clock that is set back must not look like silence."""
    world, checker = stage()
    a = lead(world, "a")
    rival = Rival(world, "go")
    checker.rivals.append(rival)
    world.run_for(5)
    a.clock.set_wall(-3600)
    world.run_for(60)
    assert a.open


@catches()
def test_a_holder_edited_away_and_back_unseen_is_the_same_term(step):
    """Identical content proves that nobody can have led in between: the term goes on."""
    world, checker = stage(step)
    a = lead(world, "a")
    world.run_for(1)
    a.deafen()
    mine = world.store.lease["spec"]
    world.store.edit(holderIdentity="z")
    world.store.restore(mine)
    world.run_for(30)
    assert a.open
    assert len(checker.terms) == 1
    assert a.state.hold.write.kind is Kind.RENEW
