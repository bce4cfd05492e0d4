"""Where a candidate stands, as values: what `Elector.standings()` brings, each the newest, in the order

    Standby … → Leading → Stopping → Standby …

A `Leading` that was brought is always followed by its `Stopping`, and coming back from that for the next standing says
that nothing of the term runs any more: only then is the Lease released (L12).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from kopf_leader.protocol.term import Term

Event = TypeVar("Event")
"""`asyncio.Event` or `threading.Event`, as the elector is."""


@dataclass(frozen=True, kw_only=True)
class Standby:
    """Somebody else's turn, or nobody's yet."""

    holder: str
    """Who holds the Lease; '' where nobody does."""


@dataclass(frozen=True, kw_only=True)
class Leading(Generic[Event]):
    """The lead is this process's: work may be done while the term lasts."""

    term: Term
    ended: Event = field(compare=False)
    """Set when the term has to end: finish, and come back for the next standing. The Lease is renewed meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """The term has to end: stop what was begun in it, and come back for the next standing."""

    term: Term
    reason: str
    """Why, in words."""
    exit_at: Callable[[], float] = field(repr=False, compare=False)

    def remaining(self) -> float:
        """The seconds that are left until this process is ended, if it does not come back before (L12)."""
        return max(0.0, self.exit_at() - self.term.clock())


Standing: TypeAlias = Leading[Event] | Stopping | Standby
