"""From term to term: nothing stale is handled, nothing is forgotten that must be kept, nothing kept that is gone."""

import asyncio
import threading

import kopf

from kopf_leader.protocol.state import Reason
from tests.gate.conftest import cold_only
from tests.gate.operators import PLURAL, wait_for


@cold_only
def test_what_was_listed_under_an_earlier_term_is_not_handled_later(operator, cluster):
    """A listing that was begun under an earlier term is stale in a later one: it is dropped, and listed anew."""
    op = operator()
    cluster.create("a", i=1)
    held, go_on = threading.Event(), asyncio.Event()
    hold = True

    @kopf.on.event(PLURAL, **op.on)
    async def event(spec, **_):
        op.count(spec["i"])

    op.start()
    original = op.conductor.intake.watch

    async def slow_watch(stream, start):
        async for item in original(stream, start):
            if hold and isinstance(item, dict):
                held.set()
                await go_on.wait()
            yield item

    op.conductor.intake.watch = slow_watch
    op.lead()
    assert held.wait(60)
    op.election.stop(Reason.RIVAL, cancel_in=0)
    assert op.election.released.wait(60)
    cluster.edit("a", i=2)
    hold = False
    dropped = op.gate.counters.events_dropped
    op.lead()
    op.loop.call_soon_threadsafe(go_on.set)
    wait_for(lambda: op.counted[2], "the newest state to be handled")
    assert op.gate.counters.events_dropped == dropped + 1
    assert set(op.counted) == {2}
    op.stop()


def test_objects_deleted_while_standing_by_are_forgotten(operator, cluster):
    """What was deleted while nobody looked is forgotten at the next listing: in kopf's memories and in the indices."""
    op = operator()
    for name in ("a", "b"):
        cluster.create(name)

    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, **_):
        return {name: True}

    @kopf.on.event(PLURAL, **op.on)
    async def event(name, **_):
        op.count(name)

    op.start()
    op.lead()
    wait_for(lambda: op.counted["a"] and op.counted["b"], "both to be seen")
    op.election.stop()
    assert op.election.released.wait(60)
    cluster.delete("a")
    op.lead()
    wait_for(lambda: op.counted["b"] == 2, "the other one to be seen again")
    wait_for(lambda: len(op.conductor.parts.memories._items) == 1, "the deleted one to be forgotten")
    assert [*op.conductor.parts.indexers.indices["names"]] == ["b"]
    op.stop()


def test_what_users_keep_in_memory_survives(operator, cluster):
    """`memo` is the users', and stays from term to term; so does what their indices hold."""
    op = operator()
    cluster.create("a")
    seen = []

    @kopf.on.resume(PLURAL, **op.on)
    @kopf.on.create(PLURAL, **op.on)
    async def remember(memo, **_):
        memo.terms = memo.get("terms", 0) + 1
        seen.append(memo.terms)

    op.start()
    for term in range(1, 4):
        op.lead()
        wait_for(lambda term=term: len(seen) == term, "it to be seen")
        op.election.stop()
        assert op.election.released.wait(60)
    assert seen == [1, 2, 3]
    op.stop()


def test_jobs_that_wait_for_the_indices_hold_up_nobody(operator, cluster):
    """A job that kopf holds back until the indices are filled has started nothing: it ends when the gate closes."""
    op = operator()
    unfilled = True
    for number in range(5):
        cluster.create(f"o{number}")

    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, **_):
        op.count("indexing")
        while name == "o0" and unfilled:  # noqa: ASYNC110 - told from another thread
            await asyncio.sleep(0.05)

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("created")

    op.start()
    op.lead()
    wait_for(lambda: op.counted["indexing"] == 5, "the indices to be filled")
    op.election.stop(cancel_in=1000, exit_in=2000)
    assert op.election.released.wait(60)
    op.election.stop()
    assert op.counted["created"] == 0
    unfilled = False  # kopf would wait for it at its end
    op.stop()
    assert op.counted["created"] == 0


def test_a_term_lost_while_the_indices_are_filled(operator, cluster):
    """A term that ends while kopf holds handlers back for its indices leaves no object unindexed and none unhandled."""
    op = operator()
    for number in range(20):
        cluster.create(f"o{number}")
    slow, handled = True, set()

    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, **_):
        op.count("indexed")
        if slow:
            await asyncio.sleep(0.5)
        return {name: True}

    @kopf.on.create(PLURAL, **op.on)
    async def created(name, names, **_):
        if len(names) == 20:
            handled.add(name)

    op.start()
    op.lead()
    wait_for(lambda: op.counted["indexed"], "the indices to be filled")
    op.election.stop(Reason.RIVAL, cancel_in=0)
    assert op.election.released.wait(60)
    slow = False
    op.lead()
    wait_for(lambda: len(handled) == 20, "all to be handled with all in the index")
    op.stop()
