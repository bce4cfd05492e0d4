"""Closing: what is stopped in which order, what may finish, what is cut off, what never starts (L8, L12)."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader.protocol.state import Reason
from tests.gate.operators import PLURAL, wait_for
from tests.gate.streams import release


def test_hundreds_of_daemons_and_timers_start_nothing_late(operator, cluster):
    """Closing sets all stoppers in one go: no timer ticks once more, and the whole lot is gone before the release."""
    for number in range(100):
        cluster.create(f"o{number}")
    op = operator()
    starts: list[float] = []

    @kopf.timer(PLURAL, interval=0.05, **op.on)
    async def fast(**_):
        starts.append(time.monotonic())

    @kopf.timer(PLURAL, interval=0.2, id="slow", **op.on)
    async def slow(**_):
        starts.append(time.monotonic())

    @kopf.timer(PLURAL, idle=0.1, **op.on)
    async def idle(**_):
        op.count("idle")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()

    op.start()
    op.lead()
    wait_for(lambda: op.counted["daemon"] == 100 <= op.counted["idle"] and len(starts) > 300, "all to run")
    op.election.stop()
    assert op.election.released.wait(60)
    shut_at = dict(op.election.log)["drained"]
    wait_for(lambda: op.gate.counters.closed == 1, "the gate to be closed")
    assert [start for start in starts if start > shut_at] == []
    assert op.gate.counters.handlers_cancelled == 0
    op.stop()
    assert op.failure is None


def test_queued_events_are_dropped(operator, cluster):
    """Events that wait in kopf's queues when the gate closes are dropped; the next term lists them again."""
    op = operator()
    running, go_on = threading.Event(), asyncio.Event()

    @kopf.on.event(PLURAL, **op.on)
    async def event(spec, **_):
        op.count(spec["i"])
        if spec["i"] == 1:
            running.set()
            await go_on.wait()

    op.start()
    op.lead()
    cluster.create("a", i=1)
    assert running.wait(60)
    for i in range(2, 6):
        cluster.edit("a", i=i)
    before = op.gate.counters.events_dropped
    # The stream must have brought the edits into the queue behind the running handler.
    wait_for(lambda: len(op.conductor.tenure.jobs) == 1, "one job")
    time.sleep(0.3)
    op.election.stop()
    wait_for(op.paused, "the pause")
    op.loop.call_soon_threadsafe(go_on.set)
    assert op.election.released.wait(60)
    wait_for(lambda: op.gate.counters.events_dropped > before, "the queued events to be dropped")
    assert op.counted == {1: 1}
    op.lead()
    wait_for(lambda: op.counted[5] == 1, "the newest state to be handled")
    assert set(op.counted) == {1, 5}
    op.stop()


def test_a_blocked_loop_starts_nothing_after_the_deadline(operator, cluster):
    """L7: leadership is a computed value: a loop that was blocked when the claim ran out starts nothing afterwards."""
    for number in range(20):
        cluster.create(f"o{number}")
    op = operator()
    starts: list[float] = []

    @kopf.timer(PLURAL, interval=0.1, **op.on)
    async def tick(**_):
        starts.append(time.monotonic())

    op.start()
    op.lead()
    wait_for(lambda: len(starts) > 40, "the timers to tick")
    blocked = threading.Event()
    op.loop.call_soon_threadsafe(lambda: (blocked.set(), time.sleep(1.0)))
    assert blocked.wait(60)
    time.sleep(0.2)
    op.election.expire()
    expired_at = time.monotonic()
    op.election.stop(Reason.RENEW_DEADLINE)
    assert op.election.released.wait(60)
    assert [start for start in starts if start > expired_at] == []
    op.stop()


def test_the_claim_that_runs_out_closes_the_gate(operator, cluster):
    """L7: if the election dies, the claim expires by itself: the gate closes, cancels by the timeline, drains."""
    op = operator(slack=2.0)
    running = threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def endless(**_):
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            op.count("cut off")

    op.start()
    op.lead(seconds=5)
    cluster.create("a")
    assert running.wait(60)
    op.election.alive = op.election.answers = False
    assert op.election.released.wait(60)
    assert op.counted["cut off"] == 1
    assert op.conductor.tenure.stop.reason is Reason.RENEW_DEADLINE
    op.election.alive = op.election.answers = True
    op.stop()


@pytest.mark.parametrize("reason", [Reason.RIVAL, Reason.DELETED, Reason.DENIED])
def test_a_rival_cuts_off_at_once(operator, cluster, reason):
    """L8: when somebody else was seen there is nothing to wait for: running handlers are cancelled at once."""
    op = operator()
    running = threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def endless(**_):
        running.set()
        await asyncio.Event().wait()

    @kopf.daemon(PLURAL, **op.on)
    async def deaf(**_):
        await asyncio.Event().wait()

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    op.election.stop(reason, cancel_in=0.0, exit_in=60.0)
    assert op.election.released.wait(60)
    assert op.gate.counters.handlers_cancelled == 2
    op.stop()
    assert op.failure is None


