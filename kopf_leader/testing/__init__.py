"""Tools for tests of operators and elections; they import no pytest and no kopf."""

from kopf_leader.testing.apiserver import EmbeddedAPIServer, Rule

__all__ = ["EmbeddedAPIServer", "Rule"]
