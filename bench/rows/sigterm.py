"""From SIGTERM to the first handler of the next leader, and whether two of them were ever at work at once.

Three real processes of `kopf-leader run` with the default durations; 200 objects, 50 of them with a daemon; ten
changes a second, each of which takes a handler 0.1 s: when the signal comes, something is being handled as a rule, and
is finished first. `peering.py` does the same to stock kopf with its peering.
"""

from __future__ import annotations

import time

from bench.ground import Ground
from bench.operators import Changes, Operators
from bench.table import Line
from kopf_leader.testing.facts import now
from kopf_leader.testing.history import Verdict

OBJECTS, DAEMONS, REPLICAS = 200, 50, 3
HANDLER = 0.1  # seconds
QUIET = 1.0  # seconds after SIGTERM in which this process does not take part in the work


def measure(ground: Ground) -> list[Line]:
    """Ours."""
    with Operators(ground) as operators:
        times = hand_over(operators, rounds=ground.pick(20, 6))
        verdict = operators.verdict()
    return [
        Line(
            what="SIGTERM → first handler of the next leader, 200 objects, at work",
            values=times,
            target="first handler, busy",
            notes="handlers of 0.1 s are at work, and are finished first; "
            f"{len(verdict.executions)} handler runs, {len(verdict.twice)} changes handled twice",
        ),
        overlaps(verdict, "two at work at once, in these handovers", target="overlaps"),
    ]


def hand_over(operators: Operators, *, rounds: int) -> list[float]:
    """Milliseconds of each handover."""
    times = []
    names = operators.create_many(OBJECTS, daemons=DAEMONS, seconds=HANDLER)
    leader = operators.start()
    operators.wait_for_work(leader, names)
    standbys = [operators.start() for _ in range(REPLICAS - 1)]
    for standby in standbys:
        operators.wait_for_standby(standby)
    with Changes(operators, names):
        for _ in range(rounds):
            time.sleep(0.5)
            stopped = now()
            leader.stop()
            time.sleep(QUIET)
            leader.wait()
            first, pid = _first(operators, since=stopped, other_than=leader.pid)
            times.append((first - stopped) / 1e6)
            leader = next(standby for standby in standbys if standby.pid == pid)
            operators.wait_for_work(leader, names)
            standbys = [*(standby for standby in standbys if standby is not leader), operators.start()]
            operators.wait_for_standby(standbys[-1])
    operators.replicas.stop()
    return times


def _first(operators: Operators, *, since: int, other_than: int) -> tuple[int, int]:
    """The time of the first handler of another process, and that process."""
    found: list[tuple[int, int]] = []

    def look() -> bool:
        facts = operators.replicas.history().facts
        starts = [(fact["t"], fact["pid"]) for fact in facts if fact["kind"] == "start"]
        found[:] = sorted(start for start in starts if start[0] > since and start[1] != other_than)[:1]
        return bool(found)

    operators.replicas.wait_until(look, what="the next leader's first handler")
    return found[0]


def overlaps(verdict: Verdict, what: str, *, target: str = "") -> Line:
    """How often two replicas were at work at once, and for how long, handover by handover."""
    longest: dict[frozenset[int], float] = {}
    for overlap in verdict.overlaps:
        pair = frozenset((overlap.first.process.pid, overlap.second.process.pid))
        longest[pair] = max(longest.get(pair, 0.0), overlap.seconds * 1e3)
    notes = f"{len(longest)} of {len(verdict.handovers)} handovers, by the handlers' own history"
    given = not longest and not verdict.problems if target else None
    return Line(what=what, values=list(longest.values()), target=target, given=given, notes=notes)
