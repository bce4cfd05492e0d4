"""Leader election for kopf operators: several replicas, one at work. And for what is no operator: `Elector`."""

import importlib
from typing import TYPE_CHECKING, Any

from kopf_leader import on
from kopf_leader.errors import ElectionDied, LeaseAPIError, NotLeader, SettingsError
from kopf_leader.gate.enable import elect, enable
from kopf_leader.gate.every import every_replica
from kopf_leader.gate.fence import current_term
from kopf_leader.protocol.term import Term

if TYPE_CHECKING:
    from kopf_leader.elector.blocking import BlockingElector
    from kopf_leader.elector.elector import Elector
    from kopf_leader.elector.standings import Leading, Standby, Stopping

__version__ = "0.1.0"

__all__ = [
    "BlockingElector",
    "ElectionDied",
    "Elector",
    "Leading",
    "LeaseAPIError",
    "NotLeader",
    "SettingsError",
    "Standby",
    "Stopping",
    "Term",
    "__version__",
    "current_term",
    "elect",
    "enable",
    "every_replica",
    "on",
]

_WITHOUT_KOPF = {
    "BlockingElector": "kopf_leader.elector.blocking",
    "Elector": "kopf_leader.elector.elector",
    "Leading": "kopf_leader.elector.standings",
    "Standby": "kopf_leader.elector.standings",
    "Stopping": "kopf_leader.elector.standings",
}


def __getattr__(name: str) -> Any:
    """Import what operators have no use for only when it is asked for."""
    if name not in _WITHOUT_KOPF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WITHOUT_KOPF[name]), name)
