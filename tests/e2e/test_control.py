"""The proof that this ring can fail: what it promises of us is not true of kopf alone."""

from __future__ import annotations

from tests.e2e.stage import Stage


def test_two_replicas_of_plain_kopf_are_caught(stage: Stage) -> None:
    """Two stock replicas without an election handle the same objects at once, and the checker says so."""
    stage.replicas.command[1:] = ["-m", "kopf", "run"]
    stage.start("a", "b", elected=False, granted=False, arguments=["--standalone"])
    # Until both are there: one of them may be late.
    stage.replicas.wait_until(
        lambda: stage.create(seconds=0.5) and stage.verdict().overlaps, what="overlap", interval=0.2
    )
    stage.wait_until_handled()
    stage.replicas.stop()
    verdict = stage.verdict()
    assert verdict.overlaps
    assert not verdict.ok
    assert not verdict.lost
    assert not verdict.problems
