"""The same control plane as end to end."""

from tests.controlplane.fixtures import control_plane, shared_control_plane

__all__ = ["control_plane", "shared_control_plane"]
