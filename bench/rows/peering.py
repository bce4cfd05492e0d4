"""For comparison with `sigterm`: the same operator, stock `kopf run` with kopf's own peering and priorities."""

from __future__ import annotations

import kopf

from bench.ground import Ground
from bench.operators import Operators
from bench.rows.sigterm import hand_over, overlaps
from bench.table import Line


def measure(ground: Ground) -> list[Line]:
    """The time to the next one's first handler, counted from SIGTERM, and how long both were at work."""
    release = getattr(kopf, "__version__", "")
    with Operators(ground, peering=True) as operators:
        times = hand_over(operators, rounds=ground.pick(5, 3))
        verdict = operators.verdict()
    notes = f"{len(verdict.executions)} handler runs, {len(verdict.twice)} changes handled twice"
    return [
        Line(
            what=f"kopf {release} peering: SIGTERM → first handler of the next",
            values=times,
            notes=notes,
        ),
        overlaps(verdict, "kopf peering: two at work at once"),
    ]
