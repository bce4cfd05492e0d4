"""An operator whose pods have tokens of their own, on the real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.fixtures import control_plane, shared_control_plane
from tests.controlplane.server import RealControlPlane
from tests.fencing.replicas import Operator
from tests.fencing.site import Site

__all__ = ["control_plane", "shared_control_plane"]


@pytest.fixture
def site(control_plane: RealControlPlane):
    """A namespace with a Lease, a service account and two pods, nothing fenced yet."""
    site = Site(control_plane)
    yield site
    site.clear()


@pytest.fixture
def operator(site: Site, tmp_path: Path) -> Iterator[Operator]:
    """The operator, not started yet."""
    operator = Operator(site, tmp_path)
    yield operator
    operator.replicas.close()
