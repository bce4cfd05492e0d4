"""A Kubernetes API server in this process, held to the real one by the contract suite in ``tests/contract``."""

from kopf_leader.testing.apiserver.auth import Rule
from kopf_leader.testing.apiserver.server import EmbeddedAPIServer
from kopf_leader.testing.apiserver.targets import Target, target_of

__all__ = ["EmbeddedAPIServer", "Rule", "Target", "target_of"]
