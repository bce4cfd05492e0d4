"""docs/benchmarks: the page, the same as JSON, and the plots. `python -m bench.page` writes it anew from its JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from bench import plots
from bench.ground import ROOT
from bench.rows import ROWS
from bench.table import Row, Table

FOLDER = ROOT / "docs" / "benchmarks"
PAGE, NUMBERS = "README.md", "results.json"
FORMAT = 2
HEAD = """# Measured

Written by `make bench-full`, by the shorter `make bench`, or row by row: not to be edited. Everything runs on one
machine against the real kube-apiserver and etcd, the peers beside ours by their own code: client-go as a Go program,
the electors of the `kubernetes` library, kopf's peering as it comes. How each row is measured:
[bench/README.md](../../bench/README.md). Every value: [results.json](results.json).

All rows are of this machine and these versions:
"""
NOTES = """
Rows may be of different runs: each says when it was measured, in which form, with which version of ours, the machine's
load before and after, and what else was measured at the same time. Both sides of a ratio are always of the same run.
Compare within one row.

`middle half` is the range of the middle half of all values; `p95` the smallest value that is not below 95 % of them, so
of fewer than twenty it is the largest. Lines with a dot stand beside those above, for comparison.
"""


class RefusedError(ValueError):
    """A page that cannot be added to; the text says why, and what to do."""


class Page:
    """What stands in a folder; rows that are put there replace those of their name. Every change is written at once."""

    def __init__(self, folder: Path, place: dict[str, str], *, anew: bool = False) -> None:
        """`anew`: what stands there and does not fit gives way to the first row; without it, raises `RefusedError`."""
        self._folder = folder
        self._place = place
        try:
            self._table()
        except RefusedError:
            if not anew:
                raise
            self._anew = True
        else:
            self._anew = False

    def put(self, name: str, row: Row) -> None:
        """Add or replace a row, and write all."""
        rows = {**({} if self._anew else self._table().rows), name: row}
        write(Table(self._place, {known: rows[known] for known in ROWS if known in rows}), self._folder)
        self._anew = False

    def _table(self) -> Table:
        """What stands there now: another run may have written, too. Raises `RefusedError` if rows do not fit it."""
        table = read(self._folder) or Table(self._place)
        for what in {**self._place, **table.place}:
            there, here = table.place.get(what, "nothing"), self._place.get(what, "nothing")
            if there != here:
                raise RefusedError(
                    f"The rows in {self._folder} were measured with other {what} ({there}) than there are here "
                    f"({here}), and rows of both do not go on one page: measure all rows anew, or write --into another "
                    "folder."
                )
        return table


def read(folder: Path) -> Table | None:
    """What was written into a folder; None if nothing was. Raises `RefusedError` if it cannot be read."""
    path = folder / NUMBERS
    if not path.exists():
        return None
    again = "measure all rows anew (`make bench`), or remove the file to begin a new page with the rows of your choice"
    try:
        found = json.loads(path.read_text())
        if found.get("format") != FORMAT:
            raise RefusedError(
                f"{path} is of an older or newer form of the benchmarks, and no row can be added: {again}."
            )
        return Table.read(found)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise RefusedError(f"{path} cannot be read ({said}), and no row can be added: {again}.") from error


def write(table: Table, folder: Path) -> None:
    """Write the numbers, draw the plots where matplotlib is, and write the page with what there is."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {"format": FORMAT, **table.json()}
    for old in folder.glob("*.svg"):
        old.unlink()
    drawn = plots.draw(numbers, folder)
    _replace(folder / NUMBERS, _json(numbers))
    # What was read back has the digits that stand there: page and numbers never differ in a verdict.
    _replace(folder / PAGE, text(Table.read(numbers), drawn))


def text(table: Table, drawn: dict[str, str]) -> str:
    """The page, with a picture for each file drawn."""
    place = [f"- {what}: {value}" for what, value in table.place.items()]
    pictures = [f"![{title}]({name})\n" for name, title in drawn.items()]
    rows = [
        f"## {name}\n\nMeasured {row.conditions.words()}.\n\n{row.markdown()}\n" for name, row in table.rows.items()
    ]
    return "\n".join([HEAD, *place, NOTES, *pictures, *_missing(table.rows), *rows])


def _missing(there: Iterable[str]) -> list[str]:
    missing = [f"`{name}`" for name in ROWS if name not in there]
    return [f"Not measured yet: {', '.join(missing)}.\n"] if missing else []


def _replace(path: Path, content: str) -> None:
    """Either the old or the new content, whatever happens."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(content)
    new.replace(path)


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
            inside = line.rstrip().endswith(('values": [', 'half": [', 'load": [', 'beside": ['))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write docs/benchmarks anew from its numbers."""
    try:
        table = read(FOLDER)
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 2
    if table is not None:
        write(table, FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
