"""The control plane as a pytest fixture, for conftests to import: one per test process, however many import it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.controlplane.binaries import HOW_TO_GET, Binaries, locate
from tests.controlplane.server import RealControlPlane

# pytest makes one instance of a session fixture per conftest that imports it; they share this one server.
_shared: list[RealControlPlane] = []
_users: list[object] = []


def binaries_or_skip() -> Binaries:
    """The programs. Skips without them; KOPF_LEADER_REQUIRE_REAL=1 makes that fail."""
    binaries = locate()
    if binaries is None:
        if os.environ.get("KOPF_LEADER_REQUIRE_REAL") == "1":
            pytest.fail(f"KOPF_LEADER_REQUIRE_REAL is set and there is {HOW_TO_GET}", pytrace=False)
        pytest.skip(HOW_TO_GET)
    return binaries


@pytest.fixture(scope="session")
def shared_control_plane() -> Iterator[RealControlPlane]:
    """Started on first use, ended with the last."""
    binaries = binaries_or_skip()
    if not _shared:
        _shared.append(RealControlPlane(binaries).start())
    mine = object()
    _users.append(mine)
    yield _shared[0]
    _users.remove(mine)
    if not _users:
        _shared.pop().stop()


@pytest.fixture
def control_plane(shared_control_plane: RealControlPlane) -> Iterator[RealControlPlane]:
    """The shared server, both parts running and ready, whatever the test before this one did to it."""
    shared_control_plane.revive()
    yield shared_control_plane
    shared_control_plane.revive()
