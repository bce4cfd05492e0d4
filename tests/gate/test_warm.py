"""The warm standby: it sees everything and does nothing, and takes over without a listing."""

import asyncio
import functools
import itertools

import kopf
import pytest
from kopf._cogs.clients import watching

from kopf_leader.gate import barrier
from tests.gate.conftest import warm_only
from tests.gate.operators import GROUP, PLURAL, VERSION, wait_for
from tests.gate.streams import FINALIZER, Streams, block, handled, release, say_handled

pytestmark = warm_only


@pytest.fixture
def streams(monkeypatch):
    return Streams(monkeypatch, PLURAL)


def workers(op):
    return [task for task in asyncio.all_tasks(op.loop) if task.get_name().startswith(f"worker for ({PLURAL}.")]


def index(op):
    return sorted(op.conductor.parts.indexers.indices["names"])


def with_index(op):
    @kopf.index(PLURAL, id="names", **op.on)
    async def names(name, spec, **_):
        return {(name, spec.get("i")): True}


def with_handlers(op):
    @kopf.on.create(PLURAL, **op.on)
    def created(name, **_):
        op.count(("created", name))

    @kopf.on.update(PLURAL, **op.on)
    def updated(name, **_):
        op.count(("updated", name))

    @kopf.on.delete(PLURAL, **op.on)
    def deleted(name, **_):
        op.count(("deleted", name))


def test_a_standby_sees_everything_and_does_nothing(operator, cluster, streams):
    """A standby's indices follow the cluster; no handler runs, nothing is written, and no worker is made."""
    op = operator()
    with_handlers(op)
    with_index(op)

    @kopf.on.event(PLURAL, **op.on)
    def event(**_):
        op.count("event")

    for name in "abc":
        cluster.create(name, i=1)
    block(cluster, "c")
    cluster.delete("c")
    op.start()
    wait_for(lambda: index(op) == [("a", 1), ("b", 1), ("c", 1)], "the index to be filled")
    cluster.create("d", i=1)
    cluster.edit("a", i=2)
    cluster.delete("b")
    wait_for(lambda: index(op) == [("a", 2), ("c", 1), ("d", 1)], "the index to follow")
    wait_for(lambda: op.holds("a", "c", "d"), "the streams to have come so far")
    assert op.paused()
    assert not op.counted
    assert not workers(op)
    assert len(op.conductor.parts.memories._items) == 3
    assert all(FINALIZER in o["metadata"].get("finalizers", [FINALIZER]) for o in cluster.objects())
    op.lead()
    wait_for(
        lambda: op.counted["created", "a"] and op.counted["created", "d"] and op.counted["deleted", "c"], "the handlers"
    )
    op.stop()
    assert op.failure is None
    assert streams.listed == 1, "one listing, long before the promotion"
    assert all(count == 1 for what, count in op.counted.items() if what != "event")


def test_without_an_index_nothing_but_bytes_is_kept(operator, cluster):
    """Of a resource without an index, a standby keeps no worker, no memory, no task for an object."""
    op = operator()
    with_handlers(op)
    for number in range(5):
        cluster.create(f"o{number}")
    op.start()
    wait_for(lambda: op.holds(*(f"o{number}" for number in range(5))), "the stream")
    assert not workers(op)
    assert not op.conductor.parts.memories._items
    op.lead()
    wait_for(lambda: sum(op.counted.values()) == 5, "the handlers")
    op.stop()


