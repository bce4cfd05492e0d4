"""Memory of a standby, over what plain kopf has: cold without objects, and warm with many of them.

The resident memory of processes of the same operator on the same namespace, each after its workers have ended. A cold
standby holds no object, so it is compared with a plain kopf that has none; a warm one with a plain kopf that has
handled (here: resumed) all of them.
"""

from __future__ import annotations

from bench import logs, machine
from bench.ground import ROOT, Ground
from bench.operators import Operators, create_handled
from bench.table import Line
from bench.targets import p50

HANDLERS = ROOT / "bench" / "handlers" / "resumed.py"
REST = 7.0  # seconds: kopf's workers end after five


def measure(ground: Ground) -> list[Line]:
    """Without objects, and with them, with an index and without."""
    lines = _cold(ground)
    for index in (False, True):
        lines += _warm(ground, ground.pick(10000, 1000), index=index)
    return lines


def _cold(ground: Ground) -> list[Line]:
    with Operators(ground, handlers=HANDLERS) as operators:
        environment = {"OBJECTS": "1", "LOG": str(ground.folder / f"{operators.namespace}-memory")}
        leader = operators.start(environment=environment)
        operators.wait_for_standby(leader)
        colds, plains = [], []
        for _ in range(3):
            colds.append(operators.start("--no-leader-election-warm-standby", environment=environment))
            plains.append(operators.start(environment=environment, plain=True))
        for one in colds:
            operators.wait_for_standby(one)
        for one in plains:
            operators.wait_for_watch(one)
        machine.rest([leader.pid, *(one.pid for one in (*colds, *plains))], seconds=REST)
        cold, plain = ([machine.resident(one.pid) for one in replicas] for replicas in (colds, plains))
    over = [value - p50(plain) for value in cold]
    notes = f"{p50(cold):.1f} MB beside {p50(plain):.1f} MB"
    what = "memory of a cold standby over plain kopf"
    return [Line(what=what, values=over, unit="MB", target="memory, cold", notes=notes)]


def _warm(ground: Ground, count: int, *, index: bool) -> list[Line]:
    """Without an index all of them are listed; with one they come one by one, as kopf takes minutes for such a list."""
    with Operators(ground, handlers=HANDLERS) as operators:
        log = ground.folder / f"{operators.namespace}-memory"
        environment = {"OBJECTS": str(count), "LOG": str(log), "INDEX": "1" if index else ""}
        leader = operators.start(environment=environment)
        operators.wait_for_standby(leader)
        if not index:
            create_handled(operators, count)
        standby = operators.start(environment=environment)
        plain = operators.start(environment=environment, plain=True)
        for one in (standby, plain):
            operators.wait_for_watch(one)
        if index:
            create_handled(operators, count)
            for one in (standby, plain):
                logs.wait(log, one, f"indexed-{count}")
        else:
            logs.wait(log, plain, f"resumed-{count}")
        machine.rest([one.pid for one in (leader, standby, plain)], seconds=REST)
        held, own = machine.resident(standby.pid), machine.resident(plain.pid)
        notes = f"{held:.0f} MB beside {own:.0f} MB; the leader {machine.resident(leader.pid):.0f} MB"
    words = "an index, one by one" if index else "no index, listed"
    return [
        Line(
            what=f"memory of a warm standby / plain kopf, {count} objects, {words}",
            values=[held / own],
            unit="×",
            target="memory, warm",
            notes=notes,
        )
    ]
