"""The mark alone: who may have it, who is refused, what is split. No operator, no server."""

import functools
import logging
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import kopf
import pytest

import kopf_leader
from kopf_leader import SettingsError
from kopf_leader.gate import seam_lane
from kopf_leader.gate.every import is_marked
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.lanes import Lanes

WIDGETS = SimpleNamespace(group="g", version="v1", plural="widgets")


@pytest.fixture
def registry():
    return kopf.OperatorRegistry()


def lanes_of(registry):
    return Lanes(parts=parts_of(registry), drain_timeout=1.0)


def parts_of(registry):
    return SimpleNamespace(
        registry=registry,
        settings=kopf.OperatorSettings(),
        processor=functools.partial(print, operator_paused=True),
    )


def ids(registry):
    kinds = ("activities", "indexing", "watching", "spawning", "changing", "webhooks")
    return {handler.id for kind in kinds for handler in seam_lane.handlers(registry, kind)}


def test_the_mark_leaves_the_function_as_it_is():
    """The mark is an attribute; above or below kopf's decorators and through wrappers alike."""

    class Object:
        def method(self):
            pass

        def __call__(self):
            pass

    def function():
        pass

    @functools.wraps(function)
    def wrapped_before():
        pass

    assert kopf_leader.every_replica(function) is function

    @functools.wraps(function)
    def wrapped_after():
        pass

    marked = [
        function,
        wrapped_after,
        functools.partial(function),
        kopf_leader.every_replica(functools.partial(print)),
        kopf_leader.every_replica(Object().method),
        kopf_leader.every_replica(Object()),
    ]
    assert [is_marked(one) for one in marked] == [True] * len(marked)
    assert not any(map(is_marked, [print, functools.partial(print), wrapped_before, Object(), Mock(), None]))


@pytest.mark.parametrize("wrong", [None, "widgets", 3])
def test_what_is_no_function_cannot_be_marked(wrong):
    """The decorator has no parentheses and no arguments, and says so."""
    with pytest.raises(TypeError, match="without parentheses"):
        kopf_leader.every_replica(wrong)


def test_the_mark_needs_no_kopf():
    """A module that only marks handlers does not pay for importing kopf."""
    code = (
        "import sys; sys.modules['kopf'] = None\n"
        "import kopf_leader\n"
        "@kopf_leader.every_replica\n"
        "def handler(**_): pass\n"
        "print('marked')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "marked\n", done.stderr


@pytest.mark.parametrize(
    "decorator",
    [
        kopf.on.create,
        kopf.on.update,
        kopf.on.delete,
        kopf.on.resume,
        functools.partial(kopf.on.field, field="spec.x"),
    ],
    ids=["create", "update", "delete", "resume", "field"],
)
def test_handlers_of_changes_are_refused(registry, decorator):
    """A marked handler whose progress is stored on the object is refused: one sentence with its name and the reason."""

    @decorator("widgets", registry=registry)
    @kopf_leader.every_replica
    def changing(**_):
        pass

    with pytest.raises(SettingsError) as caught:
        lanes_of(registry)
    [sentence] = caught.value.sentences
    assert "Handler" in sentence
    assert "changing" in sentence
    assert "keep their progress on the object" in sentence


def test_every_refused_handler_is_named_once(registry):
    """Several refused handlers are told at once; one that is registered twice is told once."""

    @kopf.on.resume("widgets", registry=registry)
    @kopf.on.create("widgets", registry=registry)
    @kopf_leader.every_replica
    def one(**_):
        pass

    @kopf.on.event("widgets", registry=registry)
    @kopf.on.update("widgets", registry=registry)
    @kopf_leader.every_replica
    def other(**_):
        pass

    with pytest.raises(SettingsError) as caught:
        lanes_of(registry)
    assert len(caught.value.sentences) == 2


async def test_the_operator_is_refused_before_it_is_made(registry):
    """The refusal comes before any start-up handler has run, and before there is an election."""
    kopf.on.create("widgets", registry=registry)(kopf_leader.every_replica(lambda **_: None))
    gate = Gate(make_election=Mock(side_effect=AssertionError), rules=Mock())
    with pytest.raises(SettingsError, match="every_replica"):
        gate.orchestrate(parts_of(registry), Mock())
    assert not gate.used


def test_where_the_mark_is_needless_it_is_said(registry, caplog):
    """Start-up, webhooks, probes, indices run on every replica anyway: a mark there changes nothing, and is told so."""
    caplog.set_level(logging.INFO, "kopf_leader")

    def handler(**_):
        pass

    kopf_leader.every_replica(handler)
    kopf.on.startup(id="started", registry=registry)(handler)
    kopf.on.probe(id="probed", registry=registry)(handler)
    kopf.on.validate("widgets", id="validated", registry=registry)(handler)
    kopf.index("widgets", id="indexed", registry=registry)(handler)
    lanes = lanes_of(registry)
    assert lanes.leader_registry(WIDGETS) is registry
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4
    assert all("anyway" in line for line in said)
    assert all(any(name in line for line in said) for name in ("started", "probed", "validated", "indexed"))


def test_without_a_mark_there_is_one_lane(registry):
    """Where nothing is marked, the leader has the operator's own registry, and no resource needs anything."""
    kopf.on.event("widgets", registry=registry)(lambda **_: None)
    lanes = lanes_of(registry)
    assert lanes.leader_registry(WIDGETS) is registry
    assert not lanes.needed(WIDGETS)


def test_the_registry_is_split_in_two(registry):
    """The leader's lane has every handler but the marked ones; the other lane has them alone, without a finalizer."""

    def plain(**_):
        pass

    @kopf_leader.every_replica
    def marked(**_):
        pass

    for name, function in (("plain", plain), ("marked", marked)):
        kopf.on.event("widgets", id=f"{name}-event", registry=registry)(function)
        kopf.timer("widgets", id=f"{name}-timer", interval=1, registry=registry)(function)
        kopf.daemon("widgets", id=f"{name}-daemon", cancellation_timeout=5, registry=registry)(function)
    kopf.on.create("widgets", id="create", registry=registry)(plain)
    kopf.on.delete("gadgets", id="delete", registry=registry)(plain)
    kopf.on.startup(id="startup", registry=registry)(plain)
    kopf.index("widgets", id="index", registry=registry)(plain)
    kopf.on.mutate("widgets", id="mutate", registry=registry)(plain)
    before = ids(registry)
    lanes = lanes_of(registry)
    marked_ids = {"marked-event", "marked-timer", "marked-daemon"}
    assert ids(lanes._leaders) == before - marked_ids
    assert ids(lanes._leaders_unindexed) == before - marked_ids - {"index"}
    assert ids(lanes._all) == marked_ids
    assert ids(lanes._events) == {"marked-event"}
    assert ids(registry) == before
    for handler in seam_lane.handlers(lanes._all, "spawning"):
        assert not handler.requires_finalizer
    assert all(h.requires_finalizer for h in seam_lane.handlers(registry, "spawning"))
