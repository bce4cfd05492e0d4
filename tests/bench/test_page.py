"""The page of the benchmarks: what was measured, when and how; rows that are measured anew are put among the others."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import page, run
from bench.conditions import Conditions
from bench.ground import ROOT, Ground
from bench.page import Page, RefusedError
from bench.rows import ROWS
from bench.table import Line, Row, Table
from bench.targets import TARGETS

PLACE = {"versions": "kopf 1", "machine": "two cores"}
MORNING = Conditions(
    begin="2026-01-02 09:00", end="2026-01-02 09:07", load=(0.2, 1.5), full=True, version="kopf-leader 1 at abc"
)
EVENING = replace(MORNING, begin="2026-01-02 23:58", end="2026-01-03 00:01", full=False, beside=("blocked", "leases"))


def row(conditions: Conditions = MORNING, *, ratio: float = 2.5) -> Row:
    """Some lines, as rows make them."""
    lines = [
        Line(what="a ratio", values=[ratio], unit="×", target="handover"),
        Line(what="ours", values=[3.0, 4.12345, 5.0], plot="handover: ours", notes="a note"),
        Line(what="kept", target="overlaps", given=True),
    ]
    return Row(conditions, lines)


def sections(folder: Path) -> dict[str, str]:
    """The page's sections by name; what comes before has none."""
    parts = re.split(r"^## (.+)\n", (folder / page.PAGE).read_text(), flags=re.MULTILINE)
    return {"": parts[0], **{name: part.strip() for name, part in zip(parts[1::2], parts[2::2], strict=True)}}


def test_the_page_has_each_line(tmp_path: Path) -> None:
    """Markdown and JSON say the same, with the median, the p95 and the middle half."""
    page.write(Table(PLACE, {"handover": row()}), tmp_path)
    text = sections(tmp_path)["handover"]
    assert "| a ratio | median ≤ 2 × the floor | NO | 1 | 2.5 × |" in text
    assert "| · ours |  |  | 3 | 4.12 ms | 5 ms | 3 – 5 | 4.04 ms | 5 ms | a note |" in text
    numbers = json.loads((tmp_path / page.NUMBERS).read_text())
    assert numbers["rows"]["handover"]["lines"][1]["values"] == [3.0, 4.123, 5.0]


def test_each_row_states_its_own_conditions(tmp_path: Path) -> None:
    """Times, the form, the version, the load and what was measured beside it; what is the same for all stands once."""
    page.write(Table(PLACE, {"handover": row(MORNING), "blocked": row(EVENING)}), tmp_path)
    text = sections(tmp_path)
    assert "- machine: two cores\n" in text[""]
    morning = "2026-01-02 09:00 – 09:07 UTC, `bench-full`, kopf-leader 1 at abc, load 0.2 → 1.5, alone."
    assert f"Measured {morning}\n" in text["handover"]
    evening = "2026-01-02 23:58 – 2026-01-03 00:01 UTC, `bench`, kopf-leader 1 at abc, load 0.2 → 1.5, "
    assert f"Measured {evening}beside `blocked`, `leases`.\n" in text["blocked"]
    assert "Not measured yet: `herd`, " in text[""]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """To the four digits that stand there, with conditions and verdicts; written again, it is the same."""
    page.write(Table(PLACE, {"handover": row(), "blocked": row(EVENING)}), tmp_path)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    table = page.read(tmp_path)
    assert table is not None
    assert table.rows["blocked"].conditions == EVENING
    assert [line.reached for line in table.rows["handover"].lines] == [False, None, True]
    page.write(table, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_page_and_numbers_have_one_verdict(tmp_path: Path) -> None:
    """A value that is beyond the bound behind its fourth digit is at the bound on both."""
    page.write(Table(PLACE, {"handover": row(ratio=2.00001)}), tmp_path)
    table = page.read(tmp_path)
    assert table is not None
    assert table.rows["handover"].lines[0].reached is True
    assert "| yes | 1 | 2 × |" in sections(tmp_path)["handover"]


def test_a_row_that_is_measured_anew_leaves_the_others(tmp_path: Path) -> None:
    """It takes the place of its own lines; all are in the order of the table, whenever they were measured."""
    Page(tmp_path, PLACE).put("blocked", row())
    Page(tmp_path, PLACE).put("handover", row())
    before = sections(tmp_path)
    Page(tmp_path, PLACE).put("handover", row(EVENING, ratio=1.5))
    after = sections(tmp_path)
    assert list(after) == ["", "handover", "blocked"]
    assert after["blocked"] == before["blocked"]
    assert "1.5 ×" in after["handover"]
    assert "2.5 ×" not in after["handover"]


def test_what_another_run_has_written_meanwhile_stays(tmp_path: Path) -> None:
    """A row is put among those that stand there then."""
    one, other = Page(tmp_path, PLACE), Page(tmp_path, PLACE)
    one.put("handover", row())
    other.put("blocked", row())
    assert list(sections(tmp_path)) == ["", "handover", "blocked"]


def test_rows_of_two_machines_are_not_mixed(tmp_path: Path) -> None:
    """Nor of two versions of the peers; where all rows are measured, the page is begun anew."""
    Page(tmp_path, PLACE).put("handover", row())
    here = {**PLACE, "versions": "kopf 2"}
    with pytest.raises(RefusedError, match=r"other versions \(kopf 1\) than there are here \(kopf 2\)"):
        Page(tmp_path, here)
    assert "handover" in sections(tmp_path)
    Page(tmp_path, here, anew=True).put("blocked", row())
    assert list(sections(tmp_path)) == ["", "blocked"]
    Page(tmp_path, here, anew=True).put("gate", row())
    assert list(sections(tmp_path)) == ["", "gate", "blocked"], "of the same place, they stay until they are replaced"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"place": {}, "rows": {"handover": []}}', "of an older or newer form"),
        ('{"format": 2, "place": {}, "rows": {"handover": []}}', "cannot be read"),
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
    ],
)
def test_numbers_of_another_form_are_refused(tmp_path: Path, content: str, said: str) -> None:
    """In one sentence that says what to do; the file is not touched."""
    (tmp_path / page.NUMBERS).write_text(content)
    with pytest.raises(RefusedError, match=f"{said}.*measure all rows anew"):
        Page(tmp_path, PLACE)
    assert (tmp_path / page.NUMBERS).read_text() == content


