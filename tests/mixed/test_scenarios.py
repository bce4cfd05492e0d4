"""Ours beside others: whatever befalls either, it is never ours that is at work without the Lease."""

from __future__ import annotations

import os

import pytest

from tests.controlplane.binaries import locate
from tests.mixed import programs
from tests.mixed.engine import Stages
from tests.mixed.scenarios import SCENARIOS, Scenario


def can_be_played(scenario: Scenario) -> bool:
    return all(programs.command(kind) is not None for kind in scenario.others)


def require(scenario: Scenario) -> None:
    """Skip what lacks a candidate; with KOPF_LEADER_REQUIRE_REAL fail, but not for Go where nothing else needs it."""
    missing = [kind for kind in scenario.others if programs.command(kind) is None]
    if not missing:
        return
    found = locate()
    without_go = found is not None and found.source.startswith("KUBEBUILDER_ASSETS")
    if os.environ.get("KOPF_LEADER_REQUIRE_REAL") == "1" and not (without_go and missing == ["client-go"]):
        pytest.fail(f"KOPF_LEADER_REQUIRE_REAL is set. {programs.missing(missing[0])}", pytrace=False)
    pytest.skip(programs.missing(missing[0]))


@pytest.fixture
def begun(request: pytest.FixtureRequest, stages: Stages, scenario: Scenario) -> Stages:
    """Begin this scenario and, unless the tests are shared out, all others that were asked for beside it."""
    asked = [item.callspec.params["scenario"] for item in request.session.items if item.path == request.path]
    alone = "PYTEST_XDIST_WORKER" in os.environ
    stages.begin([one for one in ([scenario] if alone else asked) if can_be_played(one)])
    return stages


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_ours_is_never_at_fault(request: pytest.FixtureRequest, scenario: Scenario) -> None:
    """Nobody is at work beside the holder, but for the others where they are known for it, and never ours."""
    require(scenario)
    outcome = request.getfixturevalue("begun").outcome(scenario)
    assert not outcome.broken(), outcome.report()
    print(outcome.report())