def test_handlers_are_cancelled_when_it_is_time_and_waited_for(operator, cluster, caplog):
    """L12: close, let running handlers finish, cancel those that do not, and release only after their clean-up."""
    op = operator()
    running, cleaning, go_on = threading.Event(), threading.Event(), asyncio.Event()

    @kopf.on.create(PLURAL, **op.on)
    async def slow(**_):
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaning.set()
            await go_on.wait()
            raise

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    op.election.stop(cancel_in=30.0)
    wait_for(op.paused, "the pause")
    assert not cleaning.is_set()
    op.election.stop(cancel_in=0.0)  # it comes again, with nearer points
    assert cleaning.wait(60)
    assert not op.election.released.is_set()
    op.loop.call_soon_threadsafe(go_on.set)
    assert op.election.released.wait(60)
    op.stop()
    assert "Will escalate" not in caplog.text


@pytest.mark.parametrize("way", ["thread", "task"])
def test_what_a_handler_leaves_behind_is_waited_for(operator, cluster, way):
    """L12: the Lease is released only when nothing runs: neither a thread nor a task that a handler has forgotten."""
    op = operator()
    running, go_on = threading.Event(), threading.Event()
    kept = []

    def work():
        running.set()
        go_on.wait(60)
        op.count("worked")

    async def forgotten():
        running.set()
        while not go_on.is_set():  # noqa: ASYNC110 (set from another thread)
            await asyncio.sleep(0.01)
        op.count("worked")

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        if way == "thread":
            asyncio.get_running_loop().run_in_executor(None, work)
        else:
            kept.append(asyncio.create_task(forgotten()))

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    wait_for(lambda: cluster.get("a")["metadata"].get("annotations"), "the handler to be done and recorded")
    op.election.stop()
    wait_for(op.paused, "the pause")
    time.sleep(0.2)
    assert not op.election.released.is_set()
    go_on.set()
    assert op.election.released.wait(60)
    assert op.counted["worked"] == 1
    op.stop()


def test_a_handler_that_waits_for_its_next_attempt_holds_up_nobody(operator, cluster):
    """A job that only sleeps until the next attempt at a handler ends when the gate closes; the next leader goes on."""
    op = operator()

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("tried")
        raise kopf.TemporaryError("not yet", delay=300)

    op.start()
    op.lead()
    cluster.create("a")
    wait_for(lambda: "annotations" in cluster.get("a")["metadata"], "the failed attempt to be recorded")
    op.election.stop()
    assert op.election.released.wait(60)
    assert op.gate.counters.handlers_cancelled == 0
    op.stop()


def test_a_sync_handler_that_has_no_thread_yet_does_not_start(operator, cluster):
    """A synchronous handler that still queues for a thread when the gate closes does not start when its turn comes."""
    op = operator()
    op.settings.execution.max_workers = 1
    running, go_on = threading.Event(), threading.Event()

    @kopf.on.create(PLURAL, **op.on)
    def created(name, **_):
        op.count("started")
        running.set()
        go_on.wait(60)

    op.start()
    op.lead()
    cluster.create("a")
    assert running.wait(60)
    cluster.create("b")
    wait_for(lambda: len(op.conductor.tenure.jobs) == 2, "the second job")
    wait_for(op.settings.execution.executor._work_queue.qsize, "the second handler to be queued")
    op.election.stop()
    wait_for(op.paused, "the pause")
    go_on.set()
    assert op.election.released.wait(60)
    assert op.counted["started"] == 1
    assert op.gate.counters.starts_refused == 1
    op.stop()


def test_an_object_that_goes_while_the_gate_closes_is_forgotten(operator, cluster):
    """What is deleted while its daemon still stops is neither in the indices nor in kopf's memory afterwards."""
    op = operator()
    go_on = threading.Event()

    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, **_):
        return {name: True}

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(stopped, name, **_):
        op.count(name)
        await stopped.wait()
        while not go_on.is_set():  # noqa: ASYNC110 (set in another thread)
            await asyncio.sleep(0.01)

    cluster.create("a")
    cluster.create("b")
    op.start()
    op.lead()
    wait_for(lambda: op.counted["a"] and op.counted["b"], "the daemons")
    op.election.stop()
    wait_for(lambda: op.gate.counters.closed, "the gate to close")
    dropped = op.gate.counters.events_dropped
    cluster.delete("a")
    release(cluster, "a")  # by force: kopf's finalizer is there for the daemon
    if op.conductor.intake.warm:
        wait_for(lambda: "a" not in op.held() and op.gate.counters.events_dropped > dropped + 1, "the deletion")
    go_on.set()
    assert op.election.released.wait(60)
    if not op.conductor.intake.warm:  # on the cold way it is found at the next promotion
        op.lead()
    wait_for(lambda: sorted(op.conductor.parts.indexers.indices["names"]) == ["b"], "the index to follow")
    wait_for(lambda: len(op.conductor.parts.memories._items) == 1, "it to be forgotten")
    op.stop()
    assert op.failure is None
