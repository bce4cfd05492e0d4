"""Tools for tests of operators and elections; they import no pytest and no kopf.

The modules can be imported one by one: `kopf_leader.testing.facts`, which handlers may use to write down what they do,
costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kopf_leader.testing.apiserver import EmbeddedAPIServer, Rule

__all__ = ["EmbeddedAPIServer", "Rule"]


def __getattr__(name: str) -> Any:
    """Import the API server, and what it needs, only when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kopf_leader.testing import apiserver  # noqa: PLC0415 (see above)

    return getattr(apiserver, name)
