"""From SIGTERM to the first handler of the next leader, with many objects; warm beside cold.

Two processes of `kopf-leader run`; all objects are handled already, so that a promotion has nothing to do but to resume
each of them. Without an index and with one; cold with an index only for as many objects as it ends with in time.
"""

from __future__ import annotations

import time

from bench import logs, machine
from bench.ground import ROOT, Ground
from bench.operators import Operators, create_handled
from bench.table import Line
from bench.targets import p50
from kopf_leader.testing.processes import Replica

HANDLERS = ROOT / "bench" / "handlers" / "resumed.py"
COLD_INDEXED = 1000  # objects; kopf's own time for its index grows with their square
REST = 6.0  # seconds: kopf's workers end after five


def measure(ground: Ground) -> list[Line]:
    """Each size, each kind of standby."""
    lines: list[Line] = []
    firsts: dict[bool, dict[int, list[float]]] = {False: {}, True: {}}
    for count in (200, 1000, 10000) if ground.full else (200, 1000):
        with Operators(ground, handlers=HANDLERS) as operators:
            create_handled(operators, count)
            for index in (False, True):
                for warm in (True, False):
                    if warm or not index or count <= COLD_INDEXED:
                        more = _measure(ground, operators, count=count, index=index, warm=warm)
                        if warm:
                            firsts[index][count] = list(more[0].values)
                        lines += more
    return lines + [_growth(index, by_count) for index, by_count in firsts.items()]


def _growth(index: bool, firsts: dict[int, list[float]]) -> Line:
    least, most = min(firsts), max(firsts)
    return Line(
        what=f"warm, {_words(index)}: {most} objects / {least}",
        values=[p50(firsts[most]) / p50(firsts[least])],
        unit="×",
        target="first handler, many",
        notes="the medians' ratio, one size after the other",
    )


def _measure(ground: Ground, operators: Operators, *, count: int, index: bool, warm: bool) -> list[Line]:
    log = ground.folder / f"{operators.namespace}-{index}-{warm}"
    environment = {"OBJECTS": str(count), "LOG": str(log), "INDEX": "1" if index else ""}
    flags = ["--leader-election-warm-standby" if warm else "--no-leader-election-warm-standby"]

    def start() -> Replica:
        return operators.start(*flags, environment=environment)

    first: list[float] = []
    hundredth: list[float] = []
    last: list[float] = []
    memory = []
    leader = start()
    logs.wait(log, leader, f"resumed-{count}")
    for _ in range(ground.pick(7, 3)):
        standby = start()
        operators.wait_for_standby(standby)
        if warm and index:
            logs.wait(log, standby, f"indexed-{count}")
        elif warm:
            operators.wait_for_watch(standby)
        machine.rest([leader.pid, standby.pid], seconds=REST)
        memory.append(machine.resident(standby.pid))
        stopped = time.monotonic_ns()
        leader.stop()
        times = [(logs.wait(log, standby, f"resumed-{number}") - stopped) / 1e6 for number in (1, 100, count)]
        for values, value in zip((first, hundredth, last), times, strict=True):
            values.append(value)
        leader.wait()
        leader = standby
    leader.stop()
    leader.wait()
    how = "warm" if warm else "cold"
    return [
        Line(
            what=f"SIGTERM → first handler of the next leader, {count} objects, {_words(index)}, {how}",
            values=first,
            target="first handler" if warm else "",
            notes=f"standby {max(memory):.0f} MB",
            plot=f"sigterm: {how}, {_words(index)}: {count}",
        ),
        Line(what="its hundredth handler", values=hundredth),
        Line(what="its last handler", values=last),
    ]


def _words(index: bool) -> str:
    return "an index" if index else "no index"
