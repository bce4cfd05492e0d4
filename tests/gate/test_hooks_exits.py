"""Hooks that cannot be stopped: the process is ended, as for a handler (L12)."""

import pytest

from tests.gate.test_exits import child

__all__ = ["child"]


def test_a_hook_before_the_gate_that_does_not_end_ends_the_process(child, cluster):
    """L12: a synchronous hook of `started_leading` that outlives the exit point ends the process, unreleased."""
    op = child("hook of started_leading")
    op.tell("lead")
    op.wait_for("in the hook")
    op.tell("stop RIVAL 0.1 0.5")
    status, errors = op.end()
    assert status == 1
    assert "drained" not in op.said
    assert "exits now, without giving the Lease back: somebody else holds the Lease" in errors
    assert "in hook" in errors, "the stack of the hook's thread"


@pytest.mark.parametrize("end", ["stop RENEW_DEADLINE 0.1 0.5", "stop RESIGNED 0.2 0.8"])
def test_a_hook_at_the_end_that_does_not_end_ends_the_process(child, cluster, end):
    """L12: so does one of `stopped_leading`: the Lease is not released while it runs."""
    op = child("hook of stopped_leading")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.tell(end)
    op.wait_for("in the hook")
    status, errors = op.end()
    assert status == 1
    assert "drained" not in op.said
    assert "exits now, without giving the Lease back" in errors
    assert "in hook" in errors, "the stack of the hook's thread"


def test_a_hook_that_had_no_turn_is_named(child, cluster):
    """A loop that is blocked at the exit point keeps `stopped_leading` from running: the last words say so."""
    op = child("hook of stopped_leading")
    op.tell("lead")
    op.tell("block")
    op.wait_for("blocking")
    op.tell("stop RESIGNED 0.1 0.5")
    status, errors = op.end()
    assert status == 1
    assert "drained" not in op.said
    assert "hooks of stopped_leading wait for their turn" in errors


def test_a_second_signal_does_not_wait_for_hooks(child, cluster):
    """L20: a second SIGTERM exits at once, in the midst of a hook of `stopped_leading`."""
    op = child("hook of stopped_leading")
    op.tell("lead")
    cluster.create("a")
    op.wait_for("handling")
    op.signal()
    op.wait_for("in the hook")
    op.signal()
    status, errors = op.end()
    assert status == 128 + 15
    assert "second signal" in errors
    assert "drained" not in op.said