@pytest.mark.parametrize("with_barrier", [True, False])
def test_the_barrier_keeps_what_was_handled_from_being_handled_again(
    operator, cluster, streams, monkeypatch, with_barrier
):
    """What the former leader has handled, and the stream has not shown yet, is not handled again; what is new, is."""
    if not with_barrier:

        async def no_check(*_):
            pass

        monkeypatch.setattr(barrier.Barrier, "check", no_check)
    op = operator()
    with_handlers(op)
    op.start()
    for number in range(20):  # more than are asked for one by one
        for name in (f"done{number}", f"new{number}"):
            cluster.create(name, i=1)
            block(cluster, name)
    for number in range(5):
        name = f"gone{number}"
        cluster.create(name, i=1)
        cluster.mark(name, annotations=handled(i=1), finalizers=[FINALIZER])
        cluster.delete(name)
    names = {o["metadata"]["name"] for o in cluster.objects()}
    wait_for(lambda: op.holds(*names), "the stream to have brought all")
    streams.lag()
    for number in range(20):
        say_handled(cluster, f"done{number}")
    for number in range(5):
        release(cluster, f"gone{number}")
    op.lead()
    if with_barrier:
        wait_for(lambda: op.gate.counters.stale >= 25, "the old bodies to be refused")
        assert not [what for what in op.counted if "done" in what[1] or "gone" in what[1]]
    else:
        wait_for(lambda: sum(op.counted["deleted", f"gone{number}"] for number in range(5)) == 5, "deletions")
        wait_for(lambda: sum(op.counted["created", f"done{number}"] for number in range(20)) == 20, "creations")
    streams.go_on()
    cluster.create("last", i=1)
    wait_for(lambda: op.counted["created", "last"], "the newest one")
    wait_for(lambda: all(op.counted["created", f"new{number}"] for number in range(20)), "the new ones")
    wait_for(lambda: not [name for name in op.held() if name.startswith("gone")], "the deletions")
    op.stop()
    assert op.failure is None
    if with_barrier:
        assert op.counted == {("created", "last"): 1} | {("created", f"new{number}"): 1 for number in range(20)}


def test_nothing_starts_for_what_is_gone(operator, cluster, streams):
    """Handlers of resuming and of events, daemons and timers do not start on an object that is deleted already."""
    op = operator()
    for name in ("gone", "alive"):
        cluster.create(name, i=1)
        cluster.mark(name, annotations=handled(i=1))

    @kopf.on.resume(PLURAL, **op.on)
    @kopf.on.event(PLURAL, **op.on)
    @kopf.daemon(PLURAL, **op.on)
    @kopf.timer(PLURAL, interval=1, **op.on)
    async def anything(name, **_):
        op.count(name)

    op.start()
    wait_for(lambda: op.holds("gone", "alive"), "the stream")
    streams.lag()
    cluster.delete("gone")
    op.lead()
    wait_for(lambda: op.counted["alive"], "the other one")
    wait_for(lambda: op.gate.counters.stale, "the old body to be refused")
    streams.go_on()
    wait_for(lambda: op.holds("alive"), "the deletion")
    assert not op.counted["gone"]
    op.stop()
    assert op.failure is None


def test_a_resume_handler_sees_the_newest_state(operator, cluster, streams):
    """A resume handler is not run with what was the state before the former leader's last change, and runs once."""
    op = operator()
    cluster.create("a", i=1)
    cluster.mark("a", annotations=handled(i=1))

    @kopf.on.resume(PLURAL, **op.on)
    async def resumed(spec, **_):
        op.count(spec["i"])

    op.start()
    wait_for(lambda: op.holds("a"), "the stream")
    streams.lag()
    cluster.api.patch(f"{cluster.path}/a", {"metadata": {"annotations": handled(i=2)}, "spec": {"i": 2}})
    op.lead()
    wait_for(lambda: op.gate.counters.stale, "the old body to be refused")
    streams.go_on()
    wait_for(lambda: op.counted[2], "the newest state to be resumed")
    op.stop()
    assert op.counted == {2: 1}


