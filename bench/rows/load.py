"""A leader under load: kopf's loop saturated by daemons, and both cores busy with other processes beside.

How late its renewals come, as the API server's audit log has them: the time between two, less the retry period. A
standby is there, and would take over.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
import subprocess
import sys
import time

from bench.ground import ROOT, Ground
from bench.operators import Operators, create_handled
from bench.table import Line
from tests.controlplane.audit import AuditLog

HANDLERS = ROOT / "bench" / "handlers" / "busy.py"
DAEMONS = 20
RETRY = 2.0  # seconds, the default
FIELDS = ("holderIdentity", "acquireTime", "leaseTransitions")


def measure(ground: Ground) -> list[Line]:
    """For half an hour; a minute when short."""
    seconds = ground.pick(1800, 60)
    audit = AuditLog(ground.control_plane.audit_log.path)
    with Operators(ground, handlers=HANDLERS) as operators:
        create_handled(operators, DAEMONS)
        log = ground.folder / f"{operators.namespace}-spinning"
        environment = {"LOG": str(log)}
        leader = operators.start(environment=environment)
        operators.replicas.wait_until(
            lambda: log.exists() and log.read_text().count("spinning") == DAEMONS, what="daemons", timeout=180
        )
        operators.wait_for_standby(operators.start(environment=environment))
        before, skip = operators.lease(), len(audit.requests())
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
        try:
            for burner in burners:
                ground.reaper.add(burner.pid)
            time.sleep(seconds)
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
                ground.reaper.forget(burner.pid)
        after = operators.lease()
        user = operators.user(leader)
        moments = [
            dt.datetime.fromisoformat(request.received).timestamp()
            for request in audit.requests()[skip:]
            if request.user == user and request.resource == "leases" and request.verb == "update"
        ]
    late = [later - earlier - RETRY for earlier, later in itertools.pairwise(moments)]
    kept = all(before[name] == after[name] for name in FIELDS)
    load = f"{seconds / 60:g} min, {DAEMONS} daemons that spin, {len(burners)} other processes too"
    return [
        Line(
            what="leader under load: its renewals, later than due",
            values=late,
            unit="s",
            target="renewals under load",
            notes=load,
        ),
        Line(what="leader under load: terms lost", values=[float(not kept)], unit="", target="kept", notes=load),
    ]
