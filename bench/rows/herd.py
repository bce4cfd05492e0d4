"""Twenty standbys on one release: how many of them write in vain, and how long the next leader takes.

As many processes. Refused writes are counted in the API server's audit log, release by release.
"""

from __future__ import annotations

import time

from bench.candidates import Kind, Troupe, peers, title
from bench.ground import Ground
from bench.rows.handover import begin, rounds_of
from bench.table import Line
from tests.controlplane.audit import AuditLog

STANDBYS = 20
SETTLE = 0.6  # seconds after a round: whoever writes in vain has done so, and it is in the log


def measure(ground: Ground) -> list[Line]:
    """Ours, and client-go's, who poll."""
    times, refused = herd(ground, "ours", rounds=ground.pick(40, 12))
    lines = [
        Line(
            what=f"{STANDBYS} standbys, one release: refused writes",
            values=refused,
            unit="",
            target="herd, refused",
            notes=f"{refused[0]} in the first round, when none has been outrun before",
        ),
        Line(what=f"{STANDBYS} standbys: release → next leader", values=times, target="herd, time"),
    ]
    for kind in peers(ground) if ground.full else ():
        times, refused = herd(ground, kind, rounds=10)
        lines.append(Line(what=f"{title(kind)}: refused writes", values=refused, unit=""))
        lines.append(Line(what=f"{title(kind)}: release → next leader", values=times))
    return lines


def herd(ground: Ground, kind: Kind, *, rounds: int, standbys: int = STANDBYS) -> tuple[list[float], list[int]]:
    """Milliseconds, and refused writes, of each round."""
    namespace = ground.control_plane.namespace("bench")
    (lease,) = ground.leases(namespace, "herd", 1)
    audit = AuditLog(ground.control_plane.audit_log.path)
    times: list[float] = []
    refused: list[int] = []
    with Troupe(ground, kind, namespace, [f"candidate-{number}" for number in range(standbys + 1)]) as troupe:
        leader = begin(troupe, lease)
        all_there(troupe, audit)
        for _ in range(rounds):
            skip = len(audit.requests())
            (taken,), leader = rounds_of(troupe, lease, 1, lambda: 0.4, leader)
            times.append(taken)
            time.sleep(SETTLE)
            refused.append(
                sum(
                    request.namespace == namespace and request.status == 409 and request.verb == "update"
                    for request in audit.requests()[skip:]
                )
            )
    return times, refused


def all_there(troupe: Troupe, audit: AuditLog) -> None:
    """Wait until each candidate has sent its first requests, and the machine has settled."""
    users = {troupe.user(one.identity.partition("_")[0]) for one in troupe.candidates}
    deadline = time.monotonic() + 120
    while not users <= {request.user for request in audit.requests()}:
        if time.monotonic() > deadline:
            raise TimeoutError("not every candidate has come up within 120 s")
        time.sleep(0.2)
    time.sleep(2.0)
