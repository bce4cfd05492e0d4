"""From kopf's peering to the election and back: rolling updates of real processes, and objects come all the while."""

from __future__ import annotations

import pytest

from tests.e2e.migration import PRIORITY, Migration
from tests.e2e.stage import Stage, Workload
from tests.seam.run import prepare

PAUSED = "and paused: others are at work"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scope", "release"), [("cluster", "1.40.0"), ("namespaced", "")])
def test_there_and_back_and_on(stage: Stage, scope: str, release: str) -> None:
    """Peering -> migration -> peering -> migration -> election: no overlap with the old version, no object lost."""
    migration = Migration(stage, scope, old_python=str(prepare(release)) if release else "")
    first = migration.start_old("old-1", priority=30)
    with Workload(stage, pause=0.4, seconds=0.2, daemon=True):
        migration.wait_at_work(first)
        second = migration.start_old("old-2", priority=20)
        migration.wait_for_record(20)

        new = [migration.start_migrating(name) for name in ("new-1", "new-2")]
        stage.replicas.wait_until(lambda: any(PAUSED in one.text() for one in new), what="a new replica that waits")
        migration.stop(first)
        migration.wait_at_work(second)
        stage.create(seconds=3.0, only=second.name)  # goes on when the record has gone
        stage.wait_for_long_handlers(second)
        migration.stop(second)
        leader = stage.leader()
        assert leader in new

        back = [migration.start_old("old-3", priority=10), migration.start_old("old-4", priority=5)]
        for priority in (10, 5):
            migration.wait_for_record(priority)
        assert stage.leader() is leader  # still at work
        migration.stop(leader)
        migration.wait_at_work(back[0])
        migration.stop(*(replica for replica in new if replica is not leader))
        assert migration.own not in migration.records()

        again = [migration.start_migrating(name) for name in ("new-3", "new-4")]
        migration.stop(back[1], back[0])
        assert stage.leader() in again

        last = [migration.start_elected(name) for name in ("last-1", "last-2")]
        migration.stop(*again)
        assert stage.leader() in last
    migration.conclude()


@pytest.mark.timeout(300)
def test_an_old_replica_is_killed(stage: Stage) -> None:
    """SIGKILL leaves a record behind: the new version waits until it is dead, and for the grace; nothing is lost."""
    migration = Migration(stage, "cluster")
    old = migration.start_old("old", priority=30, environment={"PEERING_LIFETIME": "15"})
    with Workload(stage, pause=0.4, seconds=0.2, daemon=True):
        migration.wait_at_work(old)
        new = migration.start_migrating("new")
        stage.replicas.wait_until(lambda: PAUSED in new.text(), what="the new replica to wait")
        old.kill()
        assert stage.leader() is new
    migration.conclude()


@pytest.mark.timeout(300)
def test_a_leader_of_the_new_version_is_killed(stage: Stage) -> None:
    """The record belongs to the Lease: the next holder takes it over, and does not have to wait for the grace."""
    migration = Migration(stage, "cluster")
    with Workload(stage, pause=0.4, seconds=0.2, daemon=True):
        migration.start_migrating("new-1")
        migration.start_migrating("new-2")
        first = stage.leader()
        first.kill()
        second = stage.leader(other_than=first)
        assert "handlers start in" not in second.text()
        # While an old replica waits, the next holder withdraws the record in its favour.
        old = migration.start_old("old", priority=10)
        migration.wait_for_record(10)
        migration.start_migrating("new-3")
        second.kill()
        migration.wait_at_work(old)
        assert stage.holder() == "new-3"
        assert migration.own not in migration.records()
    migration.conclude()


@pytest.mark.timeout(300)
def test_a_higher_priority_takes_over_in_order(stage: Stage) -> None:
    """The leader gives way to a higher priority: it drains, withdraws its record, and only then does that one work."""
    migration = Migration(stage, "namespaced")
    with Workload(stage, pause=0.4, seconds=0.2, daemon=True):
        new = migration.start_migrating("new")
        assert stage.leader() is new
        stage.create(seconds=3.0, only=new.name)
        stage.wait_for_long_handlers(new)
        old = migration.start_old("old", priority=PRIORITY + 1)
        migration.wait_at_work(old)
        migration.stop(old)
        assert stage.leader() is new
    migration.conclude()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("priority", [PRIORITY - 1, PRIORITY, PRIORITY + 1])
def test_an_old_replica_starts_during_the_grace(stage: Stage, priority: int) -> None:
    """It goes first, as nobody can know whether it has seen the record; the new version begins when it has gone."""
    migration = Migration(stage, "cluster")
    with Workload(stage, pause=0.4, seconds=0.2, daemon=True):
        go = stage.folder / "go"
        old = migration.start_old("old", priority=priority, environment={"WAIT_FOR": str(go)})
        stage.replicas.wait_until(lambda: "'configure' succeeded" in old.text(), what="the start of the old replica")
        new = migration.start_migrating("new")
        stage.replicas.wait_until(lambda: "handlers start in" in new.text(), what="the grace")
        go.touch()
        migration.wait_at_work(old)
        migration.stop(old)
        assert stage.leader() is new
    migration.conclude()


@pytest.mark.timeout(300)
def test_kopfs_freeze_and_resume(stage: Stage) -> None:
    """`kopf freeze` pauses the migrating version as it did the old one, and `kopf resume` lets it go on."""
    migration = Migration(stage, "cluster")
    new = migration.start_migrating("new")
    stage.create(2)
    assert stage.leader() is new
    stage.wait_until_handled()
    migration.command("freeze", "--id=me", "--lifetime=3600", "--priority=100")
    stage.replicas.wait_until(lambda: migration.own not in migration.records(), what="the new replica to give way")
    stage.replicas.wait_until(lambda: PAUSED in new.text(), what="the new replica to wait")
    stage.create(2)
    frozen = len(stage.verdict().executions)
    assert len(stage.verdict().lost) == 2
    migration.command("resume", "--id=me")
    stage.wait_until_handled()
    assert len(stage.verdict().executions) > frozen
    migration.conclude()


@pytest.mark.timeout(300)
def test_the_grace_is_needed(stage: Stage) -> None:
    """Without it the new version begins while handlers of an old replica, whose record is gone, still run."""
    migration = Migration(stage, "namespaced")
    old = migration.start_old("old", priority=30)
    stage.create()
    migration.wait_at_work(old)
    new = migration.start_migrating("new", grace=0.1)
    stage.replicas.wait_until(lambda: PAUSED in new.text(), what="the new replica to wait")
    stage.create(seconds=8.0, only=old.name)
    stage.wait_for_long_handlers(old)
    stage.create(3)
    migration.stop(old)
    stage.wait_until_handled()
    stage.replicas.stop()
    assert migration.broken(stage.verdict())
