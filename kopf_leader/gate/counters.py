"""What the gate has done so far, in numbers, for log lines and metrics."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Counters:
    """Plain numbers that only grow, over all terms of the process; `holder` is the last one seen ('' for nobody)."""

    opened: int = 0
    closed: int = 0
    events_dropped: int = 0
    starts_refused: int = 0
    writes_refused: int = 0
    writes_fenced: int = 0
    """Those that the API server's fence has refused."""
    handlers_cancelled: int = 0
    stale: int = 0
    """Bodies that were not the newest any more when a handler was to start on them."""
    holder: str = ""
    when_opened: Callable[[], None] | None = field(default=None, repr=False, compare=False)
    """Called as `opened` goes up, on kopf's loop."""

    def count_opening(self) -> None:
        """The gate opens."""
        self.opened += 1
        if self.when_opened is not None:
            self.when_opened()
