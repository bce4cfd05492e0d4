"""`python -m bench`: measure, and print a table. It asserts nothing, and it is no part of any test run."""

from __future__ import annotations

import argparse
import functools
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from bench.ground import Ground
from bench.rows import blocked, evidence, fencing, gate, handover, peering, sigkill, sigterm, traffic, warm
from bench.table import Line, Table
from tests.clientgo import build as golang
from tests.controlplane.binaries import build, locate
from tests.controlplane.server import RealControlPlane

# In the order of the table. Those that mostly wait run in the background, beside those that measure milliseconds.
ROWS = ("handover", "sigterm", "peering", "sigkill", "evidence", "requests", "blocked", "gate", "warm", "fencing")
FOREGROUND: dict[str, Callable[[Ground], list[Line]]] = {
    "gate": gate.measure,
    "handover": handover.measure,
    "sigterm": sigterm.measure,
    "peering": peering.measure,
    "warm": warm.measure,
    "fencing": fencing.measure,
    "evidence": evidence.measure,
}
BACKGROUND = ("sigkill", "requests", "blocked")
START = 120.0  # seconds that the background may take to be started


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer trials: two to three minutes instead of six")
    parser.add_argument("--only", action="append", choices=ROWS, metavar="ROW", help=f"one of: {', '.join(ROWS)}")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    clientgo = golang.build()
    if clientgo is None:
        print("There is no Go here: the comparisons with client-go are left out.", file=sys.stderr)
    with RealControlPlane(locate() or build()) as control_plane:
        ground = Ground(control_plane, clientgo, quick=arguments.quick)
        try:
            results = measure(ground, arguments.only or ROWS)
            table = Table(ground.place(), [line for row in ROWS for line in results.get(row, ())])
        finally:
            ground.close()
    print(table.markdown() if arguments.markdown else table.plain())
    return 0


def measure(ground: Ground, wanted: list[str] | tuple[str, ...]) -> dict[str, list[Line]]:
    """Run the rows; the result by row."""
    results: dict[str, list[Line]] = {}
    enough = threading.Event()
    with ThreadPoolExecutor() as pool:
        running: dict[str, Future[list[Line]]] = {}
        try:
            for row in BACKGROUND:
                if row in wanted:
                    ground.say(f"{row}: starting, goes on in the background")
                    running[row] = _start(pool, ground, row, enough)
            for row, function in FOREGROUND.items():
                if row in wanted:
                    ground.say(f"{row}: measuring")
                    results[row] = _failing_alone(row, functools.partial(function, ground))
        finally:
            enough.set()
        for row, future in running.items():
            ground.say(f"{row}: waiting for the rest")
            results[row] = _failing_alone(row, future.result)
    return results


def _failing_alone(row: str, function: Callable[[], list[Line]]) -> list[Line]:
    """A row that cannot be measured says so in the table, and costs no other row."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 (told in the table)
        traceback.print_exc()
        return [Line(what=row, target="?", reached=False, notes=f"could not be measured: {type(error).__name__}")]


def _start(pool: ThreadPoolExecutor, ground: Ground, row: str, enough: threading.Event) -> Future[list[Line]]:
    settled = threading.Event()
    match row:
        case "sigkill":
            future = pool.submit(sigkill.measure, ground, settled)
        case "requests":
            future = pool.submit(traffic.measure, ground, settled, enough)
        case _:
            future = pool.submit(blocked.measure, ground, settled)
    future.add_done_callback(lambda _: settled.set())  # a failure is told at the end
    if not settled.wait(START):
        raise TimeoutError(f"{row} has not started within {START:g} s")
    return future


if __name__ == "__main__":
    sys.exit(main())
