"""What was measured, as a table of plain text, of Markdown, or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.targets import TARGETS, p50, p95, quantile

HEADINGS = ("what", "to reach", "reached", "n", "median", "p95", "middle half", "mean", "max", "notes")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series of measurements, or one answer.

    `target` names one of `TARGETS`, by which the verdict is made, unless it is `given`. Lines without a target stand
    beside the one above, for comparison. `plot` says what the plots take it for, in words with spaces between them.
    """

    what: str
    values: Sequence[float] = ()
    unit: str = "ms"
    target: str = ""
    given: bool | None = None
    notes: str = ""
    plot: str = ""

    @property
    def reached(self) -> bool | None:
        """The verdict; None where nothing is to be reached, or nothing could be measured."""
        if not self.target or self.given is not None:
            return self.given
        return TARGETS[self.target].reached(self.values) if self.values else None

    def cells(self) -> tuple[str, ...]:
        """The texts under `HEADINGS`."""
        label = self.what if self.target else f"· {self.what}"
        words = TARGETS[self.target].words if self.target else ""
        verdict = "" if self.reached is None else ("yes" if self.reached else "NO")
        return (label, words, verdict, *self._numbers(), self.notes)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        row: dict[str, Any] = {"what": self.what, "unit": self.unit, "notes": self.notes, "plot": self.plot}
        if self.target:
            row |= {"to reach": TARGETS[self.target].words, "reached": self.reached}
        if self.values:
            statistic = {"median": p50, "p95": p95, "mean": statistics.fmean, "max": max}
            row |= {name: _short(function(self.values)) for name, function in statistic.items()}
            row |= {"middle half": [_short(quantile(self.values, percent)) for percent in (25, 75)]}
        return {**row, "n": len(self.values), "values": [_short(value) for value in self.values]}

    def _numbers(self) -> tuple[str, ...]:
        if not self.values:
            return ("",) * 6
        if len(self.values) == 1:
            return ("1", self._show(self.values[0]), "", "", "", "")
        middle = " – ".join(f"{quantile(self.values, percent):.3g}" for percent in (25, 75))
        mean, largest = self._show(statistics.fmean(self.values)), self._show(max(self.values))
        shown = (self._show(p50(self.values)), self._show(p95(self.values)), middle, mean, largest)
        return (str(len(self.values)), *shown)

    def _show(self, value: float) -> str:
        number = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
        return f"{number} {self.unit}".rstrip()


@dataclass
class Table:
    """The lines by row, and where they were measured."""

    place: dict[str, str]
    rows: dict[str, list[Line]] = field(default_factory=dict)

    def plain(self) -> str:
        """For a terminal."""
        lines = [HEADINGS, *(line.cells() for row in self.rows.values() for line in row)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:], "", self.words()])

    def markdown(self) -> str:
        """For a page."""
        lines = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for row in self.rows.values() for line in row)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def words(self) -> str:
        """Where and with what, in a sentence."""
        return "; ".join(f"{what}: {value}" for what, value in self.place.items())

    def json(self) -> dict[str, Any]:
        """Everything."""
        return {"place": self.place, "rows": {row: [line.summary() for line in of] for row, of in self.rows.items()}}


def _short(value: float) -> float:
    """Four digits: what lies behind them was not measured."""
    return float(f"{value:.4g}")
