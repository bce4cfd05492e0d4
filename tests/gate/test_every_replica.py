"""Handlers of every replica: they run on a standby as on a leader, undisturbed, and change nothing."""

import asyncio
import time

import kopf
import pytest

from kopf_leader import NotLeader, current_term, every_replica
from kopf_leader.protocol.state import Reason
from tests.gate.conftest import cold_only
from tests.gate.operators import PLURAL, wait_for
from tests.gate.streams import FINALIZER
from tests.gate.test_stopping import lead_for_ever


def test_marked_handlers_run_on_a_standby_and_others_do_not(operator, cluster):
    """On a standby, marked handlers of events, timers and daemons run; no other does, and the object is not touched."""
    cluster.create("a")
    before = cluster.mark("a", finalizers=[FINALIZER])
    op = operator()

    def handlers(prefix, mark):
        @kopf.on.event(PLURAL, id=f"{prefix}-event", **op.on)
        @mark
        async def event(**_):
            op.count(f"{prefix} event")

        @kopf.timer(PLURAL, id=f"{prefix}-timer", interval=0.05, **op.on)
        @mark
        def timer(**_):
            op.count(f"{prefix} timer")

        @kopf.daemon(PLURAL, id=f"{prefix}-daemon", **op.on)
        @mark
        async def daemon(stopped, **_):
            op.count(f"{prefix} daemon")
            await stopped.wait()

    handlers("every", every_replica)
    handlers("leader", lambda function: function)

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("leader created")

    op.start()
    wait_for(lambda: op.counted["every timer"] > 5, "the timer to tick")
    wait_for(lambda: op.counted["every event"] and op.counted["every daemon"], "the others")
    cluster.create("b")
    wait_for(lambda: op.counted["every daemon"] == 2 == op.counted["every event"], "the new object to be seen")
    assert {what for what in op.counted if what.startswith("leader")} == set()
    assert cluster.get("a") == before
    assert "finalizers" not in cluster.get("b")["metadata"]
    op.lead()
    wait_for(lambda: op.counted["leader created"] == 2 == op.counted["leader daemon"], "the leader's lane")
    op.stop()
    assert op.failure is None
    assert op.counted["every daemon"] == 2


