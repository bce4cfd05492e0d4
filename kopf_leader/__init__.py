"""Leader election for kopf operators: several replicas, one at work."""

from kopf_leader.errors import LeaseAPIError, NotLeader, SettingsError
from kopf_leader.gate.enable import elect, enable
from kopf_leader.gate.every import every_replica
from kopf_leader.gate.fence import current_term
from kopf_leader.protocol.term import Term

__version__ = "0.1.0"

__all__ = [
    "LeaseAPIError",
    "NotLeader",
    "SettingsError",
    "Term",
    "__version__",
    "current_term",
    "elect",
    "enable",
    "every_replica",
]
