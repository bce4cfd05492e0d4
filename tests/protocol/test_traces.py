"""The traces that the laws owe their wording to (D1-D20), each with the flaws that it must catch."""

from kopf_leader.protocol.record import sight_of
from kopf_leader.protocol.state import Absent, Reason, Seen
from kopf_leader.testing.link import Fate, Link, Work
from tests.protocol.stage import catches, held_by, isolate, lead, stage


@catches("creating starts", "wait from the last record")
def test_d1_the_wait_does_not_count_from_the_last_record(step):
    """L11: the creator waits from its accepted POST; a timer of the record that was deleted says nothing."""
    world, _ = stage(step, lease=held_by("x"))
    a = world.add("a")
    world.run_until(0.5)
    b = world.add("b")
    world.run_until(0.6)
    b.deafen()
    world.wait_for(lambda: a.open, within=16)
    isolate(a)
    world.run_for(0.1)
    world.store.delete()
    world.run_for(25)
    assert not a.running
    world.wait_for(lambda: b.open, within=10)


@catches("creating starts", "no wait without a live holder seen")
def test_d2_having_seen_no_holder_is_no_licence(step):
    """L11: creating starts nothing, also for a candidate that has seen the Lease only empty."""
    world, _ = stage(step)
    b = world.add("b", start=False)
    b.link.fates.append(Fate(request=None))
    b.start()
    world.run_until(0.1)
    b.deafen()
    a = lead(world, "a")
    world.run_until(4.85)
    isolate(a)
    world.store.delete()
    world.run_until(14)
    assert a.state.reign is not None
    assert not b.running
    world.wait_for(lambda: b.open, within=10)


@catches("any former holder", "creating starts")
def test_d3_only_a_fresh_holder_may_start_again(step):
    """L11: a holder whose hold has run out waits like anybody else when it finds the Lease deleted."""
    world, _ = stage(step)
    a = lead(world, "a")
    isolate(a)
    b = world.add("b")
    world.wait_for(lambda: b.open, within=20)
    world.run_for(1)
    isolate(b)
    world.store.delete()
    a.heal()
    a.deafen()  # it has not seen B, and learns of the deletion by reading
    world.run_for(8)
    assert b.open
    assert world.store.holder == a.settings.identity
    assert not a.running


@catches("creating starts")
def test_d4_a_fresh_candidate_creates_and_waits(step):
    """L11: a candidate that starts after the deletion creates the Lease at once, and leads one duration later."""
    world, checker = stage(step)
    a = lead(world, "a")
    isolate(a)
    world.store.delete()
    b = world.add("b")
    created = world.wait_for(lambda: world.store.holder == b.settings.identity, within=1)
    assert created < 0.1
    world.wait_for(lambda: b.open, within=16)
    assert checker.terms[-1][0] - checker.terms[0][0] >= 15


@catches("wait from the first absence", "creating starts")
def test_d4_a_wait_does_not_survive_a_second_deletion(step):
    """L11: each POST begins a wait of its own."""
    world, _ = stage(step)
    x = lead(world, "x")
    b = world.add("b")
    a = world.add("a")
    b.link.event = 0.2  # A is faster to create it
    world.run_for(1)
    x.crash()
    world.store.delete()
    world.wait_for(lambda: a.open, within=17)
    isolate(a)
    world.store.delete()
    world.run_for(9)
    assert world.store.holder == b.settings.identity
    assert a.open
    assert not b.running
    world.wait_for(lambda: b.open, within=10)


@catches("creating starts")
def test_d5_a_late_post_gives_a_hold_and_no_start(step):
    """L4: a landed write gives a deadline; a start needs, beside it, that no wait of L11 is running."""
    world, _ = stage(step, lease=None)
    a = world.add("a", start=False)
    a.link.hold = True
    a.start()
    world.run_for(0.1)
    b = world.add("b")
    world.run_until(20)
    assert b.open
    isolate(b)
    a.deafen()
    world.store.delete()
    a.heal(link=Link())
    world.run_for(0.1)
    assert world.store.holder == a.settings.identity
    world.run_for(9)
    assert b.running
    assert not a.running


@catches("creating starts")
def test_d5_a_post_in_flight_starts_nothing(step):
    """L11: decided while the Lease was absent, landed after somebody else has led: it starts nothing."""
    world, _ = stage(step, lease=None)
    b = world.add("b", start=False)
    b.link.fates.append(Fate(request=2.0))
    b.start()
    world.run_for(0.1)
    world.store.restore({})
    a = lead(world, "a")
    isolate(a)
    world.store.delete()
    world.run_for(8)
    assert a.open
    assert world.store.holder == b.settings.identity
    assert not b.running


