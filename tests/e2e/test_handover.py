"""One replica handles, the others stand by and take over: by SIGTERM, by SIGKILL, by scaling."""

from __future__ import annotations

import signal

from tests.e2e.stage import Stage, Workload

TROUBLE = ("Traceback", "ERROR")


def test_one_replica_handles_and_two_stand_by(stage: Stage) -> None:
    """Three replicas: exactly one of them handles, whatever is done to the objects."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.05):
        leader = stage.leader()
        stage.create(5, daemon=True, timer=True, handlers=("create", "timer"))
        stage.create(2, thread=0.2, handlers=("create", "in_thread"))
        stage.wait_until_handled()
    verdict = stage.conclude()
    assert {run.process.pid for run in verdict.executions} == {leader.pid}
    assert verdict.twice == ()


def test_sigterm_hands_over_without_an_overlap_or_a_repetition(stage: Stage) -> None:
    """SIGTERM: the leader finishes its handlers and releases, the next one goes on; no error is logged, status 0."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.2, daemon=True):
        leader = stage.leader()
        stage.wait_until_handled()
        leader.stop()
        assert leader.wait() == 0
        second = stage.leader(other_than=leader)
        second.stop()
        assert second.wait() == 0
        third = stage.leader(other_than=second)
        assert third.name not in {leader.name, second.name}
    verdict = stage.conclude()
    assert verdict.twice == ()
    assert len(verdict.handovers) == 2
    for replica in (leader, second, third):
        assert not [line for line in replica.text().splitlines() if any(word in line for word in TROUBLE)]


def test_sigkill_is_followed_by_another_leader_after_the_lease(stage: Stage) -> None:
    """SIGKILL in the midst of handlers: the next leader handles what was cut, and nothing is lost."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.5, daemon=True):
        leader = stage.leader()
        stage.wait_until_handled()
        leader.kill()
        assert leader.exit_code == -signal.SIGKILL
        stage.leader(other_than=leader)
    verdict = stage.conclude()
    assert [run for run in verdict.executions if run.outcome == "death"]
    assert len(verdict.handovers) == 1


def test_three_one_three_replicas(stage: Stage) -> None:
    """Scaling down to one and up again, the leader among those that leave each time."""
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.1):
        first = stage.leader()
        standby = stage.standby(first)
        standby.stop()
        first.stop()
        assert (standby.wait(), first.wait()) == (0, 0)
        last = stage.leader(other_than=first)
        stage.start("d", "e")
        last.stop()
        assert last.wait() == 0
        assert stage.leader(other_than=last).name in {"d", "e"}
    assert len(stage.conclude().handovers) == 2


def test_a_second_sigterm_exits_at_once_and_releases_nothing(stage: Stage) -> None:
    """L20: a second SIGTERM exits hard, without release; the successor waits for the lease."""
    stage.start("a", "b")
    stage.create()
    leader = stage.leader()
    stage.create(thread=120, only=leader.name, handlers=("create", "in_thread"))
    stage.wait_for_long_handlers(leader)
    leader.stop()
    stage.replicas.wait_until(lambda: "SIGTERM" in leader.text(), what="the first SIGTERM to be logged")
    leader.stop()
    assert leader.wait() != 0
    assert stage.holder() == leader.name
    stage.leader(other_than=leader)
    stage.conclude()


def test_without_the_flag_it_is_plain_kopf_with_one_replica(stage: Stage) -> None:
    """L19: no election, no Lease, the same handlers."""
    stage.start("a", elected=False, granted=False)
    stage.create(5, seconds=0.1, daemon=True)
    stage.wait_until_handled()
    assert stage.read_lease() is None
    stage.conclude()


def test_the_environment_turns_a_stock_kopf_run_into_a_candidate(stage: Stage) -> None:
    """KOPF_RUN_MODULES=kopf_leader.auto: `kopf run` itself, not a line of the operator changed."""
    stage.replicas.command[1:] = ["-m", "kopf", "run"]
    variables = {"KOPF_RUN_MODULES": "kopf_leader.auto"}
    for flag in stage.election_flags():
        name, _, value = flag.removeprefix("--").partition("=")
        variables[f"KOPF_RUN_{name.replace('-', '_').upper()}"] = value or "true"
    stage.start("a", "b", elected=False, environment=variables)
    with Workload(stage, seconds=0.05):
        leader = stage.leader()
        leader.stop()
        assert leader.wait() == 0
        stage.leader(other_than=leader)
    assert stage.conclude().twice == ()
