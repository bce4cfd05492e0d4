"""Hooks of `new_leader` on every replica; and all hooks where there is no election."""

import asyncio

import kopf
import pytest

from kopf_leader import NotLeader, current_term, on
from tests.gate.hooked import errors, opened
from tests.gate.operators import PLURAL, wait_for
from tests.gate.test_stopping import lead_for_ever


def test_new_leaders_are_announced_on_every_replica(operator):
    """`new_leader` is called for each change of the holder that is seen, in order, on a standby too; '' is not told."""
    op = operator()
    told = []

    @on.new_leader(**op.on)
    def sync(holder, is_me, **kwargs):
        with pytest.raises(NotLeader):
            current_term()
        told.append(("sync", holder, is_me, kwargs["term"], kwargs["reason"]))

    @on.new_leader(**op.on)
    async def asynchronous(holder, is_me, **kwargs):
        told.append(("async", holder, is_me, kwargs["term"], kwargs["reason"]))

    op.start()
    for holder in ("other", "", "other", "third"):
        op.election.tell_holder(holder)
    term = op.lead()
    op.election.tell_holder("me")
    wait_for(lambda: len(told) == 8, "all to be told")
    op.stop()
    holders = [("other", False, None), ("other", False, None), ("third", False, None), ("me", True, term)]
    assert told == [(way, *holder, None) for holder in holders for way in ("sync", "async")]
    assert op.gate.counters.holder == "me"


def test_new_leader_delays_nobody_and_its_failures_are_logged(operator, caplog):
    """A hook of `new_leader` that hangs delays neither the gate nor the end; one that fails is logged, once."""
    op = operator()

    @on.new_leader(**op.on)
    async def fails(**_):
        op.count("failed")
        raise ValueError("broken")

    @on.new_leader(**op.on)
    async def cancels(**_):
        raise asyncio.CancelledError

    @on.new_leader(**op.on)
    async def hangs(**_):
        op.count("hangs")
        await asyncio.Event().wait()

    op.start()
    op.election.tell_holder("other")
    op.election.tell_holder("another")
    wait_for(lambda: op.counted["hangs"], "the hook to hang")
    op.lead()
    op.election.stop()
    assert op.election.released.wait(60)
    op.lead()
    op.stop()
    assert op.failure is None
    assert op.counted == {"failed": 1, "hangs": 1}
    assert any("'fails' failed with an exception and will stop now: broken" in line for line in errors(caplog))
    assert op.election.said[-3:] == ["leave", "drained", "join"]


def test_without_an_election_hooks_run_as_well(operator, cluster):
    """L19: with `enabled=False` hooks run on the same path: before the gate opens, at the end before kopf cleans up."""
    op = operator()
    lead_for_ever(op)

    @on.new_leader(**op.on)
    def new(is_me, **_):
        op.count(is_me)

    @on.started_leading(**op.on)
    def prepare(term, **_):
        assert opened(op) == 0
        assert term.remaining() == float("inf")
        op.count("started")

    @on.stopped_leading(**op.on)
    async def conclude(reason, **_):
        op.count(reason)

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("handled")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()
        await asyncio.sleep(0.2)
        op.count("daemon over")

    @kopf.on.cleanup(**op.on)
    def cleanup(**_):
        op.count("cleanup")

    cluster.create("a")
    op.start()
    wait_for(lambda: op.counted["handled"] and op.counted["daemon"] and op.counted[True], "all to be handled")
    op.stop()
    assert op.failure is None
    assert op.counted[True] == 1
    order = [what for what, _ in op.moments if what is not True]
    assert order[0] == "started"
    assert order[-3:] == ["daemon over", "leaving", "cleanup"]


def test_without_an_election_a_failure_stops_the_operator(operator):
    """L19: with nobody to hand over to, a hook that fails for good stops the operator, as a start-up handler does."""
    op = operator()
    lead_for_ever(op)

    @on.started_leading(**op.on)
    def prepare(**_):
        raise kopf.PermanentError("no database")

    @on.stopped_leading(**op.on)
    def conclude(**_):
        op.count("concluded")

    @kopf.on.cleanup(**op.on)
    def cleanup(**_):
        op.count("cleaned up")

    op.start()
    op.join()
    assert isinstance(op.failure, kopf.PermanentError)
    assert "the hook 'prepare' (@kopf_leader.on.started_leading) has failed for good: no database" in str(op.failure)
    assert [what for what, _ in op.moments] == ["concluded", "cleaned up"]
    assert opened(op) == 0
