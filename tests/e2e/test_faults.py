"""The leader is frozen, cut off or deceived by its network: it has stopped before anybody else begins."""

from __future__ import annotations

import time

import pytest

from tests.e2e.stage import LEASE, RENEW, WAKE_ALLOWANCE, Stage, Workload


@pytest.mark.parametrize("work", ["async", "thread"])
def test_a_leader_that_was_frozen_for_longer_than_the_lease_finds_it_lost(stage: Stage, work: str) -> None:
    """SIGSTOP, a successor at work, SIGCONT: what still ran has stopped once the process has looked at the clock."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.3):
        leader = stage.leader()
        if work == "async":
            stage.create(3, seconds=30, only=leader.name)
        else:
            stage.create(thread=120, only=leader.name, handlers=("create", "in_thread"))
        stage.wait_for_long_handlers(leader)
        leader.freeze()
        stage.leader(other_than=leader)
        leader.thaw()
        # Either everything was cancelled and it stands by, or the process has ended.
        stage.replicas.wait_until(lambda: not leader.alive or not stage.at_work(leader), what="end of the old work")
        assert work == "async" or leader.wait() != 0
    verdict = stage.conclude(wake_allowance=WAKE_ALLOWANCE)
    assert all(leader.pid in (one.first.process.pid, one.second.process.pid) for one in verdict.exempted)


def test_a_short_freeze_costs_nothing(stage: Stage) -> None:
    """SIGSTOP for less than the renew deadline: the same leader, nothing handled twice."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.1):
        leader = stage.leader()
        leader.freeze()
        time.sleep(1.0)
        leader.thaw()
        stage.wait_until_handled()
        assert stage.leader() is leader
    verdict = stage.conclude()
    assert verdict.handovers == ()
    assert verdict.twice == ()


@pytest.mark.parametrize("lose", [False, True], ids=["delayed", "lost"])
def test_a_leader_that_is_cut_off_has_stopped_before_anybody_else_begins(stage: Stage, lose: bool) -> None:
    """Half-open connections: the leader stops by its clock, stands by in the same process, and can lead again."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.3, daemon=True):
        leader = stage.leader()
        stage.create(3, seconds=60, only=leader.name)
        stage.wait_for_long_handlers(leader)
        stage.proxy(leader).cut(lose=lose)
        second = stage.leader(other_than=leader)
        stage.proxy(leader).heal()
        assert leader.alive
        second.stop()
        assert second.wait() == 0
        assert stage.leader(other_than=second) is leader
    stage.conclude()


@pytest.mark.parametrize("fault", ["refuse", "reset"])
def test_a_leader_whose_server_is_gone_stops_in_time(stage: Stage, fault: str) -> None:
    """Connections refused or reset: the same promise."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.3, daemon=True):
        leader = stage.leader()
        getattr(stage.proxy(leader), fault)()
        stage.leader(other_than=leader)
        stage.proxy(leader).heal()
    stage.conclude()


def test_slow_reply_then_cut(stage: Stage) -> None:
    """L6: the renewal landed long ago, its reply comes late, then nothing. Counting from the reply would overlap."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.3, daemon=True):
        leader = stage.leader()
        proxy = stage.proxy(leader)
        proxy.slow_reply()
        time.sleep(RENEW * 0.4)  # shorter than the request's time-out
        proxy.reply_then_cut()
        stage.leader(other_than=leader)
        proxy.heal()
    stage.conclude()


def test_replies_that_never_come_are_no_renewals(stage: Stage) -> None:
    """Requests land, replies do not: the leader must not count what it cannot know, nor two lead at once."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.3, daemon=True):
        leader = stage.leader()
        stage.proxy(leader).slow_reply()
        time.sleep(2 * LEASE)
        stage.proxy(leader).heal()
        stage.leader()
    stage.conclude()


def test_a_slow_network_is_no_reason_to_lose_the_lease(stage: Stage) -> None:
    """150 ms in each direction: the same leader, nothing handled twice."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.1):
        leader = stage.leader()
        stage.proxy(leader).delay(0.15)
        time.sleep(LEASE + 1)
        stage.proxy(leader).heal()
        stage.wait_until_handled()
        assert stage.leader() is leader
    assert stage.conclude().handovers == ()


def test_a_standby_that_is_cut_off_does_not_disturb(stage: Stage) -> None:
    """A deaf standby writes at expiry with the version it knows, and is refused (L16)."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.1):
        leader = stage.leader()
        standby = stage.standby(leader)
        stage.proxy(standby).cut()
        time.sleep(LEASE + 2)
        stage.proxy(standby).heal()
        time.sleep(2)
        assert stage.leader() is leader
    assert stage.conclude().handovers == ()
