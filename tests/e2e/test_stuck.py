"""Handlers that cannot be stopped: threads, and a blocked event loop."""

from __future__ import annotations

import time

from tests.e2e.stage import LEASE, Stage, Workload


def wait_for_start(stage: Stage, handler: str, name: str) -> None:
    stage.replicas.wait_until(
        lambda: any(run.handler == handler and run.name == name for run in stage.verdict().executions),
        what=f"{handler} of {name} to start",
    )


def test_a_handler_in_a_thread_is_waited_for_at_sigterm(stage: Stage) -> None:
    """A synchronous handler shorter than the drain budget comes to its end, then the Lease is released."""
    stage.start("a", "b")
    stage.create()
    leader = stage.leader()
    (name,) = stage.create(thread=3, handlers=("create", "in_thread"))
    wait_for_start(stage, "in_thread", name)
    leader.stop()
    assert leader.wait() == 0
    stage.leader(other_than=leader)
    verdict = stage.conclude()
    assert [run.outcome for run in verdict.executions if run.handler == "in_thread"] == ["end"]


def test_a_handler_in_a_thread_that_does_not_end_costs_the_process(stage: Stage) -> None:
    """L12: it cannot be stopped, so the Lease is not released, and the process exits with its stacks logged."""
    stage.start("a", "b", arguments=["--leader-election-drain-timeout=2s"])
    stage.create()
    leader = stage.leader()
    stage.create(thread=120, only=leader.name, handlers=("create", "in_thread"))
    stage.wait_for_long_handlers(leader)
    leader.stop()
    assert leader.wait() != 0
    assert "in_thread" in leader.text()
    assert stage.holder() == leader.name
    stage.leader(other_than=leader)
    stage.conclude()


def test_a_leader_that_is_cut_off_with_a_stuck_thread_exits_before_the_lease_ends(stage: Stage) -> None:
    """The exit point comes before anybody else may acquire."""
    stage.start("a", "b")
    stage.create()
    leader = stage.leader()
    stage.create(thread=120, only=leader.name, handlers=("create", "in_thread"))
    stage.wait_for_long_handlers(leader)
    stage.proxy(leader).cut()
    assert leader.wait() != 0
    stage.leader(other_than=leader)
    stage.conclude()


def test_a_blocked_event_loop_keeps_the_lease(stage: Stage) -> None:
    """A handler that blocks kopf's loop costs no leadership: the election has a thread of its own."""
    stage.start("a", "b")
    stage.create()
    leader = stage.leader()
    lease = stage.read_lease()
    (name,) = stage.create(block=LEASE + 2)
    wait_for_start(stage, "create", name)
    stage.wait_until_handled()
    after = stage.read_lease()
    assert lease is not None
    assert after is not None
    assert after["spec"]["holderIdentity"] == lease["spec"]["holderIdentity"]
    assert after["spec"]["leaseTransitions"] == lease["spec"]["leaseTransitions"]
    assert leader.alive
    assert stage.conclude().handovers == ()


def test_a_blocked_event_loop_of_a_leader_that_is_cut_off_ends_with_the_process(stage: Stage) -> None:
    """Nothing can be cancelled in a blocked loop: the election's thread exits the process in time."""
    stage.start("a", "b")
    with Workload(stage, seconds=0.2):
        leader = stage.leader()
        stage.create(block=60, only=leader.name)
        stage.wait_for_long_handlers(leader)
        stage.proxy(leader).cut()
        assert leader.wait() != 0
        stage.leader(other_than=leader)
    stage.conclude()


def test_a_leader_that_is_stuck_for_too_long_is_given_up(stage: Stage) -> None:
    """stuck_timeout: a loop that is blocked for longer costs the process, so that another one can lead."""
    stage.start("a", "b", arguments=["--leader-election-stuck-timeout=5s"])
    stage.create()
    leader = stage.leader()
    stage.create(block=120, only=leader.name)
    stage.wait_for_long_handlers(leader)
    began = time.monotonic()
    assert leader.wait() != 0
    assert time.monotonic() - began < 100  # not the handler's own end
    stage.leader(other_than=leader)
    stage.conclude()
