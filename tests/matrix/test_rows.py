"""The rows of the matrix that no other test covers; all of them: ``python -m tests.matrix``."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from tests.controlplane.server import RealControlPlane
from tests.e2e.stage import ROOT
from tests.matrix.engine import Row, play
from tests.matrix.rows import ROWS


@pytest.mark.parametrize("row", [row for row in ROWS if not row.elsewhere and not row.slow], ids=lambda row: row.name)
def test_a_fault_breaks_no_promise(control_plane: RealControlPlane, tmp_path: Path, row: Row) -> None:
    """No overlap, nothing lost, no traceback, a leader again: the claim of docs/protocol.md, fault by fault."""
    one = play(row, control_plane, tmp_path)
    print(one.verdict.explain(), one.noise)
    assert one.verdict.executions
    assert not one.broken(), "\n".join(one.broken())


def test_a_row_can_fail(control_plane: RealControlPlane, tmp_path: Path) -> None:
    """What the README does not promise is seen: two at once, where an edit says that nobody leads."""
    (row,) = [row for row in ROWS if row.name == "by-hand"]
    one = play(replace(row, overlap=""), control_plane, tmp_path)
    assert any("overlaps" in sentence for sentence in one.broken()), one.verdict.explain()


def test_each_row_has_a_name_of_its_own() -> None:
    """A row is played by its name."""
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", [row for row in ROWS if row.elsewhere], ids=lambda row: row.name)
def test_a_fault_that_is_left_to_another_test_is_there(row: Row) -> None:
    """What this ring leaves out in CI, another one injects."""
    path, _, name = row.elsewhere.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