@catches("PUT without uid")
def test_d6_a_put_does_not_create(step):
    """L1: a PUT carries uid and resourceVersion, or it would create the deleted Lease anew and bypass L11."""
    world, _ = stage(step, lease=held_by("x"))
    a, b = world.add("a"), world.add("b")
    b.link.fates.append(Fate(request=1.0))
    world.wait_for(lambda: a.open, within=16)
    isolate(a)
    world.store.delete()
    b.link.quiet = True
    world.run_for(5)
    assert a.open
    assert not b.running
    assert b.state.reign is None


@catches("own name is own term")
def test_d7_a_name_is_no_hold(step):
    """L10: only my own writes make me the holder, never my name."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    isolate(a)
    world.store.edit(holderIdentity=b.settings.identity)
    world.run_for(8)
    assert a.running
    assert not b.running
    world.wait_for(lambda: b.open, within=8)


@catches("stopped term resumed")
def test_d8_a_stopped_term_is_not_resumed(step):
    """L9: a late renewal of a stopped term is taken up by a new PUT, with a new token and a new acquireTime."""
    world, checker = stage(step)
    a = lead(world, "a")
    world.add("b")
    world.run_for(3)
    acquired = world.store.lease["spec"]["acquireTime"]
    a.link.hold = True
    a.link.lose_requests = True  # reads, too
    world.wait_for(lambda: not a.running, within=15)
    a.heal()
    world.wait_for(lambda: a.open, within=2)
    assert len(checker.terms) == 2
    assert world.store.lease["spec"]["acquireTime"] != acquired
    assert world.store.lease["spec"]["leaseTransitions"] == 1  # L3: the holder has not changed


@catches("doubtful writes forgotten")
def test_d9_not_there_yet_is_not_never(step):
    """L4: an abandoned write can land until the version has moved past it; then it is known again."""
    world, checker = stage(step, lease=held_by("x"))
    a = world.add("a")
    a.link.hold = True
    world.run_until(20.5)  # given up; a read has shown the old version
    assert a.state.doubtful
    a.link.hold = False
    a.deliver()
    world.run_for(0.1)
    assert [name for _, name, _ in checker.terms] == ["a"]


@catches("no drain budget")
def test_d10_a_stuck_handler_does_not_hold_the_lease_for_ever(step):
    """L12: the points are fixed when the gate closes; a later renewal never puts them back."""
    world, checker = stage(step, drain_timeout=4)
    a = lead(world, "a", work=Work(finish=3600, obey=3600))
    b = world.add("b")
    world.run_for(5)
    closed = world.now
    a.resign(leave=True)
    world.wait_for(lambda: not a.alive, within=10)
    assert world.now - closed <= 4 + a.settings.exit_after - a.settings.cancel_after + 0.1
    world.wait_for(lambda: b.open, within=1.5 * 15)
    assert checker.stops[0][2].reason is Reason.LEAVING


@catches("no drain budget")
def test_d10_a_short_outage_does_not_put_the_points_back(step):
    """L12: a renewal after the gate has closed leaves the points of cancelling and of exit where they are."""
    world, _ = stage(step)
    a = lead(world, "a", work=Work(finish=3600, obey=3600))
    world.add("b")
    isolate(a)
    world.wait_for(lambda: not a.gate_open, within=11)
    a.heal()
    world.wait_for(lambda: not a.alive, within=5)


@catches("patient with rivals")
def test_d11_a_seen_rival_leaves_one_second(step):
    """L8: after another holder was seen the exit point is one second away at most."""
    world, checker = stage(step)
    a = lead(world, "a", work=Work(finish=3600, obey=3600))
    world.store.edit(holderIdentity="somebody", renewTime="2026-01-02T03:04:05.000001Z")
    world.wait_for(lambda: not a.alive, within=1.1)
    assert checker.stops[-1][2].reason is Reason.RIVAL


@catches("any empty holder is free")
def test_d12_an_emptied_holder_is_no_release(step):
    """L14: an empty holder with another duration than 1 is waited out like a holder that fell silent."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    isolate(a)
    world.store.edit(holderIdentity="")
    world.run_for(8)
    assert a.running
    assert not b.running


@catches("standby believes short durations")
def test_d13_a_shortened_duration_does_not_shorten_the_wait(step):
    """L6: rivals wait for max(the record's duration, their own lease_duration)."""
    world, _ = stage(step)
    a = lead(world, "a")
    world.run_for(1)
    isolate(a)
    world.store.edit(leaseDurationSeconds=1)
    b = world.add("b")
    world.run_for(8)
    assert a.running
    assert not b.running


