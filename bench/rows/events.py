"""Events per second through kopf, with the gate and without: what a handler that sees every event leaves of it.

A stock `kopf run` and a leader of `kopf-leader run` watch the same objects at the same time. All the objects are
changed, one after the other, as fast as it goes, and both see the same events in the same seconds. What is compared is
the time on a processor that each takes for them, its own threads and the renewals included: kopf's loop is one thread,
and so that time is what bounds its events per second. It depends little on how busy the machine is.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import machine
from bench.connection import Connection
from bench.ground import ROOT, Ground
from bench.operators import OBJECTS, Operators, create_handled
from bench.table import Line
from bench.targets import p50
from kopf_leader.testing.processes import Replica

HANDLERS = ROOT / "bench" / "handlers" / "seen.py"
COUNT = 400  # objects, and so events in a series
WRITERS = 3


def measure(ground: Ground) -> list[Line]:
    """Both, series by series."""
    plain, gated = rates(ground, series=ground.pick(40, 15))
    ratios = [with_gate / without for with_gate, without in zip(gated, plain, strict=True)]
    return [
        Line(
            what="events a second through kopf, with the gate / without",
            values=ratios,
            unit="×",
            target="events",
            notes=f"per second of processor time, series of {COUNT} events that both see at once",
        ),
        Line(what="with the gate", values=gated, unit="/s"),
        Line(what="kopf alone", values=plain, unit="/s", notes=f"{1e6 / p50(plain):.0f} µs an event"),
    ]


def rates(ground: Ground, *, series: int, count: int = COUNT) -> tuple[list[float], list[float]]:
    """Events per second of processor time, of plain kopf and of a leader."""
    with Operators(ground, handlers=HANDLERS) as operators:
        names = create_handled(operators, count)
        logs = [ground.folder / f"{operators.namespace}-{which}" for which in ("plain", "gated")]
        replicas = [operators.start(plain=which == 0, environment={"SEEN": str(log)}) for which, log in enumerate(logs)]
        seen = [Seen(replica, log) for replica, log in zip(replicas, logs, strict=True)]
        for one in seen:
            one.wait(operators, count)
        found: list[list[float]] = [[], []]
        for turn in range(series + 1):
            began = [machine.processor_exact(replica.pid) for replica in replicas]
            change(operators, names, turn)
            for one in seen:
                one.wait(operators, count)
            for values, replica, before in zip(found, replicas, began, strict=True):
                values.append(count / (machine.processor_exact(replica.pid) - before))
        return found[0][1:], found[1][1:]  # the first series opens what stays open


class Seen:
    """How many events an operator has seen, by the length of its file."""

    def __init__(self, replica: Replica, log: Path) -> None:
        self._replica = replica
        self._log = log
        self._before = 0

    def wait(self, operators: Operators, more: int) -> None:
        """Until it has seen so many more."""
        goal = self._before + more
        what = f"{self._replica.name} to see {more} events"
        operators.replicas.wait_until(lambda: self._size() >= goal, timeout=180, what=what)
        time.sleep(0.1)  # what comes after the handler is part of it
        self._before = self._size()

    def _size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0


def change(operators: Operators, names: list[str], turn: int) -> None:
    """Change each object once."""
    path = OBJECTS.format(operators.namespace)

    def write(share: int) -> None:
        with Connection(operators.plane.admin) as connection:
            for name in names[share::WRITERS]:
                connection.send("PATCH", f"{path}/{name}", {"spec": {"seen": turn}})

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