def test_a_target_that_is_none_any_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verdict could not be given."""
    Page(tmp_path, PLACE).put("handover", row())
    monkeypatch.delitem(TARGETS, "overlaps")
    with pytest.raises(RefusedError, match="no target 'overlaps'"):
        Page(tmp_path, PLACE)


def test_every_row_has_its_way_of_being_measured() -> None:
    """In one of the two groups."""
    assert sorted([*run.TOGETHER, *run.ONE_BY_ONE]) == sorted(ROWS)


def test_a_row_that_fails_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even those that go on beside it: each is handed over as it is done, and the failure is told in the table."""

    def fail(*_: Any) -> list[Line]:
        raise ValueError("no")

    monkeypatch.setattr(run, "TOGETHER", {"blocked": fail, "leases": lambda *_: [Line(what="many")]})
    monkeypatch.setattr(run, "ONE_BY_ONE", {"gate": fail, "herd": lambda *_: [Line(what="few")], "load": fail})
    ground = object.__new__(Ground)
    ground.full = False
    taken: dict[str, Row] = {}
    whole = run.Run(ground, ["blocked", "leases", "gate", "herd"], taken.__setitem__)
    whole.measure()
    assert sorted(whole.failed) == ["blocked", "gate"]
    assert {name: [line.what for line in one.lines] for name, one in taken.items()} == {
        "blocked": ["blocked"], "leases": ["many"], "gate": ["gate"], "herd": ["few"]
    }  # fmt: skip
    assert taken["gate"].lines[0].notes == "could not be measured: ValueError"
    assert taken["leases"].conditions.beside == ("blocked",)
    assert taken["herd"].conditions.beside == ()


BROKEN_OFF = """
import os, signal, sys, time
from pathlib import Path
from bench import __main__ as main, run
from bench.ground import Ground
from bench.page import Page
from bench.table import Line

def told(*_):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(600)

run.TOGETHER, run.ONE_BY_ONE = {}, {"gate": lambda *_: [Line(what="a line")], "herd": told, "load": told}
ground = object.__new__(Ground)
ground.full = False
results = main.Results(Page(Path(sys.argv[1]), {}))
whole = run.Run(ground, ["gate", "herd", "load"], results.take)
main.end(main.until_signalled(whole), results, whole)
"""


def test_a_run_that_is_broken_off_has_written_what_was_measured(tmp_path: Path) -> None:
    """By SIGTERM (or Ctrl-C) in the middle of a row, it ends at once, and says what was not measured."""
    Page(tmp_path, {}).put("herd", row())
    before = sections(tmp_path)["herd"]
    command = [sys.executable, "-c", BROKEN_OFF, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 128 + signal.SIGTERM, ended.stderr
    assert "Broken off. Not measured: herd, load." in ended.stderr
    assert "a line" in ended.stdout
    after = sections(tmp_path)
    assert list(after) == ["", "herd", "gate"]
    assert after["herd"] == before


def test_what_is_published_needs_nothing_from_elsewhere() -> None:
    """The plots are small, and name no file but themselves; each has its place on the page, as have the numbers."""
    text = (page.FOLDER / page.PAGE).read_text()
    json.loads((page.FOLDER / page.NUMBERS).read_text())
    plots = sorted(page.FOLDER.glob("*.svg"))
    assert plots
    for plot in plots:
        svg = re.sub(r'xmlns(:\w+)?="[^"]*"', "", plot.read_text())
        assert "http" not in svg
        assert len(svg) < 200_000
        assert f"]({plot.name})" in text
