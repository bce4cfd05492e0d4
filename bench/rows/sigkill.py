"""From SIGKILL to the next leader's acquiring write, with the defaults 15/10/2.

Ours, client-go's and those of the kubernetes library side by side, three processes each, one of which leads any number
of Leases: they all lose their leader at one blow, while renewals and polls of each are at a point of their own.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench.candidates import ELECTORS, Kind, Troupe, peers, title
from bench.ground import Ground
from bench.table import Line
from kopf_leader.testing.facts import now

SPREAD = 2.0  # seconds: one period of renewals
SETTLE = 9.0  # seconds: two intervals of client-go's polls, and then they are out of step


def measure(ground: Ground, settled: threading.Event) -> list[Line]:
    """`settled` is set once all the processes are started."""
    count = ground.pick(40, 10)
    kinds: list[Kind] = ["ours", *peers(ground), *ELECTORS]
    barrier = threading.Barrier(len(kinds), action=settled.set, timeout=180)
    with ThreadPoolExecutor(len(kinds)) as pool:
        ours, *others = pool.map(lambda kind: _trial(ground, kind, count, barrier), kinds)
    mean = statistics.fmean(ours)
    lines = [
        Line(
            what="SIGKILL → next leader's acquiring write, 15/10/2",
            values=ours,
            unit="s",
            target="sigkill",
            notes="3 processes",
            plot="sigkill: ours",
        )
    ]
    for kind, theirs in zip(kinds[1:], others, strict=True):
        ratio = f"3 processes; mean is {statistics.fmean(theirs) - mean:+.1f} s"
        lines.append(Line(what=title(kind), values=theirs, unit="s", notes=ratio, plot=f"sigkill: {title(kind)}"))
    return lines


def _trial(ground: Ground, kind: Kind, count: int, barrier: threading.Barrier) -> list[float]:
    namespace = ground.control_plane.namespace("bench")
    leases = ground.leases(namespace, "killed", count)
    with Troupe(ground, kind, namespace, ["a", "b", "c"]) as troupe:
        leader, *standbys = troupe.candidates
        for lease in leases:
            leader.stand(lease)
            if lease == leases[0]:
                troupe.wait_for_leader(lease)  # before that its process only starts, and would take up all at once
            time.sleep(SPREAD / count)
        for lease in leases:
            troupe.wait_for_leader(lease)
            for standby in standbys:
                standby.stand(lease)
        barrier.wait()
        time.sleep(SETTLE + random.uniform(0, SPREAD))
        marks = {lease: troupe.mark(lease) for lease in leases}
        killed = now()
        leader.kill()
        acquired = [troupe.wait_for_leader(lease, since=marks[lease], other_than=leader.identity) for lease in leases]
        return [(fact.t - killed) / 1e9 for fact in acquired]
