"""docs/benchmarks: the page, the same as JSON, and the plots; all of one run."""

from __future__ import annotations

import json
from pathlib import Path

from bench import plots
from bench.ground import ROOT
from bench.table import Table

FOLDER = ROOT / "docs" / "benchmarks"
PAGE, NUMBERS = "README.md", "results.json"
HEAD = """# Measured

Written by `make bench-full`, or by the shorter `make bench`: not to be edited. All rows are of one run on the real
kube-apiserver and etcd, everything on one machine, the peers beside ours by their own code: client-go as a Go program,
the electors of the `kubernetes` library, kopf's peering as it comes. How each row is measured:
[bench/README.md](../../bench/README.md). Every value: [results.json](results.json).
"""
NOTES = """
`middle half` is the range of the middle half of all values; `p95` the smallest value that is not below 95 % of them, so
of fewer than twenty it is the largest. Lines with a dot stand beside those above, for comparison.
"""


def write(table: Table, folder: Path) -> None:
    """Write the numbers, draw the plots where matplotlib is, and write the page with what there is."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = table.json()
    (folder / NUMBERS).write_text(_json(numbers))
    for old in folder.glob("*.svg"):
        old.unlink()
    drawn = plots.draw(numbers, folder)
    (folder / PAGE).write_text(text(table, drawn))


def text(table: Table, drawn: dict[str, str]) -> str:
    """The page, with a picture for each file drawn."""
    pictures = [f"![{title}]({name})\n" for name, title in drawn.items()]
    place = [f"- {what}: {value}" for what, value in table.place.items()]
    return "\n".join([HEAD, *place, "", *pictures, table.markdown(), NOTES])


def _json(numbers: dict[str, object]) -> str:
    """Indented as far as one series, which stands in one line."""
    shown = json.dumps(numbers, indent=1, ensure_ascii=False)
    lines, inside = [], False
    for line in shown.splitlines():
        if inside:
            inside = "]" not in line
            lines[-1] += line.strip() + (" " if inside and line.endswith(",") else "")
        else:
            lines.append(line)
            inside = line.rstrip().endswith(('values": [', 'half": ['))
    return "\n".join(lines) + "\n"
