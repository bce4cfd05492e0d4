"""An operator whose pods have tokens of their own, on the real API server."""

from __future__ import annotations

import pytest

from tests.controlplane.fixtures import control_plane, shared_control_plane
from tests.controlplane.server import RealControlPlane
from tests.fencing.site import Site

__all__ = ["control_plane", "shared_control_plane"]


@pytest.fixture
def site(control_plane: RealControlPlane):
    """A namespace with a Lease, a service account and two pods, nothing fenced yet."""
    site = Site(control_plane)
    yield site
    site.clear()
