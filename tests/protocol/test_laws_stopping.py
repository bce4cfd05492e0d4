"""L12 to L20: stopping, standing by, configuration. The docstring is the law, and says which part is the machine's."""

import itertools
from dataclasses import fields

import pytest

from kopf_leader.errors import SettingsError
from kopf_leader.protocol.machine import phase
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Exit, Finish, Kind, Phase, Read, Reason, Resign, Send, Tick, Watch
from kopf_leader.testing.link import Fate, Work
from tests.protocol.stage import catches, held_by, isolate, lead, stage
from tests.protocol.test_laws import sends

STUCK = Work(finish=3600, obey=float("inf"))


def done(world, kind):
    """When actions of this kind were asked for, in true seconds."""
    return [now for now, _, what, detail in world.log if what == "action" and isinstance(detail, kind)]


@catches("release before the drain")
def test_l12_close_drain_release(step):
    """L12: close the gate, let running handlers finish (renewing all the while), release when nothing runs."""
    world, checker = stage(step)
    a = lead(world, "a", work=Work(finish=7))
    world.run_for(1)
    a.resign(leave=True)
    closed = world.now
    assert not a.gate_open
    world.run_for(6.9)
    assert a.running
    assert sum(write.write.sent_at > a.clock.time() - 7 for write in sends(world)) >= 3
    world.wait_for(lambda: world.store.holder == "", within=1)
    assert world.now - closed >= 7
    assert checker.stops[0][2].reason is Reason.LEAVING


@catches("no drain budget")
def test_l12_the_timeline_when_renewing_fails(step):
    """L12: T0 + 10 s: gate closes; + 12.5 s: handlers are cancelled; + 14 s: the process exits, not releasing."""
    world, checker = stage(step)
    a = lead(world, "a", work=STUCK)
    t0, local = world.now, a.clock.origin
    isolate(a)
    world.run_for(20)
    moment, _, stop = checker.stops[0]
    assert stop.reason is Reason.RENEW_DEADLINE
    assert moment - t0 == pytest.approx(10, abs=0.02)
    assert stop.cancel_at - local - t0 == pytest.approx(12.5, abs=0.02)
    assert done(world, Exit)[0] - t0 == pytest.approx(14, abs=0.02)
    assert not any(write.write.kind is Kind.RELEASE for write in sends(world))


@catches("no drain budget")
def test_l12_the_drain_budget_comes_first(step):
    """L12: the points are at the earlier of the table and closing + drain budget."""
    world, checker = stage(step, drain_timeout=2)
    a = lead(world, "a", work=STUCK)
    world.run_for(5)
    closed = world.now
    a.resign()
    stop = checker.stops[0][2]
    assert stop.cancel_at - a.clock.time() == pytest.approx(2, abs=0.01)
    world.wait_for(lambda: not a.alive, within=20)
    assert world.now - closed == pytest.approx(3.5, abs=0.02)


@catches("release checks the stale record")
def test_l13_a_release_is_for_my_own_write(step):
    """L13: before it releases, it checks the fresh record: still my write, still my term."""
    world, _ = stage(step)
    a = lead(world, "a", work=Work(finish=3))
    a.link.quiet = True
    a.resign(leave=True)
    world.run_for(0.5)
    world.store.edit(holderIdentity="successor", renewTime="2026-01-02T03:04:05.000001Z")
    world.run_for(20)
    assert world.store.holder == "successor"
    assert not a.alive


@catches("any empty holder is free")
def test_l14_only_a_release_is_free_at_once(step):
    """L14: holder "" with duration 1 is free at once, any other empty holder is waited out."""
    for spec, at_once in (
        ({"holderIdentity": "", "leaseDurationSeconds": 1, "leaseTransitions": 4}, True),
        ({"leaseDurationSeconds": 1, "leaseTransitions": 4}, True),
        ({"holderIdentity": "", "leaseDurationSeconds": 15, "leaseTransitions": 4}, False),
        ({"holderIdentity": "", "leaseTransitions": 4}, False),
        ({"holderIdentity": None, "leaseDurationSeconds": None}, True),  # never held
    ):
        world, _ = stage(step, lease=spec)
        a = world.add("a")
        world.run_for(14.9)
        assert a.open is at_once
        world.run_for(0.3)
        assert a.open