def test_a_listing_anew_while_standing_by(operator, cluster, streams):
    """410 on a standby: what was created, changed and deleted meanwhile is found by the new listing."""
    op = operator()
    with_handlers(op)
    with_index(op)
    for name in ("stays", "changes", "goes", "leaves"):
        cluster.create(name, i=1)
        cluster.mark(name, annotations=handled(i=1), finalizers=[FINALIZER])
    op.start()
    wait_for(lambda: op.holds("stays", "changes", "goes", "leaves") and len(index(op)) == 4, "the stream")
    streams.lag()
    cluster.edit("changes", i=2)
    cluster.create("comes", i=1)
    cluster.delete("goes")
    release(cluster, "goes")
    cluster.delete("leaves")
    streams.break_off()
    expected = [("changes", 2), ("comes", 1), ("leaves", 1), ("stays", 1)]
    wait_for(lambda: index(op) == expected, "the index to follow")
    wait_for(lambda: op.holds("stays", "changes", "comes", "leaves"), "the new listing")
    assert len(op.conductor.parts.memories._items) == 4
    assert not op.counted
    op.lead()
    wait_for(lambda: len(op.counted) == 3, "the handlers")
    wait_for(lambda: len(cluster.objects()) == 3, "the deleted one to be gone")
    op.stop()
    assert op.failure is None
    assert op.counted == {("updated", "changes"): 1, ("created", "comes"): 1, ("deleted", "leaves"): 1}


def test_a_standby_that_was_cut_off_is_promoted(operator, cluster, streams):
    """Promoted while its watch is broken: nothing old is handled, and what it has missed is, when it lists anew."""
    op = operator()
    with_handlers(op)
    for name in ("pending", "done", "gone", "leaves"):
        cluster.create(name, i=1)
        block(cluster, name)
    for name in ("gone", "leaves"):
        say_handled(cluster, name)
    cluster.delete("gone")
    op.start()
    wait_for(lambda: op.holds("pending", "done", "gone", "leaves"), "the stream")
    streams.lag()
    say_handled(cluster, "done")
    release(cluster, "gone")
    cluster.delete("leaves")
    cluster.create("comes", i=1)
    op.lead()
    wait_for(lambda: op.gate.counters.stale >= 2, "the old bodies to be refused")
    assert not {what for what in op.counted if what[1] != "pending"}
    streams.break_off()
    wait_for(lambda: len(op.counted) == 3, "the handlers")
    wait_for(lambda: len(cluster.objects()) == 3, "the deleted one to be gone")
    op.stop()
    assert op.failure is None
    assert op.counted == {("created", "pending"): 1, ("created", "comes"): 1, ("deleted", "leaves"): 1}


def test_a_leader_is_told_of_what_it_has_missed(operator, cluster, streams):
    """An object that a leader's new listing does not contain is deleted for kopf, too: its daemon ends."""
    op = operator()
    cluster.create("a")
    cluster.create("b")

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(name, stopped, **_):
        op.count(("begun", name))
        await stopped.wait()
        op.count(("ended", name))

    @kopf.on.event(PLURAL, **op.on)
    def event(name, event, **_):
        op.count((event["type"], name))

    op.start()
    op.lead()
    wait_for(lambda: op.counted["begun", "a"] and op.counted["begun", "b"], "the daemons")
    wait_for(lambda: op.holds("a", "b"), "the stream")
    streams.lag()
    cluster.delete("a")
    release(cluster, "a")
    streams.break_off()
    wait_for(lambda: op.counted["ended", "a"], "its daemon to end")
    wait_for(lambda: len(op.conductor.parts.memories._items) == 1, "it to be forgotten")
    assert op.counted["DELETED", "a"] == 1
    assert not op.counted["ended", "b"]
    op.stop()
    assert op.failure is None
    assert op.counted["begun", "a"] == op.counted["begun", "b"] == 1


def test_a_deaf_watch_is_found_out(operator, cluster, streams, monkeypatch):
    """If the API server knows of a change that does not come, the watch is deaf: the stream is begun anew."""
    monkeypatch.setattr(barrier, "GRACE", 0.1)
    op = operator()
    with_handlers(op)
    cluster.create("a", i=1)
    cluster.mark("a", annotations=handled(i=1), finalizers=[FINALIZER])
    cluster.edit("a", i=2)
    op.start()
    wait_for(lambda: op.holds("a"), "the stream")
    streams.lag()
    streams.deaf = True
    cluster.edit("a", i=3)
    cluster.create("b")
    op.lead()
    wait_for(lambda: op.counted["updated", "a"] and op.counted["created", "b"], "the changes")
    op.stop()
    assert streams.listed == 2
    assert op.counted == {("updated", "a"): 1, ("created", "b"): 1}


