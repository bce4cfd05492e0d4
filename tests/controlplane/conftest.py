"""The ring that checks the control plane itself."""

from tests.controlplane.fixtures import control_plane, shared_control_plane

__all__ = ["control_plane", "shared_control_plane"]
