"""`python -m bench`: measure, print a table, and write it with plots. It asserts nothing: the ring `bench` does."""

from __future__ import annotations

import argparse
import functools
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bench import page
from bench.ground import Ground
from bench.rows import (
    blocked,
    events,
    evidence,
    fencing,
    gate,
    handover,
    herd,
    leases,
    load,
    memory,
    peering,
    pending,
    sigkill,
    sigterm,
    standing,
    startup,
    traffic,
    usable,
    warm,
)
from bench.table import Line, Table
from tests.clientgo import build as golang
from tests.controlplane.binaries import build, locate
from tests.controlplane.server import RealControlPlane

Event = threading.Event
# In the order of the table.
ROWS = ("handover", "herd", "sigterm", "peering", "warm", "usable", "pending", "sigkill", "evidence", "requests",
        "leases", "standing", "events", "gate", "startup", "memory", "load", "blocked", "fencing")  # fmt: skip
# Those that mostly wait are begun first, and go on beside those that measure milliseconds.
BACKGROUND: dict[str, Callable[[Ground, Event, Event], list[Line]]] = {
    "requests": traffic.measure,  # first, as it starts forty processes
    "standing": standing.measure,
    "leases": leases.measure,
    "blocked": lambda ground, settled, _: blocked.measure(ground, settled),
    "sigkill": lambda ground, settled, _: sigkill.measure(ground, settled),
}
FOREGROUND: dict[str, Callable[[Ground], list[Line]]] = {
    "gate": gate.measure,
    "handover": handover.measure,
    "herd": herd.measure,
    "sigterm": sigterm.measure,
    "peering": peering.measure,
    "startup": startup.measure,
    "events": events.measure,
    "pending": pending.measure,
    "warm": warm.measure,
    "usable": usable.measure,
    "fencing": fencing.measure,
    "memory": memory.measure,
    "evidence": evidence.measure,
}
ALONE: dict[str, Callable[[Ground], list[Line]]] = {
    "load": load.measure
}  # when nothing else runs: it takes all there is
START = 300.0  # seconds that one of the background may take to be started


def main() -> int:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="more trials, 10 000 objects, half an hour under load")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="ROW", help=f"one of: {', '.join(ROWS)}")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="write there; docs/benchmarks for all rows")
    arguments = parser.parse_args()
    clientgo = golang.build()
    if clientgo is None:
        print("There is no Go here: the comparisons with client-go are left out.", file=sys.stderr)
    with RealControlPlane(locate() or build()) as control_plane:
        ground = Ground(control_plane, clientgo, full=arguments.full)
        try:
            results = measure(ground, arguments.only or ROWS)
            table = Table(ground.place(), {row: results[row] for row in ROWS if row in results})
        finally:
            ground.close()
    print(table.plain())
    folder = arguments.into or (None if arguments.only else page.FOLDER)
    if folder is not None:
        page.write(table, folder)
        print(f"Written: {folder}")
    return 0


def measure(ground: Ground, wanted: list[str] | tuple[str, ...]) -> dict[str, list[Line]]:
    """Run the rows; the result by row."""
    results: dict[str, list[Line]] = {}
    enough = Event()
    with ThreadPoolExecutor() as pool:
        running: dict[str, Future[list[Line]]] = {}
        try:
            for row, start in BACKGROUND.items():
                if row in wanted:
                    ground.say(f"{row}: starting, goes on in the background")
                    running[row] = _start(pool, row, functools.partial(start, ground), enough)
            _one_by_one(ground, FOREGROUND, wanted, results)
        finally:
            enough.set()
        for row, future in running.items():
            ground.say(f"{row}: waiting for the rest")
            results[row] = _failing_alone(row, future.result)
    _one_by_one(ground, ALONE, wanted, results)
    return results


def _one_by_one(
    ground: Ground,
    rows: dict[str, Callable[[Ground], list[Line]]],
    wanted: list[str] | tuple[str, ...],
    results: dict[str, list[Line]],
) -> None:
    for row, function in rows.items():
        if row in wanted:
            ground.say(f"{row}: measuring")
            results[row] = _failing_alone(row, functools.partial(function, ground))


def _failing_alone(row: str, function: Callable[[], list[Line]]) -> list[Line]:
    """A row that cannot be measured says so in the table, and costs no other row."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 (told in the table)
        traceback.print_exc()
        return [Line(what=row, notes=f"could not be measured: {type(error).__name__}")]


def _start(
    pool: ThreadPoolExecutor, row: str, function: Callable[[Event, Event], list[Line]], enough: Event
) -> Future[list[Line]]:
    settled = Event()
    future = pool.submit(function, settled, enough)
    future.add_done_callback(lambda _: settled.set())  # a failure is told at the end
    if not settled.wait(START):
        raise TimeoutError(f"{row} has not started within {START:g} s")
    return future


if __name__ == "__main__":
    sys.exit(main())
