"""What was measured, as a table of plain text, of Markdown, or as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from bench.conditions import Conditions
from bench.targets import TARGETS, p50, p95, quantile

FEW = 20  # values; of fewer the 95th percentile is the largest
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

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """From JSON. Raises KeyError or TypeError for what is none, also where the target is none any more."""
        names = ("what", "values", "unit", "target", "given", "notes", "plot")
        line = cls(**{name: found[name] for name in names})
        if line.target and line.target not in TARGETS:
            raise KeyError(f"no target {line.target!r}")
        return line

    def cells(self) -> tuple[str, ...]:
        """The texts under `HEADINGS`."""
        label = self.what if self.target else f"· {self.what}"
        words = TARGETS[self.target].words if self.target else ""
        if self.target and TARGETS[self.target].of is p95 and 1 < len(self.values) < FEW:
            words += f" (the largest of {len(self.values)})"
        verdict = "" if self.reached is None else ("yes" if self.reached else "NO")
        return (label, words, verdict, *self._numbers(), self.notes)

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        row: dict[str, Any] = {"what": self.what, "unit": self.unit, "notes": self.notes, "plot": self.plot}
        row |= {"target": self.target, "given": self.given}
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


@dataclass(frozen=True)
class Row:
    """The lines of one row, all measured under the same conditions."""

    conditions: Conditions
    lines: Sequence[Line]

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """From JSON. Raises KeyError, TypeError or ValueError for what is none."""
        return cls(Conditions.read(found["conditions"]), [Line.read(line) for line in found["lines"]])

    def json(self) -> dict[str, Any]:
        """For JSON."""
        return {"conditions": self.conditions.json(), "lines": [line.summary() for line in self.lines]}

    def markdown(self) -> str:
        """For a page."""
        lines = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in self.lines)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass
class Table:
    """The rows by name, and where they were measured: what is the same for all."""

    place: dict[str, str]
    rows: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """From JSON. Raises KeyError, TypeError or ValueError for what is none."""
        return cls(found["place"], {name: Row.read(row) for name, row in found["rows"].items()})

    def json(self) -> dict[str, Any]:
        """Everything."""
        return {"place": self.place, "rows": {name: row.json() for name, row in self.rows.items()}}

    def plain(self) -> str:
        """For a terminal."""
        lines = [HEADINGS, *(line.cells() for row in self.rows.values() for line in row.lines)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
        shown = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        conditions = [f"{name}: {row.conditions.words()}" for name, row in self.rows.items()]
        place = [f"{what}: {value}" for what, value in self.place.items()]
        return "\n".join([shown[0], "-" * len(shown[0]), *shown[1:], "", *conditions, "", *place])


def _short(value: float) -> float:
    """Four digits: what lies behind them was not measured."""
    return float(f"{value:.4g}")
