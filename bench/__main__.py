"""`python -m bench`: measure, print, and write a page with plots. It asserts nothing: the ring `bench` does."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from queue import SimpleQueue

from bench import plots
from bench.ground import Ground, place
from bench.page import FOLDER, Page, RefusedError
from bench.rows import ROWS
from bench.run import Run
from bench.table import Row, Table
from tests.clientgo import build as golang
from tests.controlplane.binaries import build, locate
from tests.controlplane.server import RealControlPlane

# Readers of the audit log go by their place in the file: it is never rotated.
FLAGS = ("--audit-log-maxsize=0",)
ENDED, BROKEN = 0, -1


class Results:
    """What was measured in this run, on its page at once if there is one."""

    def __init__(self, page: Page | None) -> None:
        self.table = Table(place())
        self.writing = threading.Lock()
        self._page = page

    def take(self, name: str, row: Row) -> None:
        """One more row."""
        with self.writing:
            self.table.rows[name] = row
            if self._page is not None:
                self._page.put(name, row)

    def say(self) -> None:
        """Print them."""
        print(self.table.plain(), flush=True)


def main() -> int:
    """Parse, measure, write, print."""
    arguments = _arguments()
    folder = arguments.into or (None if arguments.only else FOLDER)
    try:
        page = _page(folder, some=bool(arguments.only))
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 2
    clientgo = golang.build()
    if clientgo is None:
        print("There is no Go here: the comparisons with client-go are left out.", file=sys.stderr)
    results = Results(page)
    with RealControlPlane(locate() or build(), flags=FLAGS) as control_plane:
        ground = Ground(control_plane, clientgo, full=arguments.full)
        run = Run(ground, arguments.only or ROWS, results.take)
        try:
            how = until_signalled(run)
            if how > 0:
                end(how, results, run)
        finally:
            ground.close()
    results.say()
    return 1 if how == BROKEN or run.failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="more trials, 10 000 objects, half an hour under load")
    parser.add_argument(
        "--only", action="extend", nargs="+", choices=ROWS, metavar="ROW",
        help=f"measure these rows; all without it, which are: {', '.join(ROWS)}",
    )  # fmt: skip
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER",
        help="write the rows to the page in this folder, where other rows stay; docs/benchmarks for all rows",
    )  # fmt: skip
    return parser.parse_args()


def _page(folder: Path | None, *, some: bool) -> Page | None:
    """Where the rows go; when all are measured, a page that cannot be added to is begun anew. Raises `RefusedError`."""
    if folder is None:
        return None
    if not plots.possible():
        raise RefusedError("A page has plots, and there is no matplotlib here: `make .venv/.bench` installs it.")
    return Page(folder, place(), anew=not some)


def until_signalled(run: Run) -> int:
    """Run it in a thread of its own: `ENDED`, `BROKEN`, or the signal that came before."""
    news: SimpleQueue[int] = SimpleQueue()  # the one that a signal handler may put into

    def measure() -> None:
        try:
            run.measure()
        except Exception:  # noqa: BLE001 (no row's: those are told in the table)
            traceback.print_exc()
            news.put(BROKEN)
        else:
            news.put(ENDED)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: news.put(number))
    threading.Thread(target=measure, daemon=True).start()
    return news.get()


def end(number: int, results: Results, run: Run) -> None:
    """End at once, whatever is being measured: what was is on the page already, and what is left is not touched."""
    with results.writing:
        results.say()
        print(f"Broken off. Not measured: {', '.join(run.left)}.", file=sys.stderr, flush=True)
        # Each process and folder has a reaper that answers for it when we are gone.
        os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
