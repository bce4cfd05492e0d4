"""From SIGTERM until many pending objects are handled, beside plain kopf on the same objects.

The objects are new, and nobody has handled them: the leader that gets the signal is of the same fleet, and has no
handler for them (as a release has that is replaced by one with more handlers). The next leader handles them all. Plain
kopf starts with the same objects in its namespace, and is counted from its start-up handler on, so without the time
that its process takes to start: that is the time of a standby that is there already, had kopf one.

An object is handled when the API server has received kopf's closing patch of it.
"""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

from bench import logs, machine
from bench.ground import ROOT, Ground
from bench.operators import Operators, create_handled
from bench.table import Line
from bench.targets import p50
from kopf_leader.testing.processes import Replica
from tests.controlplane.audit import AuditLog

HANDLERS = ROOT / "bench" / "handlers" / "created.py"
SETTLE = 3.0  # seconds: the standby has seen all objects
PATIENCE = 600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one took, in seconds: that passed, and of its processor; `whole` from the start of its process."""

    passed: float
    processor: float
    whole: float = 0.0


def measure(ground: Ground) -> list[Line]:
    """Ours and plain kopf in turns, on fresh objects each time."""
    count = ground.pick(2000, 500)
    ours, plain = [], []
    for _ in range(ground.pick(9, 3)):
        ours.append(_ours(ground, count))
        plain.append(_plain(ground, count))
    pairs = list(zip(ours, plain, strict=True))
    computed = [mine.processor / theirs.processor for mine, theirs in pairs]
    return [
        Line(
            what=f"SIGTERM → all of {count} pending objects handled / plain kopf",
            values=[mine.passed / theirs.passed for mine, theirs in pairs],
            unit="×",
            target="pending",
            notes=f"plain kopf from its start-up handler on; in processor time {p50(computed):.2f} ×",
        ),
        Line(what="ours, from SIGTERM", values=[one.passed for one in ours], unit="s"),
        Line(
            what="plain kopf, from its start-up handler",
            values=[one.passed for one in plain],
            unit="s",
            notes=f"from the start of its process {p50([one.whole for one in plain]):.2f} s",
        ),
    ]


def _ours(ground: Ground, count: int) -> Trial:
    with Operators(ground, handlers=HANDLERS) as operators:
        log = ground.folder / f"{operators.namespace}-handled"
        leader = operators.start(environment={"LOG": str(log), "UNCONCERNED": "1"})
        operators.wait_for_standby(leader)
        standby = operators.start(environment={"LOG": str(log)})
        operators.wait_for_standby(standby)
        operators.wait_for_watch(standby)
        create_handled(operators, count, handled=False)
        time.sleep(SETTLE)
        stopped, before = time.time(), machine.processor(standby.pid)
        leader.stop()
        passed = _last(ground, operators, standby, count) - stopped
        processor = machine.processor(standby.pid) - before
        leader.wait()
    return Trial(passed=passed, processor=processor)


def _plain(ground: Ground, count: int) -> Trial:
    with Operators(ground, handlers=HANDLERS) as operators:
        log = ground.folder / f"{operators.namespace}-handled"
        create_handled(operators, count, handled=False)
        replica = operators.start(plain=True, environment={"LOG": str(log)})
        last = _last(ground, operators, replica, count)
        processor = machine.processor(replica.pid)
        shift = time.time() - time.monotonic()
        started, before = (logs.times(log, replica, what)[0] / 1e9 for what in ("started", "started-processor"))
        return Trial(
            passed=last - started - shift,
            processor=processor - before,
            whole=last - operators.began[replica.pid] / 1e9 - shift,
        )


def _last(ground: Ground, operators: Operators, replica: Replica, count: int) -> float:
    """When the API server received the last of so many patches, in seconds of the wall clock."""
    audit = AuditLog(ground.control_plane.audit_log.path)
    moments: list[str] = []

    def through() -> bool:
        user = operators.user(replica)
        moments[:] = [one.received for one in audit.requests() if one.user == user and one.verb == "patch"]
        return len(moments) >= count

    operators.replicas.wait_until(through, timeout=PATIENCE, interval=0.2, what=f"{count} patches")
    return dt.datetime.fromisoformat(max(moments)).timestamp()
