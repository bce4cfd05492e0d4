"""Real operator processes on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.fixtures import control_plane, shared_control_plane
from tests.controlplane.server import RealControlPlane
from tests.e2e.stage import Stage

__all__ = ["control_plane", "shared_control_plane"]


@pytest.fixture
def stage(control_plane: RealControlPlane, tmp_path: Path) -> Iterator[Stage]:
    """A namespace, a Lease's name and a set of replicas of this test's own."""
    with Stage(control_plane, tmp_path) as stage:
        yield stage
