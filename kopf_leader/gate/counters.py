"""What the gate has done so far, in numbers, for log lines and metrics."""

from dataclasses import dataclass


@dataclass
class Counters:
    """Plain numbers that only grow, over all terms of the process; `holder` is the last one seen ('' for nobody)."""

    opened: int = 0
    closed: int = 0
    events_dropped: int = 0
    starts_refused: int = 0
    writes_refused: int = 0
    handlers_cancelled: int = 0
    holder: str = ""
