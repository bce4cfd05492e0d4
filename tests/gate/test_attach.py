"""Taking hold of kopf, or refusing to."""

import asyncio
import math

import kopf
import pytest
from kopf._core.actions import execution
from kopf._core.reactor import orchestration, running

from kopf_leader.errors import SettingsError, UnsupportedKopf
from kopf_leader.gate import seam, seam_peering
from kopf_leader.gate.attach import attach, detach
from kopf_leader.gate.rules import Rules
from kopf_leader.gate.seam_parts import Parts


def attach_anything():
    return attach(make_election=lambda *_: None, rules=Rules(drain_timeout=1, stuck_timeout=math.inf))


@pytest.fixture(autouse=True)
def detached():
    yield
    detach()


def test_this_kopf_is_supported():
    """The check at start passes on the installed kopf."""
    seam.check()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(orchestration, "orchestrator"), (running, "run_tasks"), (execution, "invoke_handler")],
)
def test_a_kopf_without_the_seam_is_refused(monkeypatch, owner, name):
    """A kopf that lacks a place that the gate needs is refused in one sentence, before anything is replaced."""
    monkeypatch.delattr(owner, name)
    with pytest.raises(UnsupportedKopf, match=rf"kopf {seam.version()} does not have .*{name}.*: install"):
        attach_anything()


def test_a_kopf_with_another_signature_is_refused(monkeypatch):
    """So is one whose function does not take the keywords that we pass."""

    async def orchestrator(*, processor, settings):
        pass

    monkeypatch.setattr(orchestration, "orchestrator", orchestrator)
    with pytest.raises(UnsupportedKopf, match="the keywords operator_paused of"):
        attach_anything()
    assert orchestration.orchestrator is orchestrator


def test_detaching_leaves_kopf_as_it_was():
    """`detach()` puts back what was replaced, the public alias included."""
    before = (orchestration.orchestrator, running.run_tasks, kopf.run_tasks, execution.invoke_handler)
    attach_anything()
    assert kopf.run_tasks is running.run_tasks
    assert kopf.run_tasks is not before[2]
    detach()
    assert (orchestration.orchestrator, running.run_tasks, kopf.run_tasks, execution.invoke_handler) == before


def test_attaching_again_replaces_until_an_operator_has_started():
    """Settings may be said in several places before the operator starts; afterwards it is too late."""
    attach_anything()
    gate = attach_anything()
    gate._conductor = object()
    with pytest.raises(SettingsError, match="started already"):
        attach_anything()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, False),
        ({"mandatory": True}, True),
        ({"name": "mine"}, True),
        ({"name": "mine", "standalone": True}, False),
        ({"mandatory": True, "standalone": True}, False),
    ],
)
def test_what_counts_as_asking_for_peering(settings, wanted):
    """Peering is wanted when it is mandatory or named, and not when the operator is standalone."""
    operator_settings = kopf.OperatorSettings()
    for name, value in settings.items():
        setattr(operator_settings.peering, name, value)
    assert seam_peering.peering_wanted(operator_settings) is wanted


def test_the_second_of_two_operators_that_start_at_once_is_refused():
    """One operator of a process has the gate, also where another one is made before the first one runs."""
    gate = attach_anything()
    parts = Parts(
        **dict.fromkeys(["processor", "paused", "memories", "indexers", "memobase"], None),
        registry=kopf.OperatorRegistry(),
        settings=kopf.OperatorSettings(),
    )

    async def make():
        gate.orchestrate(parts, None).close()
        await asyncio.sleep(0)  # as kopf does before it runs what it has made

    async def at_once():
        return await asyncio.gather(make(), make(), return_exceptions=True)

    first, second = asyncio.run(at_once())
    assert first is None
    assert isinstance(second, SettingsError)
    assert "A second operator is started in this process" in str(second)
    asyncio.run(make())  # whoever made that one has given up
