"""From kopf's peering to the election and back: rolling updates of real processes, and objects come all the while."""

from __future__ import annotations

import pytest

from tests.e2e.migration import Migration
from tests.e2e.stage import Stage, Workload

PAUSED = "and paused: others are at work"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scope", ["cluster", "namespaced"])
def test_there_and_back_and_on(stage: Stage, scope: str) -> None:
    """Peering -> migration -> peering -> migration -> election: no overlap with the old version, no object lost."""
    migration = Migration(stage, scope)
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
        leader.stop()
        migration.wait_at_work(back[0])
        migration.stop(*(replica for replica in new if replica is not leader))
        assert leader.wait() == 0
        assert migration.own not in migration.records()

        again = [migration.start_migrating(name) for name in ("new-3", "new-4")]
        migration.stop(back[1], back[0])
        assert stage.leader() in again

        last = [migration.start_elected(name) for name in ("last-1", "last-2")]
        migration.stop(*again)
        assert stage.leader() in last
    migration.conclude()
