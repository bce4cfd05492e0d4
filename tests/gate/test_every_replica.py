"""Handlers of every replica: they run on a standby as on a leader, undisturbed, and change nothing."""

import asyncio
import threading
import time

import kopf
import pytest

from kopf_leader import NotLeader, current_term, every_replica
from kopf_leader.protocol.state import Reason
from tests.gate.conftest import cold_only
from tests.gate.operators import PLURAL, wait_for
from tests.gate.test_stopping import lead_for_ever

FINALIZER = kopf.OperatorSettings().persistence.finalizer


def lanes(op):
    return op.conductor.intake.lanes


def edit(cluster, name, **metadata):
    return cluster.api.patch(f"{cluster.path}/{name}", {"metadata": metadata})


def test_marked_handlers_run_on_a_standby_and_others_do_not(operator, cluster):
    """On a standby, marked handlers of events, timers and daemons run; no other does, and the object is not touched."""
    cluster.create("a")
    before = edit(cluster, "a", finalizers=[FINALIZER])
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


@pytest.mark.timeout(900)
def test_each_event_is_seen_once_through_fifty_terms(operator, cluster):
    """A marked handler of events sees each version of an object once, whatever is listed or replayed for the leader."""
    op = operator()
    versions = []

    @kopf.on.event(PLURAL, **op.on)
    @every_replica
    async def event(meta, **_):
        versions.append(meta["resourceVersion"])

    @kopf.on.create(PLURAL, **op.on)
    @kopf.on.update(PLURAL, **op.on)
    async def changed(spec, **_):
        op.count(("changed", spec["i"]))

    op.start()
    made = [cluster.create("a", i=0)]
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
        made.append(cluster.edit("a", i=i))
        wait_for(lambda: made[-1]["metadata"]["resourceVersion"] in versions, "the edit to be seen")
    thread.join(60)
    wait_for(lambda: op.gate.counters.closed == 50, "the last term to be closed")
    op.lead()
    wait_for(lambda: op.counted["changed", i], "the last edit to be handled by the leader")
    op.stop()
    assert op.failure is None
    assert len(versions) == len(set(versions)), "no version was seen twice"
    assert {body["metadata"]["resourceVersion"] for body in made} <= set(versions)


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


@pytest.mark.parametrize("blocked", [False, True], ids=["at once", "blocked by a finalizer"])
def test_a_deletion_ends_the_lanes_daemons(operator, cluster, blocked):
    """When an object goes, its marked daemons and timers end, and it is forgotten: also when nothing held it back."""
    cluster.create("a")
    cluster.create("b")
    if blocked:
        edit(cluster, "a", finalizers=["somebody/else"])
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
        edit(cluster, "a", finalizers=[])
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
    edit(cluster, "a", labels={"on": "yes"})
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
        edit(cluster, "a", labels={"on": "no"})
        wait_for(lambda term=term: op.counted["cancelled"] == term, "its end")
        wait_for(lambda: not lanes(op).running(), "nothing to be on its way out")
        edit(cluster, "a", labels={"on": "yes"})
    wait_for(lambda: op.counted["begun"] == 4, "the daemon")
    op.stop()
    assert op.failure is None
    assert op.counted["cancelled"] == 4


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


def test_a_resource_with_marked_handlers_only(operator, cluster):
    """Where all handlers are marked, a finalizer left over from earlier is the leader's to remove, as kopf does."""
    cluster.create("a")
    left_over = edit(cluster, "a", finalizers=[FINALIZER])
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
