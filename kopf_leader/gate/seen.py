"""What goes along with an event on its way from the stream to its handlers."""

from typing import TYPE_CHECKING, NamedTuple

from kopf_leader.gate.barrier import Barrier
from kopf_leader.gate.tenure import Tenure

if TYPE_CHECKING:
    from kopf_leader.gate.hold import Hold


class Seen(NamedTuple):
    """Where an event was seen: added to it on its way from the stream to the processor; handlers never see it."""

    tenure: Tenure | None
    """None for an event that nobody leads here for."""
    kind: str | None
    """Its type as the API server said it."""
    hold: "Hold | None" = None
    """Where the newest state of the object is known; None on the cold way."""
    barrier: Barrier | None = None
    """None if the event was seen after all that was written before the promotion."""


MARK = "kopf_leader.seen"