def test_the_lane_is_undisturbed_by_many_terms(operator, cluster, caplog):
    """Marked timers and daemons go on through all terms; an object with a delete handler waits for a leader to go."""
    op = operator()
    cluster.create("a")

    timers = set()

    @kopf.timer(PLURAL, interval=0.02, **op.on)
    @every_replica
    async def tick(**_):
        timers.add(asyncio.current_task())  # a timer has one for as long as it lives
        op.count("tick")

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def marked(stopped, **_):
        op.count("marked begun")
        await stopped.wait()
        op.count("marked over")

    @kopf.daemon(PLURAL, **op.on)
    async def unmarked(stopped, **_):
        op.count("unmarked begun")
        await stopped.wait()
        op.count("unmarked over")

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count("created")

    @kopf.on.delete(PLURAL, **op.on)
    async def deleted(**_):
        op.count("deleted")

    def ticks_on():
        seen = op.counted["tick"]
        wait_for(lambda: op.counted["tick"] > seen + 2, "the timer to go on")

    op.start()
    ticks_on()
    assert "finalizers" not in cluster.get("a")["metadata"]
    for term in range(1, 11):
        op.lead()
        wait_for(lambda term=term: op.counted["unmarked begun"] == term, "the leader's daemon")
        ticks_on()
        op.election.stop([Reason.RESIGNED, Reason.RIVAL][term % 2], cancel_in=5)
        assert op.election.released.wait(60)
        assert op.counted["unmarked over"] == term
        ticks_on()
    assert cluster.get("a")["metadata"]["finalizers"] == [FINALIZER]
    assert len(timers) == op.counted["marked begun"] == 1
    assert op.counted["marked over"] == 0

    cluster.delete("a")
    wait_for(lambda: op.counted["marked over"], "the marked daemon to be told of the deletion")
    cluster.create("b")
    wait_for(lambda: op.counted["marked begun"] == 2, "another object to be seen")
    assert cluster.get("a")["metadata"]["finalizers"] == [FINALIZER], "it waits for the leader's handler"
    assert op.counted["deleted"] == 0
    op.lead()
    wait_for(lambda: [item["metadata"]["name"] for item in cluster.objects()] == ["b"], "the deletion")
    assert op.counted["deleted"] == 1
    wait_for(lambda: op.counted["created"] == 2, "the other object to be handled")
    op.stop()
    assert op.failure is None
    assert len(timers) == 2
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_what_a_marked_handler_writes_is_dropped_with_one_warning(operator, cluster, caplog):
    """A patch or a result of a marked handler changes nothing, does not stop the handler, and is warned of once."""
    body = cluster.create("a", i=1)
    op = operator()

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def innocent(**_):
        op.count("innocent")

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(patch, **_):
        patch.status["event"] = True
        op.count("event")

    @kopf.timer(PLURAL, interval=0.02, **op.on)
    @every_replica
    async def timer(patch, **_):
        patch.spec["timer"] = True
        if hasattr(patch, "fns"):
            patch.fns.append(lambda body: body["spec"].update(function=True))
        op.count("timer")

    @kopf.timer(PLURAL, interval=0.02, **op.on)
    @every_replica
    def returns(**_):
        op.count("returns")
        return {"a": 1}

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(patch, retry, **_):
        patch.metadata.labels["daemon"] = "yes"
        op.count("daemon")
        if retry < 3:
            raise kopf.TemporaryError("again", delay=0.01)

    op.start()
    wait_for(lambda: op.counted["timer"] > 20 and op.counted["returns"] > 20, "the timers to go on")
    wait_for(lambda: op.counted["daemon"] == 4 and op.counted["event"] == 1 == op.counted["innocent"], "the rest")
    op.lead()
    op.counted["timer"] = op.counted["returns"] = 0
    wait_for(lambda: op.counted["timer"] > 20 and op.counted["returns"] > 20, "the timers to go on")
    assert cluster.get("a") == body
    cluster.edit("a", i=2)
    wait_for(lambda: op.counted["event"] == 2, "another event")
    op.stop()
    assert op.failure is None
    assert set(cluster.get("a")) == set(body)
    assert cluster.get("a")["spec"] == {"i": 2}
    warned = [record.getMessage() for record in caplog.records if "is dropped" in record.getMessage()]
    assert sorted(line.split("'")[1].split(".")[-1] for line in warned) == ["daemon", "event", "returns", "timer"]


@pytest.mark.parametrize("leads", [False, True], ids=["standby", "leader"])
def test_retries_are_kopfs(operator, cluster, leads):
    """A marked handler that fails for now is tried again after its delay; one that fails for good is not."""
    cluster.create("a")
    op = operator()

    @kopf.timer(PLURAL, interval=1000, **op.on)
    @every_replica
    async def temporarily(retry, **_):
        op.count(("temporarily", retry))
        if retry < 3:
            raise kopf.TemporaryError("not yet", delay=0.01)
        op.count("succeeded")

    @kopf.daemon(PLURAL, backoff=0.01, retries=2, **op.on)
    @every_replica
    def always(**_):
        op.count("always")
        raise ValueError("always")

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    def event(**_):
        op.count("event")
        raise kopf.PermanentError("no")

    op.start()
    if leads:
        op.lead()
    wait_for(lambda: op.counted["succeeded"] and op.counted["always"] == 2 and op.counted["event"], "all to be tried")
    cluster.edit("a", i=2)
    wait_for(lambda: op.counted["event"] == 2, "the next event")
    op.stop()
    assert op.failure is None
    assert op.counted["temporarily", 0] == op.counted["temporarily", 3] == op.counted["succeeded"] == 1
    assert op.counted["always"] == 2, "it has failed for good"


def test_there_is_no_term_in_a_marked_handler(operator, cluster):
    """`current_term()` raises in a marked handler, its threads and tasks, on the leader too: it runs everywhere."""
    cluster.create("a")
    op = operator()
    said = []

    def ask():
        with pytest.raises(NotLeader) as caught:
            current_term()
        said.append(str(caught.value))

    async def ask_in_task():
        ask()

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(**_):
        ask()
        await asyncio.to_thread(ask)
        await asyncio.create_task(ask_in_task())

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    def daemon(**_):
        ask()

    @kopf.on.create(PLURAL, **op.on)
    async def created(**_):
        op.count(current_term().token)

    op.start()
    wait_for(lambda: len(said) >= 4, "all to ask")
    op.lead()
    wait_for(lambda: op.counted[1], "the leader's handler")
    cluster.create("b")
    wait_for(lambda: len(said) >= 8 and op.counted[1] == 2, "all to ask again")
    op.stop()
    assert set(said) == {said[0]}
    assert "marked with every_replica" in said[0]


