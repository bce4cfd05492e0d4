"""Who was at work when, drawn with half blocks: a row for each replica, and a row for what was done to them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text

from kopf_leader.cli.demonstration.story import SECOND

COLOURS = {"A": "cyan", "B": "magenta", "C": "yellow", "D": "green", "E": "blue"}
AT_WORK = {(True, True): "█", (True, False): "▌", (False, True): "▐"}
ALIVE, CUT_OFF, ABSENT = "·", "╌", " "
LEGEND = "█ handlers run   · stands by   ╌ cut off"
STEP = 1.25  # how much the span grows when the time goes beyond it

Span = tuple[int, int]
"""From a moment to another (nanoseconds)."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Which moment is in which column."""

    began: int
    now: int
    width: int
    expected: float
    """Seconds that the demo takes; when it takes longer, the columns become wider in steps."""

    @property
    def half(self) -> float:
        """Nanoseconds of half a column."""
        span = self.expected * SECOND
        late = (self.now - self.began) / span
        if late > 1:
            span *= STEP ** math.ceil(math.log(late, STEP))
        return span / self.width / 2

    def halves(self, spans: Iterable[Span]) -> set[int]:
        """The half columns that these spans touch."""
        touched: set[int] = set()
        for begin, end in spans:
            first, last = (int((moment - self.began) / self.half) for moment in (begin, end))
            touched.update(range(max(first, 0), min(last, 2 * self.width - 1) + 1))
        return touched


def lane(scale: Scale, *, name: str, work: Iterable[Span], lives: Iterable[Span], cuts: Iterable[Span] = ()) -> Text:
    """One replica's row: blocks where a handler ran, dots where the process lived, dashes where it was cut off."""
    busy, alive, cut = scale.halves(work), scale.halves(lives), scale.halves(cuts)
    row = Text()
    for column in range(scale.width):
        here = {2 * column, 2 * column + 1}
        block = AT_WORK.get((2 * column in busy, 2 * column + 1 in busy))
        if block:
            row.append(block, style="red" if here & cut else COLOURS[name])
        else:
            row.append(CUT_OFF if here & cut else ALIVE if here & alive else ABSENT, style="dim")
    return row


def labels(scale: Scale, marks: Sequence[tuple[int, str]]) -> Text:
    """What was done when, where there is room for it."""
    row = ""
    for moment, label in marks:
        column = int((moment - scale.began) / scale.half / 2)
        text = f"^{label}"
        if column < len(row):  # the one before is in the way: the arrow alone, or nothing
            continue
        row = row.ljust(column) + (text if column + len(text) <= scale.width else "^")
    return Text(row[: scale.width], style="bold")