@catches("older DELETED believed")
def test_d14_a_late_deletion_of_an_earlier_lease_is_ignored(step):
    """L16: sights older than the last one are ignored; a DELETED event has a version, too."""
    world, _ = stage(step)
    a = lead(world, "a")
    world.run_for(5)
    before = a.state
    a.feed(Absent(version=before.version - 1))
    assert a.state.hold == before.hold
    assert a.open


@catches("old versions restart timers")
def test_d14_a_version_seen_before_restarts_no_timer(step):
    """L6: a rival's timer does not restart for a version that it has seen: caches and replays are harmless."""
    world, _ = stage(step, lease=held_by("x"))
    a = world.add("a")
    world.run_until(14)
    a.feed(Seen(sight_of(world.store.lease)))
    world.wait_for(lambda: a.open, within=1.2)


@catches("deaf watch kept")
def test_d15_a_refusal_at_expiry_proves_the_watch_deaf(step):
    """L16: a 409 at expiry closes the watch, reads and watches again; then a release is seen at once."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    b.deafen()
    world.run_for(20)
    assert b.state.reign is None
    a.resign(leave=True)
    assert world.wait_for(lambda: b.open, within=15) < 0.2


@catches("only replies confirm")
def test_d16_any_sight_confirms(step):
    """L4: a sight of my write by a watch event confirms it as a reply does."""
    world, checker = stage(step)
    a = lead(world, "a")
    a.link.lose_replies = True
    world.run_for(60)
    assert a.open
    assert len(checker.terms) == 1


@catches("deadline from the reply")
def test_d17_a_slow_reply_then_cut_off(step):
    """L6: the holder counts from `sent_at`, the moment of the step that decided the write."""
    world, _ = stage(step)
    a = lead(world, "a", work=Work(finish=3600, obey=1.4))
    b = world.add("b")
    world.run_for(0.5)
    a.link.fates.append(Fate(request=0.01, reply=4.9))
    a.link.quiet = True
    world.wait_for(lambda: a.state.flight is not None, within=3)
    world.run_for(4.95)
    isolate(a)
    world.wait_for(lambda: b.open, within=16)
    assert not a.running


@catches("no standing back")
def test_d18_who_has_resigned_stands_back(step):
    """L20: after a resign without exit a candidate stands back until another was seen or one duration has passed."""
    world, checker = stage(step)
    a = lead(world, "a")
    world.run_for(3)
    a.resign()
    world.wait_for(lambda: world.store.holder == "", within=1)
    released = world.now
    world.wait_for(lambda: a.open, within=17)
    assert world.now - released >= 14.9
    assert len(checker.terms) == 2


@catches("release checks the stale record")
def test_d18_a_release_that_was_lost_does_not_wipe_a_successor(step):
    """L13: before it releases again, it looks at the fresh record: still my write."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    a.link.quiet = True
    a.link.fates.append(Fate(reply=None))
    a.resign(leave=True)
    world.wait_for(lambda: b.open, within=1)
    world.run_for(9)
    assert world.store.holder == b.settings.identity
    assert b.open
    assert not a.alive


@catches()
def test_d18_a_refused_release_is_sent_again(step):
    """L13: a 409 on the release is followed by a look, and while the hold is still mine by another release."""
    world, _ = stage(step)
    a = lead(world, "a")
    world.run_for(0.5)
    a.link.quiet = True
    world.store.edit(metadata={"annotations": {"kubectl": "was here"}})
    a.resign(leave=True)
    world.wait_for(lambda: not a.alive, within=3)
    assert world.store.lease["spec"] | {"renewTime": "", "acquireTime": ""} == {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "leaseTransitions": 1,
        "renewTime": "",
        "acquireTime": "",
    }
    assert world.store.lease["metadata"]["annotations"] == {"kubectl": "was here"}


@catches("transitions beyond an int32")
def test_d19_transitions_saturate(step):
    """L3: transitions stop at 2147483647: one more would be a 400 for ever."""
    world, _ = stage(step, lease={"leaseTransitions": 2_147_483_647, "leaseDurationSeconds": 1, "holderIdentity": ""})
    lead(world, "a")
    assert world.store.lease["spec"]["leaseTransitions"] == 2_147_483_647


@catches("standby uses its own duration")
def test_d20_candidates_with_different_settings_are_safe(step):
    """L6: a standby waits for the recorded duration where that is longer than its own."""
    world, _ = stage(step)
    a = lead(world, "a")
    b = world.add("b", lease_duration=4, renew_deadline=3, retry_period=1)
    world.run_for(1)
    isolate(a)
    world.wait_for(lambda: b.open, within=20)
    assert not a.running