@catches()
def test_l14_an_empty_spec_is_no_release_to_who_has_seen_a_hold(step):
    """L14: an empty spec is free at once only to a candidate that has never seen a hold."""
    world, _ = stage(step, lease=held_by("x"))
    a = world.add("a")
    world.run_for(10)
    world.store.restore({})
    world.run_for(14.9)
    assert not a.open
    world.wait_for(lambda: a.open, within=0.3)


@catches()
def test_l14_what_a_release_says(step):
    """L14: release writes holder "", duration 1, transitions kept; a term whose release was sent is over."""
    world, checker = stage(step, lease=held_by("x", transitions=7))
    a = world.add("a")
    world.wait_for(lambda: a.open, within=16)
    a.link.fates.append(Fate(request=None))
    a.resign()
    world.wait_for(lambda: world.store.holder == "", within=8)
    spec = world.store.lease["spec"]
    assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (1, 8)
    assert len(checker.terms) == 1


@catches()
def test_l15_a_lost_acquire_is_resolved_by_a_release_on_its_version(step):
    """L15 (the machine's part): an acquire whose write may still land is resolved by releasing on the same version."""
    world, _ = stage(step)
    a = world.add("a", start=False)
    a.link.hold = True
    a.start()
    world.run_for(1)
    a.resign(leave=True)
    world.run_until(5.5)
    a.link.hold = False
    world.wait_for(lambda: not a.alive, within=5)
    acquire, release = (write.write for write in sends(world)[:2])
    assert (acquire.kind, release.kind) == (Kind.ACQUIRE, Kind.RELEASE)
    assert acquire.base == release.base
    a.deliver()
    assert world.store.holder == ""


@catches()
def test_l15_a_hold_in_its_wait_is_left_to_run_out(step):
    """L11, L15: a hold that goes back to a POST and still waits is not released: a release would license others."""
    world, _ = stage(step)
    x = lead(world, "x")
    world.run_for(1)
    isolate(x)
    world.store.delete()
    a = world.add("a")
    world.run_for(1)
    a.resign(leave=True)
    world.run_for(0.1)
    assert not a.alive
    b = world.add("b")
    world.run_for(7)
    assert x.open
    assert not b.running
    world.wait_for(lambda: b.open, within=10)


@catches()
def test_l16_a_standby_watches_and_does_not_poll(step):
    """L16: a standby does not poll; it writes nothing while the leader renews; a release is acted on at its event."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    log = len(world.log)
    world.run_for(60)
    asked = [detail for _, name, what, detail in list(world.log)[log:] if name == "b" and what == "action"]
    assert asked == []
    a.resign()
    assert world.wait_for(lambda: b.open, within=1) < 0.1


@catches()
def test_l16_one_write_per_version_and_retry_period(step):
    """L16, L17: one write per version seen and retry_period, whatever the answers are."""
    for status in (None, 403, 429, 500):
        world, _ = stage(step, lease=held_by("x"))
        a = world.add("a")
        a.link.status = status
        a.link.lose_replies = False
        world.run_until(40)
        times = [write.write.sent_at for write in sends(world)]
        if status is not None:
            assert len(times) >= 8
        assert all(later - earlier >= 1.999 for earlier, later in itertools.pairwise(times))


@catches("deaf watch kept")
def test_l16_at_expiry_it_writes_with_the_last_seen_version(step):
    """L16: a silent watch proves nothing: the write at expiry is refused by a live leader's newer version; read."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    world.run_for(1)
    b.deafen()
    world.run_for(20)
    assert a.open
    assert done(world, Watch)[-1] > 15
    assert b.state.version == world.store.version


@catches()
def test_l17_it_reads_on_when_the_watch_is_broken(step):
    """L17 (the machine's part): a standby that only polls takes over within a poll of a release and of an expiry."""
    world, _ = stage(step)
    a, b = lead(world, "a"), world.add("b")
    b.break_watch()
    world.run_for(5)
    a.resign()
    world.wait_for(lambda: b.open, within=2.4)


@catches()
def test_l17_an_unknown_outcome_is_followed_by_a_read(step):
    """L4, L17: after a write of unknown outcome it reads, and writes nothing before it has an answer."""
    world, _ = stage(step)
    a = world.add("a", start=False)
    a.link.fates.append(Fate(status=500))
    a.start()
    world.run_for(0.05)
    last = [type(detail) for _, _, what, detail in world.log if what == "action"]
    assert last == [Watch, Send, Read]


