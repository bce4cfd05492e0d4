"""Row 3: from SIGKILL to the next leader's acquiring write, with the defaults 15/10/2.

Ours and client-go's side by side, three processes each, one of which leads any number of Leases: they all lose their
leader at one blow, while renewals and polls of each are at a point of their own.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench.candidates import Kind, Troupe
from bench.ground import Ground
from bench.table import Line
from kopf_leader.testing.facts import now
from tests.clientgo import build as golang

SPREAD = 2.0  # seconds: one period of renewals
SETTLE = 9.0  # seconds: two intervals of client-go's polls, and then they are out of step


def measure(ground: Ground, settled: threading.Event) -> list[Line]:
    """`settled` is set once all the processes are started."""
    count = ground.pick(20, 10)
    kinds: list[Kind] = ["ours"] if ground.clientgo is None else ["ours", "client-go"]
    barrier = threading.Barrier(len(kinds), action=settled.set, timeout=120)
    with ThreadPoolExecutor() as pool:
        ours, *others = pool.map(lambda kind: _trial(ground, kind, count, barrier), kinds)
    mean = statistics.fmean(ours)
    lines = [
        Line(
            what="SIGKILL → next leader's acquiring write, 15/10/2",
            values=ours,
            unit="s",
            target="mean ≤ 14.5 s",
            reached=mean <= 14.5,
            notes="3 processes",
        )
    ]
    for theirs in others:
        ratio = f"3 processes; mean is {statistics.fmean(theirs) - mean:+.1f} s"
        lines.append(Line(what=f"client-go {golang.version()}, same run", values=theirs, unit="s", notes=ratio))
    return lines


def _trial(ground: Ground, kind: Kind, count: int, barrier: threading.Barrier) -> list[float]:
    namespace = ground.control_plane.namespace("bench")
    leases = ground.leases(namespace, "killed", count)
    with Troupe(ground, kind, namespace, ["a", "b", "c"]) as troupe:
        leader, *standbys = troupe.candidates
        for lease in leases:
            leader.stand(lease)
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
