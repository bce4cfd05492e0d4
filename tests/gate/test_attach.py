"""Taking hold of kopf, or refusing to."""

import math

import kopf
import pytest
from kopf._core.actions import execution
from kopf._core.reactor import orchestration, running

from kopf_leader.errors import SettingsError, UnsupportedKopf
from kopf_leader.gate import seam, seam_peering
from kopf_leader.gate.attach import attach, detach
from kopf_leader.gate.rules import Rules


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