def test_a_filter_that_fails_is_throttled_as_in_kopf(operator, cluster):
    """An error in a marked handler's filter holds back this object for a while, as in kopf, and nothing else."""
    cluster.create("a")
    cluster.create("b")
    op = operator()

    def when(name, **_):
        if name == "a" and not op.counted["mended"]:
            op.count("failed")
            raise ValueError(name)
        return True

    @kopf.on.event(PLURAL, when=when, **op.on)
    @every_replica
    async def event(name, **_):
        op.count(name)

    @kopf.on.create(PLURAL, **op.on)
    async def created(name, **_):
        op.count(("created", name))

    op.start()
    op.lead()
    wait_for(lambda: op.counted["failed"] and op.counted["b"] and op.counted["created", "b"], "the other object")
    op.count("mended")
    cluster.edit("a", i=1)
    wait_for(lambda: op.counted["created", "a"], "the leader's handler")

    def seen():
        cluster.edit("a", i=op.counted["edits"])
        op.count("edits")
        time.sleep(0.2)
        return op.counted["a"]

    wait_for(seen, "the throttling to be over")
    op.stop()
    assert op.failure is None


@cold_only
def test_without_an_election_marks_change_little(operator, cluster):
    """L19: with `enabled=False` both lanes run in the one process, through the same code."""
    cluster.create("a")
    op = operator()
    lead_for_ever(op)

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(meta, **_):
        op.count(("event", meta["resourceVersion"]))

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(stopped, **_):
        op.count("daemon")
        await stopped.wait()
        op.count("daemon over")

    @kopf.on.create(PLURAL, **op.on)
    async def created(patch, **_):
        patch.status["created"] = True

    op.start()
    wait_for(lambda: op.counted["daemon"] and cluster.get("a").get("status"), "both lanes")
    version = cluster.edit("a", i=1)["metadata"]["resourceVersion"]
    wait_for(lambda: op.counted["event", version], "the edit to be seen")
    op.stop()
    assert op.failure is None
    assert op.counted["daemon"] == op.counted["daemon over"] == 1
    assert set(op.counted.values()) == {1}


@cold_only
def test_without_an_election_kopf_s_own_pause_counts(operator, cluster):
    """L19: with `enabled=False`, an operator that pauses for a peer starts no handler, and goes on afterwards."""
    op = operator()
    lead_for_ever(op)

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(name, event, **_):
        op.count(("event", name, event["type"]))

    @kopf.daemon(PLURAL, **op.on)
    @every_replica
    async def daemon(name, stopped, **_):
        op.count(("daemon", name))
        await stopped.wait()
        op.count(("over", name))

    @kopf.on.create(PLURAL, **op.on)
    async def created(name, **_):
        op.count(("created", name))

    def on_loop(coro):
        return asyncio.run_coroutine_threadsafe(coro, op.loop).result(60)

    cluster.create("a")
    op.start()
    wait_for(lambda: op.counted["created", "a"] and op.counted["daemon", "a"], "the handlers")
    wait_for(lambda: "finalizers" not in cluster.get("a")["metadata"], "the object to be free")
    peer = on_loop(op.conductor.parts.paused.make_toggle(True, name="a peer"))
    wait_for(lambda: not op.conductor.intake._waiting, "the streams to be closed")
    cluster.create("b")
    cluster.delete("a")
    on_loop(asyncio.sleep(1))
    assert not op.counted["created", "b"]
    on_loop(peer.turn_to(False))
    wait_for(lambda: op.counted["created", "b"] and op.counted["daemon", "b"], "the handlers")
    wait_for(lambda: op.counted["over", "a"], "the daemon of what was deleted meanwhile")
    op.stop()
    assert op.failure is None
