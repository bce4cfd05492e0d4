"""Row 8: from SIGTERM to the first handler of the next leader, with many objects; warm beside cold.

Two processes of `kopf-leader run`; all objects are handled already, so that a promotion has nothing to do but to resume
each of them. Without an index and with one; cold with an index only for as many objects as it ends with in time.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.ground import ROOT, Ground
from bench.operators import OBJECTS, Operators
from bench.table import Line, p95
from kopf_leader.testing.processes import Replica

HANDLERS = ROOT / "bench" / "warm" / "handlers.py"
PADDING = "x" * 500
COLD_INDEXED = 1000  # objects; kopf's own time for its index grows with their square
PATIENCE = 300.0  # seconds


def measure(ground: Ground) -> list[Line]:
    """Each size, each kind of standby."""
    lines = []
    for count in (200, 1000) if ground.quick else (200, 1000, 10000):
        with Operators(ground, handlers=HANDLERS) as operators:
            _create(operators, count)
            for index in (False, True):
                for warm in (True, False):
                    if warm or not index or count <= COLD_INDEXED:
                        lines += _measure(ground, operators, count=count, index=index, warm=warm)
    return lines


def _measure(ground: Ground, operators: Operators, *, count: int, index: bool, warm: bool) -> list[Line]:
    log = ground.folder / f"{operators.namespace}-{index}-{warm}"
    log.touch()
    environment = {"OBJECTS": str(count), "LOG": str(log), "INDEX": "1" if index else ""}
    flags = ["--leader-election-warm-standby" if warm else "--no-leader-election-warm-standby"]

    def start() -> Replica:
        return operators.start(*flags, environment=environment)

    first: list[float] = []
    hundredth: list[float] = []
    last: list[float] = []
    memory = []
    leader = start()
    _wait(log, leader, "resumed", count)
    for _ in range(ground.pick(5, 3)):
        standby = start()
        operators.wait_for_standby(standby)
        if warm and index:
            _wait(log, standby, "indexed", count)
        elif warm:
            operators.wait_for_watch(standby)
        time.sleep(6.0)  # kopf's workers end after five idle seconds
        memory.append(_resident(standby))
        stopped = time.monotonic_ns()
        leader.stop()
        times = [(_wait(log, standby, "resumed", number) - stopped) / 1e6 for number in (1, 100, count)]
        for values, value in zip((first, hundredth, last), times, strict=True):
            values.append(value)
        leader.wait()
        leader = standby
    leader.stop()
    leader.wait()
    what = f"{count} objects, {'an index' if index else 'no index'}, {'warm' if warm else 'cold'}"
    return [
        Line(
            what=f"SIGTERM → first handler of the next leader, {what}",
            values=first,
            target="p95 ≤ 150 ms" if warm else "",
            reached=p95(first) <= 150 if warm else None,
            notes=f"standby {max(memory):.0f} MB",
        ),
        Line(what="its hundredth handler", values=hundredth),
        Line(what="its last handler", values=last),
    ]


def _create(operators: Operators, count: int) -> None:
    handled = json.dumps({"spec": {"padding": PADDING}}) + "\n"

    def create(number: int) -> None:
        body = {
            "apiVersion": "kopf.dev/v1",
            "kind": "KopfExample",
            "metadata": {
                "name": f"object-{number:05d}",
                "annotations": {"kopf.zalando.org/last-handled-configuration": handled},
            },
            "spec": {"padding": PADDING},
        }
        operators.plane.admin.create(OBJECTS.format(operators.namespace), body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(count)))


def _wait(log: Path, replica: Replica, what: str, number: int) -> int:
    """When this replica has done that for the so-manieth time, in nanoseconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            pid, did, count, at = line.split()
            if (int(pid), did, int(count)) == (replica.pid, what, number):
                return int(at)
        time.sleep(0.1)
    raise TimeoutError(f"{replica.name} has not {what} {number} objects within {PATIENCE:g} s")


def _resident(replica: Replica) -> float:
    """The memory of its process, in MB."""
    lines = Path(f"/proc/{replica.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
