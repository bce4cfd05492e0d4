"""What a standby costs while nothing happens: its time on a processor, over minutes.

A cold standby, a warm one, and a plain kopf without a leader election for comparison, each with the same objects, which
do not change.
"""

from __future__ import annotations

import threading
import time

from bench import machine
from bench.ground import ROOT, Ground
from bench.operators import Operators, create_handled
from bench.table import Line

HANDLERS = ROOT / "bench" / "handlers" / "resumed.py"
OBJECTS = 200
IDLE = 10.0  # seconds until nothing is left of the start


def measure(ground: Ground, settled: threading.Event) -> list[Line]:
    """Per cent of a core."""
    with Operators(ground, handlers=HANDLERS) as operators:
        create_handled(operators, OBJECTS)
        environment = {"OBJECTS": str(OBJECTS), "LOG": str(ground.folder / f"{operators.namespace}-standing")}
        leader = operators.start(environment=environment)
        operators.wait_for_standby(leader)
        kinds = {
            "cold standby": operators.start("--no-leader-election-warm-standby", environment=environment),
            "warm standby": operators.start(environment=environment),
            "leader": leader,
            "plain kopf": operators.start(plain=True, environment=environment),
        }
        for what, replica in kinds.items():
            if what == "cold standby":
                operators.wait_for_standby(replica)
            else:
                operators.wait_for_watch(replica)
        settled.set()
        time.sleep(IDLE)
        before = {what: machine.processor(replica.pid) for what, replica in kinds.items()}
        began = time.monotonic()
        time.sleep(ground.pick(300, 60))
        seconds = time.monotonic() - began
        shares = {
            what: (machine.processor(replica.pid) - before[what]) / seconds * 100 for what, replica in kinds.items()
        }
    notes = f"over {seconds / 60:.1f} min, {OBJECTS} objects"
    return [
        Line(
            what=f"processor time of a {what} in steady state" if "standby" in what else what,
            values=[share],
            unit="%",
            target="standby's processor" if "standby" in what else "",
            notes=notes,
        )
        for what, share in shares.items()
    ]