def test_a_silent_stream_is_not_trusted(operator, cluster, streams, monkeypatch):
    """A stream that has shown no sign of life for long is begun anew at the promotion, and at its end."""
    op = operator()
    with_handlers(op)
    cluster.create("a")
    op.start()
    wait_for(lambda: op.holds("a"), "the stream")
    streams.lag()
    streams.deaf = True
    cluster.create("b")
    monkeypatch.setattr("kopf_leader.gate.hold.DEAF", -1.0)
    op.lead()
    wait_for(lambda: op.counted["created", "a"] and op.counted["created", "b"], "the creations")
    op.stop()
    assert streams.listed == 2
    assert op.counted == {("created", "a"): 1, ("created", "b"): 1}


def test_a_quiet_stream_is_looked_after(operator, cluster, streams, monkeypatch):
    """A stream that has not come as far as the promotion after minutes is begun anew: what it has missed is found."""
    monkeypatch.setattr(barrier, "DEAF", 0.5)
    op = operator()
    with_handlers(op)
    cluster.create("a")
    op.start()
    wait_for(lambda: op.holds("a"), "the stream")
    streams.lag()
    streams.deaf = True
    cluster.create("b")
    op.lead()
    wait_for(lambda: op.counted["created", "a"] and op.counted["created", "b"], "the creations")
    op.stop()
    assert op.counted == {("created", "a"): 1, ("created", "b"): 1}


def test_versions_that_are_no_numbers(operator, cluster, streams, monkeypatch):
    """Where versions cannot be compared, a standby's indices are filled all the same; each promotion lists anew."""
    op = operator()
    with_index(op)
    cluster.create("a", i=1)

    @kopf.on.event(PLURAL, **op.on)
    def event(name, spec, **_):
        op.count((name, spec["i"]))

    original = watching.continuous_watch

    @functools.wraps(original)
    async def renamed(**kwargs):
        async for item in original(**kwargs):
            if isinstance(item, dict) and kwargs["resource"].plural == PLURAL:
                item["object"]["metadata"]["resourceVersion"] = "v" + item["object"]["metadata"]["resourceVersion"]
            yield item

    monkeypatch.setattr(watching, "continuous_watch", renamed)  # within the gate's own
    op.start()
    for i in (2, 3):
        wait_for(lambda i=i: index(op) == [("a", i - 1)], "the index to be filled")
        cluster.edit("a", i=i)
        wait_for(lambda i=i: index(op) == [("a", i)], "the index to follow")
        assert not op.counted
        listed = streams.listed
        op.lead()
        wait_for(lambda i=i: op.counted == {("a", i): 1}, "the object to be seen")
        assert streams.listed == listed + 1
        op.election.stop()
        assert op.election.released.wait(60)
        op.counted.clear()
    op.stop()
    assert op.failure is None


def test_initial_events_instead_of_a_listing(operator, cluster, streams):
    """With `initial_streaming`, the server sends what there is; where that breaks off, what is missing is not gone."""
    op = operator()
    if not hasattr(op.settings.watching, "initial_streaming"):
        pytest.skip("this kopf always lists")
    op.settings.watching.initial_streaming = True
    with_index(op)
    with_handlers(op)
    for number in range(3):
        cluster.create(f"o{number}", i=1)
    streams.tear()
    op.start()
    expected = [(f"o{number}", 1) for number in range(3)]
    wait_for(lambda: index(op) == expected, "the index to be filled")
    wait_for(lambda: op.holds("o0", "o1", "o2"), "the streams")
    streams.lag()
    cluster.delete("o0")
    streams.tear()
    streams.break_off()
    wait_for(lambda: index(op) == expected[1:], "the index to follow")
    op.lead()
    wait_for(lambda: len(op.counted) == 2, "the handlers")
    op.stop()
    assert op.counted == {("created", "o1"): 1, ("created", "o2"): 1}


