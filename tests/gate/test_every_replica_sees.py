"""Handlers of every replica: they see every object and event, once each, with the indices filled."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader import every_replica
from kopf_leader.protocol.state import Reason
from tests.gate.operators import PLURAL, wait_for
from tests.gate.streams import FINALIZER


@pytest.mark.timeout(900)
def test_each_event_is_seen_once_through_fifty_terms(operator, cluster):
    """A marked handler of events sees each change once and no version twice, whatever is listed or replayed.

    A change can be seen with the one after it: kopf takes the last of what comes within its batch window.
    """
    op = operator()
    versions, changes = [], set()

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(meta, spec, **_):
        versions.append(meta["resourceVersion"])
        changes.add(spec["i"])

    @kopf.on.create(PLURAL, **op.on)
    @kopf.on.update(PLURAL, **op.on)
    async def changed(spec, **_):
        op.count(("changed", spec["i"]))

    op.start()
    cluster.create("a", i=0)
    wait_for(lambda: versions, "it to be seen")
    flapping, done = threading.Event(), threading.Event()

    def flap():
        for _ in range(50):
            op.lead()
            flapping.set()
            time.sleep(0.05)
            op.election.stop()
            op.election.released.wait(60)
        done.set()

    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    assert flapping.wait(60)
    i = 0
    while not done.is_set():
        i += 1
        cluster.edit("a", i=i)
        wait_for(lambda: len(changes) > i, "the edit to be seen")  # noqa: B023 - ends before the next round
    thread.join(60)
    wait_for(lambda: op.gate.counters.closed == 50, "the last term to be closed")
    op.lead()
    wait_for(lambda: op.counted["changed", i], "the last edit to be handled by the leader")
    op.stop()
    assert op.failure is None
    assert len(versions) == len(set(versions)), "no version was seen twice"
    assert changes == {*range(i + 1)}


def test_indices_are_filled_before_marked_handlers_run(operator, cluster):
    """As in kopf, a marked handler of a process that has just started finds every index filled, on a standby, too."""
    for number in range(20):
        cluster.create(f"o{number}")
    op = operator()
    sizes = []

    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, **_):
        await asyncio.sleep(0.01)
        return {name: True}

    @kopf.index("namespaces", id="spaces", **op.on)
    async def spaces(name, **_):
        return {name: True}

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(names, spaces, **_):
        sizes.append((len(names), bool(len(spaces))))

    @kopf.on.create(PLURAL, **op.on)
    async def created(name, names, **_):
        op.count(("created", len(names)))

    op.start()
    wait_for(lambda: len(sizes) == 20, "all objects to be seen")
    assert set(sizes) == {(20, True)}
    op.lead()
    wait_for(lambda: op.counted["created", 20] == 20, "the leader's handlers")
    op.election.stop()
    assert op.election.released.wait(60)
    cluster.create("o20")
    wait_for(lambda: sizes[-1] == (21, True), "another object, in the index and seen")
    op.stop()
    assert op.failure is None


def test_no_object_is_missed_by_a_process_that_flaps(operator, cluster):
    """Whatever is dropped, replayed or listed anew for the leader, a marked handler sees the last state of each."""
    op = operator()
    seen: dict[str, tuple[str, int]] = {}
    doubles = []

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(name, spec, meta, **_):
        if seen.get(name, ("",))[0] == meta["resourceVersion"]:
            doubles.append(name)
        seen[name] = meta["resourceVersion"], spec["i"]

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(name, stopped, **_):
        op.count(("daemon", name))
        await stopped.wait()

    @kopf.on.create(PLURAL, **op.on)
    @kopf.on.update(PLURAL, **op.on)
    async def changed(**_):
        await asyncio.sleep(0.01)

    op.start()
    done = threading.Event()

    def flap():
        while not done.is_set():
            op.lead()
            op.election.stop(Reason.RIVAL, cancel_in=0)
            op.election.released.wait(60)

    thread = threading.Thread(target=flap, daemon=True)
    thread.start()
    for i in range(10):
        for number in range(10):
            (cluster.edit if i else cluster.create)(f"o{number}", i=i)
    done.set()
    thread.join(60)
    newest = {o["metadata"]["name"]: (o["metadata"]["resourceVersion"], 9) for o in cluster.objects()}
    wait_for(lambda: seen == newest, "the last state of each object to be seen")
    op.stop()
    assert op.failure is None
    assert doubles == []
    assert [op.counted["daemon", f"o{number}"] for number in range(10)] == [1] * 10


def test_a_resource_with_marked_handlers_only(operator, cluster):
    """Where all handlers are marked, a finalizer left over from earlier is the leader's to remove, as kopf does."""
    cluster.create("a")
    left_over = cluster.mark("a", finalizers=[FINALIZER])
    op = operator()

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(stopped, **_):
        op.count("begun")
        await stopped.wait()

    op.start()
    wait_for(lambda: op.counted["begun"], "the daemon")
    cluster.create("b")
    wait_for(lambda: op.counted["begun"] == 2, "the other daemon")
    assert cluster.get("a") == left_over
    op.lead()
    wait_for(lambda: "finalizers" not in cluster.get("a")["metadata"], "the finalizer to be removed")
    assert "finalizers" not in cluster.get("b")["metadata"]
    op.election.stop()
    assert op.election.released.wait(60)
    op.stop()
    assert op.counted["begun"] == 2


def test_both_lanes_have_one_memo(operator, cluster):
    """An object has one `memo` for its handlers, marked or not, through all terms."""
    cluster.create("a")
    op = operator()
    seen = []

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(memo, **_):
        memo.events = memo.get("events", 0) + 1

    @kopf.on.resume(PLURAL, **op.on)
    @kopf.on.create(PLURAL, **op.on)
    async def changed(memo, **_):
        memo.terms = memo.get("terms", 0) + 1
        seen.append((memo.events > 0, memo.terms))

    op.start()
    for term in range(1, 4):
        op.lead()
        wait_for(lambda term=term: len(seen) == term, "it to be handled")
        op.election.stop()
        assert op.election.released.wait(60)
    op.stop()
    assert seen == [(True, 1), (True, 2), (True, 3)]