def test_l18_each_broken_rule_has_a_sentence():
    """L18: checked when the settings are built, one sentence per violated rule."""
    good = {"name": "x", "namespace": "y", "identity": "z"}
    Settings(**good)
    for wrong, sentences in (
        ({"lease_duration": 0.5, "renew_deadline": 0.4, "retry_period": 0.1, "request_timeout": 0.1}, 1),
        ({"renew_deadline": 15}, 1),
        ({"retry_period": 9}, 1),
        ({"request_timeout": 9}, 1),
        ({"name": "", "namespace": "", "identity": ""}, 3),
        ({"name": "Not_DNS", "identity": "a b"}, 2),
        ({"name": "a" * 254}, 1),
        ({"identity": "a" * 254}, 1),
        ({"lease_duration": -1, "drain_timeout": float("nan"), "retry_period": float("inf")}, 3),
        ({"lease_duration": 3e9}, 1),
    ):
        with pytest.raises(SettingsError) as caught:
            Settings(**{**good, **wrong})
        assert len(caught.value.sentences) == sentences, (wrong, caught.value.sentences)


@catches()
def test_l19_there_is_one_path(step):
    """L19 (the machine's part): it knows no "disabled"; with nobody else about, the same steps lead at once, for good.

    That `enabled=False` puts an API in front of it that always accepts is the elector's (`tests/elector`).
    """
    assert not [field.name for field in fields(Settings) if "enabled" in field.name]
    world, checker = stage(step)
    lead(world, "a")
    world.run_for(3600)
    assert len(checker.terms) == 1


@catches("no standing back")
def test_l20_a_resigned_candidate_stands_back(step):
    """L20: it stands back until another holder was seen or one lease_duration has passed."""
    world, checker = stage(step)
    a = lead(world, "a")
    a.resign()
    world.run_for(14.5)
    assert len(checker.terms) == 1
    world.run_for(2)
    assert len(checker.terms) == 2
    b = world.add("b")
    a.resign()
    world.wait_for(lambda: b.open, within=1)
    b.resign()
    assert world.wait_for(lambda: a.open, within=1) < 0.1  # it has seen another holder


@catches("locked out and back at once")
def test_l20_a_leader_that_was_locked_out_stays_away(step):
    """L20: who was locked out does not stand for the time it was told, whoever leads, or nobody; it says why."""
    world, checker = stage(step)
    a = lead(world, "a")
    a.resign(away=60)
    assert checker.stops[0][2].reason is Reason.LOCKED_OUT
    b = world.add("b")
    world.wait_for(lambda: b.open, within=1)
    world.store.edit(metadata={"annotations": {"kopf-leader/transfer-to": a.settings.identity}})
    world.wait_for(lambda: not b.open, within=1)  # called, and in vain
    world.wait_for(lambda: b.open, within=30)
    b.resign(leave=True)
    world.run_for(20)
    assert world.leaders == []
    world.wait_for(lambda: a.open, within=40)
    a.resign()
    assert checker.stops[-1][2].reason is Reason.RESIGNED, "that was another time"


def test_l20_leaving_ends_the_candidacy():
    """L20, L15: who leaves has nothing in the Lease and nothing in flight, and does not stand again."""
    world, _ = stage()
    a = lead(world, "a")
    a.resign(leave=True)
    world.run_for(60)
    assert done(world, Finish)
    assert phase(a.state) is Phase.OVER
    assert len(sends(world)) == 2
    assert a.world.step(a.settings, a.state, None, Tick())[1] == ()
    assert a.world.step(a.settings, a.state, None, Resign())[0] == a.state


def test_l16_a_restored_etcd_does_not_lock_everybody_out():
    """L16 ignores older sights; when every read is older, for longer than a lease, it is the world that went back."""
    world, checker = stage()
    lead(world, "a")
    world.add("b")
    world.run_for(60)
    world.store.version = 50
    checker.tokens.clear()  # they are versions, so not even tokens survive a backup
    world.store.changes.clear()  # watches of the restored server know nothing of what was after the backup
    world.store.edit(metadata={"labels": {"restored": "from a backup"}})
    world.run_for(120)
    assert len(world.leaders) == 1


def test_l11_a_ghost_of_long_ago_does_not_lock_everybody_out():
    """L6, L11: once its remedy was applied and somebody has led since, a ghost's duration is of no concern."""
    world, _ = stage(lease=held_by("x", duration=2_147_483_647))
    a = world.add("a")
    world.run_for(5)
    world.store.edit(holderIdentity="", leaseDurationSeconds=1)
    world.run_for(100)
    isolate(a)
    world.run_for(20)
    world.store.delete()
    a.heal()
    world.run_for(40)
    assert a.open
