"""The ground of the benchmarks, short, on the shared control plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.ground import Ground
from tests.controlplane.fixtures import control_plane, shared_control_plane
from tests.controlplane.server import RealControlPlane

__all__ = ["control_plane", "shared_control_plane"]


@pytest.fixture(scope="module")
def ground(shared_control_plane: RealControlPlane) -> Iterator[Ground]:
    """Client-go is left out."""
    shared_control_plane.revive()
    ground = Ground(shared_control_plane, None, full=False)
    yield ground
    ground.close()
