"""What was measured, as a table of plain text or of Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

HEADINGS = ("what", "to reach", "reached", "n", "p50", "p95", "mean", "max", "notes")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series of measurements, or one answer. `target` is what is to be reached, in words; `reached` the verdict.

    Lines without a target stand beside the one above, for comparison.
    """

    what: str
    values: Sequence[float] = ()
    unit: str = "ms"
    target: str = ""
    reached: bool | None = None
    notes: str = ""

    def cells(self) -> tuple[str, ...]:
        """The texts under `HEADINGS`."""
        label = self.what if self.target else f"· {self.what}"
        verdict = "" if self.reached is None else ("yes" if self.reached else "NO")
        numbers = ("", "", "", "", "")
        if self.values:
            count = str(len(self.values))
            if len(self.values) == 1:
                numbers = (count, "", "", self._show(self.values[0]), "")
            else:
                shown = (p50(self.values), p95(self.values), statistics.fmean(self.values), max(self.values))
                numbers = (count, *map(self._show, shown))  # type: ignore[assignment]  # four, as counted here
        return (label, self.target, verdict, *numbers, self.notes)

    def _show(self, value: float) -> str:
        return f"{value:.3g} {self.unit}" if abs(value) < 100 else f"{value:.0f} {self.unit}"


@dataclass
class Table:
    """The lines, and where they were measured."""

    place: str
    lines: list[Line] = field(default_factory=list)

    def plain(self) -> str:
        """For a terminal."""
        rows = [HEADINGS, *(line.cells() for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:], "", self.place])

    def markdown(self) -> str:
        """For a page."""
        rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in self.lines)]
        return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", self.place])


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """The smallest value that is not below 95 % of them; with few values it is the largest."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * 95 // 100) - 1)]
