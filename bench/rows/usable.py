"""From the start of the process to the first handler, with an index and many objects; beside plain kopf.

All objects are handled already; the first handler resumes one. kopf holds every handler back until all is indexed.
"""

from __future__ import annotations

from bench import logs
from bench.ground import ROOT, Ground
from bench.operators import Operators, create_handled
from bench.table import Line

HANDLERS = ROOT / "bench" / "handlers" / "resumed.py"
PATIENCE = 1200.0  # seconds that plain kopf is waited for


def measure(ground: Ground) -> list[Line]:
    """One process each, one after the other."""
    count = ground.pick(10000, 1000)
    with Operators(ground, handlers=HANDLERS) as operators:
        create_handled(operators, count)
        lines = []
        for plain, what in ((False, "`kopf-leader run`"), (True, "`kopf run`")):
            seconds = _start(ground, operators, count, plain=plain)
            notes = "" if seconds else f"not within {PATIENCE / 60:g} min"
            words = f"{what}: start → first handler, {count} objects, an index"
            lines.append(Line(what=words, values=seconds, unit="s", notes=notes))
    return lines


def _start(ground: Ground, operators: Operators, count: int, *, plain: bool) -> list[float]:
    """Seconds; none if it took too long."""
    log = ground.folder / f"{operators.namespace}-usable"
    replica = operators.start(plain=plain, environment={"OBJECTS": str(count), "LOG": str(log), "INDEX": "1"})
    try:
        first = logs.wait(log, replica, "resumed-1", patience=PATIENCE)
    except TimeoutError:
        if not replica.alive:
            raise
        return []
    finally:
        replica.kill()
    return [(first - operators.began[replica.pid]) / 1e9]
