"""Row 4: requests per minute in steady state, as the API server's audit log counts them, a user per replica."""

from __future__ import annotations

import threading
import time

from bench.candidates import Kind, Troupe
from bench.ground import Ground
from bench.table import Line
from kopf_leader.clients.direct import WATCH_SECONDS
from tests.clientgo import build as golang
from tests.controlplane.audit import AuditLog, Request

BOUNDS = {"leader": 31.0, "standby": 0.5}
SETTLE = 5.0  # seconds: the opening reads and watches are over


def measure(ground: Ground, settled: threading.Event, enough: threading.Event) -> list[Line]:
    """Count for as long as one watch lasts (one minute when quick), and on until `enough` is set."""
    kinds: list[Kind] = ["ours"] if ground.clientgo is None else ["ours", "client-go"]
    troupes: list[Troupe] = []
    try:
        for kind in kinds:
            namespace = ground.control_plane.namespace("bench")
            (lease,) = ground.leases(namespace, "counted", 1)
            troupe = Troupe(ground, kind, namespace, ["leader", "standby"])
            troupes.append(troupe)
            leader, standby = troupe.candidates
            leader.stand(lease)
            troupe.wait_for_leader(lease)
            standby.stand(lease)
        settled.set()
        time.sleep(SETTLE)
        audit = AuditLog(ground.control_plane.audit_log.path)  # a reader of our own: it is not for several threads
        skip, began = len(audit.requests()), time.monotonic()
        time.sleep(ground.pick(WATCH_SECONDS, 60))
        enough.wait()
        minutes = (time.monotonic() - began) / 60
        # The log is written a moment later; what comes in that moment is less than one request in a hundred.
        counted = audit.requests()[skip:]
        return [
            _line(troupe, role, _count(counted, ground, troupe, role), minutes)
            for role in ("leader", "standby")
            for troupe in troupes
        ]
    finally:
        for troupe in troupes:
            troupe.__exit__()


def _count(requests: list[Request], ground: Ground, troupe: Troupe, role: str) -> dict[str, int]:
    """Requests of this replica, by verb."""
    user = ground.control_plane.username(f"{troupe.namespace}-{role}")
    counts: dict[str, int] = {}
    for request in requests:
        if request.user == user:
            counts[request.verb] = counts.get(request.verb, 0) + 1
    return counts


def _line(troupe: Troupe, role: str, counts: dict[str, int], minutes: float) -> Line:
    rate = sum(counts.values()) / minutes
    shown = ", ".join(f"{count} {verb}" for verb, count in sorted(counts.items())) or "none"
    notes = f"{shown} in {minutes:.1f} min"
    if troupe.kind == "ours" and minutes * 60 < WATCH_SECONDS:
        notes += f"; too short for the new watch every {WATCH_SECONDS / 60:g} min"
    if troupe.kind == "client-go":
        return Line(what=f"client-go {golang.version()}, same run", values=[rate], unit="/min", notes=notes)
    bound = BOUNDS[role]
    return Line(
        what=f"requests of the {role} in steady state",
        values=[rate],
        unit="/min",
        target=f"≤ {bound:g} a minute",
        reached=rate <= bound,
        notes=notes,
    )
