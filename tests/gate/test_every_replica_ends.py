"""Handlers of every replica: how they end, with their object, with the operator, and without holding up the Lease."""

import asyncio
import threading

import kopf
import pytest

from kopf_leader import every_replica
from tests.gate.operators import PLURAL, wait_for


def lanes(op):
    return op.conductor.intake.lanes


@pytest.mark.parametrize("blocked", [False, True], ids=["at once", "blocked by a finalizer"])
def test_a_deletion_ends_the_lanes_daemons(operator, cluster, blocked):
    """When an object goes, its marked daemons and timers end, and it is forgotten: also when nothing held it back."""
    cluster.create("a")
    cluster.create("b")
    if blocked:
        cluster.mark("a", finalizers=["somebody/else"])
    op = operator()

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(event, name, **_):
        op.count((name, event["type"]))

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(name, stopped, **_):
        op.count((name, "begun"))
        await stopped.wait()
        op.count((name, "over"))

    @kopf.daemon(PLURAL, cancellation_timeout=0.05, **op.on)
    @every_replica
    async def cancelled(name, **_):
        try:
            await asyncio.Event().wait()
        finally:
            op.count((name, "cancelled"))

    @kopf.timer(PLURAL, idle=0.01, **op.on)
    @every_replica
    async def idle(**_):
        op.count("idle")

    op.start()
    wait_for(lambda: op.counted["a", "begun"] and op.counted["b", "begun"] and op.counted["idle"] > 1, "all to begin")
    cluster.delete("a")
    wait_for(lambda: op.counted["a", "over"] and op.counted["a", "cancelled"], "the end of its daemons")
    if blocked:
        assert op.counted["a", "DELETED"] == 0
        cluster.mark("a", finalizers=[])
    wait_for(lambda: op.counted["a", "DELETED"] == 1, "the last event")
    wait_for(lambda: len(lanes(op)._lane.memories._items) == 1, "it to be forgotten")
    wait_for(lambda: not lanes(op).running(), "everything to end")
    assert len(lanes(op)._versions) == 1
    assert op.counted["b", "over"] == 0
    op.stop()
    assert op.counted["a", "begun"] == 1
    assert op.counted["b", "over"] == 1


def test_daemons_that_do_not_match_any_more_end_and_come_back(operator, cluster):
    """Filters of marked daemons are heeded as kopf does: told, cancelled where the handler says so, and begun again."""
    cluster.create("a")
    cluster.mark("a", labels={"on": "yes"})
    op = operator()

    @kopf.daemon(PLURAL, labels={"on": "yes"}, cancellation_backoff=0.05, cancellation_timeout=1, **op.on)
    @every_replica
    async def deaf(**_):
        op.count("begun")
        try:
            await asyncio.Event().wait()
        finally:
            op.count("cancelled")

    op.start()
    for term in range(1, 4):
        wait_for(lambda term=term: op.counted["begun"] == term, "the daemon")
        cluster.mark("a", labels={"on": "no"})
        wait_for(lambda term=term: op.counted["cancelled"] == term, "its end")
        wait_for(lambda: not lanes(op).running(), "nothing to be on its way out")
        cluster.mark("a", labels={"on": "yes"})
    wait_for(lambda: op.counted["begun"] == 4, "the daemon")
    op.stop()
    assert op.failure is None
    assert op.counted["cancelled"] == 4


def test_the_release_does_not_wait_for_the_lane(operator, cluster):
    """L12: work of every replica is not leader's work: a term ends, and the Lease is released, while it goes on."""
    cluster.create("a")
    op = operator()
    running, go_on = threading.Event(), threading.Event()

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    def event(spec, **_):
        if spec.get("i") == 2:
            running.set()
            go_on.wait(60)
            op.count("event over")

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def deaf(**_):
        op.count("daemon begun")
        while not go_on.is_set():  # noqa: ASYNC110 (set from another thread)
            await asyncio.sleep(0.01)
        op.count("daemon over")

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("created")

    op.start()
    op.lead()
    wait_for(lambda: op.counted["created"] and op.counted["daemon begun"], "both lanes")
    cluster.edit("a", i=2)
    assert running.wait(60)
    op.ask_to_stop()
    assert op.election.released.wait(60)
    assert not op.counted["event over"]
    assert not op.counted["daemon over"]
    go_on.set()
    op.join()
    assert op.failure is None
    assert op.counted["event over"] == op.counted["daemon over"] == 1


def test_what_ignores_its_stopper_is_cancelled_at_the_exit(operator, cluster):
    """A marked daemon that does not stop is cancelled when the drain budget is used up; the operator ends in order."""
    cluster.create("a")
    op = operator(drain_timeout=0.5, election={"drain": 0.5})

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def deaf(**_):
        op.count("begun")
        try:
            await asyncio.Event().wait()
        finally:
            op.count("cancelled")

    @kopf.daemon(PLURAL, cancellation_timeout=1, **op.on)
    @every_replica
    async def impatient(**_):
        try:
            await asyncio.Event().wait()
        finally:
            op.count("impatient")

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(name, **_):
        if name == "a":
            return
        op.count("handling")
        try:
            await asyncio.Event().wait()
        finally:
            op.count("event cancelled")

    @kopf.on.cleanup(**op.on)
    async def cleanup(**_):
        assert op.counted["cancelled"] == op.counted["impatient"] == op.counted["event cancelled"] == 1
        op.count("cleanup")

    op.start()
    wait_for(lambda: op.counted["begun"], "the daemons")
    cluster.create("b")
    wait_for(lambda: op.counted["handling"], "the handler of events")
    op.stop()
    assert op.failure is None
    assert op.counted["cleanup"] == 1


def test_an_object_that_goes_without_an_event_ends_its_daemons(operator, cluster):
    """Where a whole resource is no longer served, no event tells of its objects: their daemons end all the same."""
    body = cluster.create("a")
    op = operator()

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(stopped, **_):
        op.count("begun")
        await stopped.wait()
        op.count("over")

    op.start()
    wait_for(lambda: op.counted["begun"], "the daemon")
    asyncio.run_coroutine_threadsafe(lanes(op).forget(body), op.loop).result(60)
    wait_for(lambda: op.counted["over"], "its end")
    assert not lanes(op)._lane.memories._items
    op.stop()
    assert op.failure is None
