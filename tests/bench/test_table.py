"""The table of the benchmarks: one place for what is to be reached, and lines that say what was measured."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest

from bench.ground import ROOT
from bench.rows import gate
from bench.table import Line
from bench.targets import TARGETS, Target, p95

ROWS = sorted((ROOT / "bench" / "rows").glob("*.py"))


def named_targets(path: Path) -> set[str]:
    """What a row gives as `target`, as an argument or as a variable of that name; either side of a condition."""
    values = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "target":
            values.append(node.value)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "target":
            values.append(node.value)
    sides = [
        side for value in values for side in ((value.body, value.orelse) if isinstance(value, ast.IfExp) else [value])
    ]
    return {
        str(side.value)
        for side in sides
        if isinstance(side, ast.Constant) and side.value and isinstance(side.value, str)
    }


def test_every_target_stands_in_one_place() -> None:
    """What rows name is there, and what is there is named; no row has words of its own."""
    assert set().union(*map(named_targets, ROWS)) == TARGETS.keys()


def test_a_verdict_is_the_targets() -> None:
    """A bound is kept by the statistic that it names; an answer may bring its verdict."""
    ratio = Line(what="a ratio", values=[2.5], unit="×", target="handover")
    kept = Line(what="kept", target="overlaps", given=True)
    assert [ratio.reached, Line(what="ours", values=[3.0]).reached, kept.reached] == [False, None, True]
    high = Line(what="x", values=[1.0] * 18 + [200.0] * 2, target="first handler")
    assert high.reached is False, "two of twenty are beyond the p95"
    assert p95(high.values) == 200


@pytest.mark.parametrize(
    ("target", "good", "bad"),
    [
        (Target(words="", bound=2.0), 4.0, 4.1),
        (Target(words="", bound=0.98, at_least=True), 0.961, 0.959),
        (Target(words="", bound=0.98, at_least=True, today=0.9), 0.81, 0.79),
    ],
)
def test_far_off_is_twice_what_is_stated(target: Target, good: float, bad: float) -> None:
    """Of a share, twice what it lacks; where it is missed already, twice of that."""
    assert [target.far_off([good]), target.far_off([bad])] == [False, True]


def test_a_p95_of_few_is_called_the_largest() -> None:
    """Of fewer than twenty values it is, and the line says so."""
    few, many = (Line(what="x", values=[1.0] * number, target="first handler").cells()[1] for number in (7, 20))
    assert few == "p95 ≤ 0.15 s (the largest of 7)"
    assert many == "p95 ≤ 0.15 s"


def test_the_gates_row_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """It calls the gate as kopf does, with what kopf has: a pair of series, each event through to its handler."""
    monkeypatch.setattr(gate, "EVENTS", 3)
    costs, bare = asyncio.run(gate.costs(1))
    assert len(costs) == len(bare) == 1
