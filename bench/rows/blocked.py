"""A handler blocks kopf's event loop for a minute; and one that blocks it for longer than `stuck_timeout`."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench.ground import Ground
from bench.operators import Operators
from bench.table import Line
from kopf_leader.testing.facts import now
from kopf_leader.testing.processes import Replica

BLOCK = 60.0
STUCK = 20.0


def measure(ground: Ground, settled: threading.Event) -> list[Line]:
    """Both at once, each with an operator of its own."""
    barrier = threading.Barrier(2, action=settled.set, timeout=120)
    with ThreadPoolExecutor() as pool:
        kept = pool.submit(_kept, ground, barrier)
        given_up = pool.submit(_given_up, ground, barrier)
        return [kept.result(), given_up.result()]


def _kept(ground: Ground, barrier: threading.Barrier) -> Line:
    with Operators(ground) as operators:
        leader = _leader_and_standby(operators)
        before = operators.lease()
        barrier.wait()
        operators.create("blocking", block=BLOCK, only=leader.name)
        time.sleep(BLOCK)
        operators.wait_for_work(leader, ["blocking"])
        after, verdict = operators.lease(), operators.verdict()
        fields = ("holderIdentity", "acquireTime", "leaseTransitions")
        same = all(before[name] == after[name] for name in fields)
        blocked = next((run.finish - run.start) / 1e9 for run in verdict.executions if run.name == "blocking")
        operators.replicas.stop()
    return Line(
        what="kopf's loop blocked: leadership kept",
        values=[blocked],
        unit="s",
        target="blocked",
        given=same and not verdict.handovers and blocked >= BLOCK,
        notes="same holder and term" if same else "the Lease changed hands",
    )


def _given_up(ground: Ground, barrier: threading.Barrier) -> Line:
    with Operators(ground, arguments=(f"--leader-election-stuck-timeout={STUCK:g}s",)) as operators:
        leader = _leader_and_standby(operators)
        barrier.wait()
        began = now()
        operators.create("blocking", block=6 * STUCK, only=leader.name)
        status = leader.wait()
        seconds = (now() - began) / 1e9
        (successor,) = operators.replicas
        operators.wait_for_work(successor, ["blocking"])
        overlapping = len(operators.verdict().overlaps)
        operators.replicas.stop()
    return Line(
        what=f"stuck for longer than stuck_timeout ({STUCK:g} s): given up by exit",
        values=[seconds],
        unit="s",
        target="stuck",
        given=status > 0 and seconds < 6 * STUCK and not overlapping,
        notes=f"exit status {status}, the next leader went on, {overlapping} overlaps",
    )


def _leader_and_standby(operators: Operators) -> Replica:
    operators.create("first")
    leader = operators.start()
    operators.wait_for_work(leader, ["first"])
    operators.wait_for_standby(operators.start())
    return leader