def test_several_namespaces(operator, cluster, admin, streams):
    """Each namespace has a stream of its own, each with its barrier."""
    other = type(cluster)(admin, f"{cluster.namespace}-2")
    admin.create("/api/v1/namespaces", {"metadata": {"name": other.namespace}})
    op = operator(namespaces=[cluster.namespace, other.namespace])

    @kopf.on.create(PLURAL, **op.on)
    def created(name, namespace, **_):
        op.count((namespace == other.namespace, name))

    for one in (cluster, other):
        one.create("done")
        one.create("new")
    op.start()
    wait_for(lambda: sum(len(hold._shelf) for hold in [*op.conductor.intake._holds]) == 4, "the streams")
    streams.lag()
    say_handled(cluster, "done")
    say_handled(other, "done")
    op.lead()
    wait_for(lambda: op.gate.counters.stale == 2, "the old bodies to be refused")
    streams.go_on()
    cluster.create("last")
    other.create("last")
    expected = {(second, name): 1 for second in (False, True) for name in ("new", "last")}
    wait_for(lambda: op.counted == expected, "the handlers")
    op.stop()
    assert op.counted == expected


def test_a_limit_of_workers(operator, cluster):
    """`worker_limit` holds up no index on a standby."""
    op = operator()
    queueing = op.settings.queueing if hasattr(op.settings, "queueing") else op.settings.batching
    queueing.worker_limit = 1
    queueing.idle_timeout = 0.1
    with_handlers(op)
    with_index(op)
    for number in range(30):
        cluster.create(f"o{number}")
    op.start()
    wait_for(lambda: len(index(op)) == 30, "the index")
    op.lead()
    wait_for(lambda: len(op.counted) == 30, "the handlers")
    op.stop()
    assert set(op.counted.values()) == {1}


def test_a_resource_that_comes_and_goes(operator, cluster, admin):
    """A resource whose definition is deleted on a standby and made again: nothing is left behind, nothing lost."""
    plural = f"gadgets{cluster.namespace[-8:]}"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": plural.title(), "plural": plural, "singular": plural[:-1]},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    },
                }
            ],
        },
    }
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{cluster.namespace}/{plural}"

    def create(name):
        def attempt():
            try:
                return admin.create(
                    path,
                    {"apiVersion": f"{GROUP}/{VERSION}", "kind": plural.title(), "metadata": {"name": name}},
                )
            except Exception:  # the definition is not established yet
                return None

        return wait_for(attempt, "the definition")

    op = operator()

    @kopf.index(plural, id="names", **op.on)
    async def names(name, **_):
        return {name: True}

    @kopf.on.create(plural, **op.on)
    def created(name, **_):
        op.count(name)

    op.start()
    for round_ in range(2):
        admin.create(crds, definition)
        create(f"o{round_}")
        touched = itertools.count()

        def indexed(round_=round_, touched=touched):
            # kopf overlooks a definition that comes between its scan of the API and its watch of definitions.
            if (number := next(touched)) % 300 == 299:
                admin.patch(f"{crds}/{plural}.{GROUP}", {"metadata": {"labels": {"touched": str(number)}}})
            return index(op) == [f"o{round_}"]

        wait_for(indexed, "the index")
        if round_ == 0:
            admin.delete(f"{crds}/{plural}.{GROUP}")
            wait_for(lambda: not op.conductor.intake._holds, "the stream to end")
            wait_for(lambda: index(op) == [], "the index to be empty")
    op.lead()
    wait_for(lambda: op.counted["o1"], "the handler")
    create("o2")
    wait_for(lambda: op.counted["o2"], "the handler")
    op.stop()
    admin.delete(f"{crds}/{plural}.{GROUP}")
    assert op.failure is None
    assert op.counted == {"o1": 1, "o2": 1}
