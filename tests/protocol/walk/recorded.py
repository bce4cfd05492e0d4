"""What the walks come to, as a page: `python -m tests.protocol.walk.recorded` walks them all, ten times CI's share."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version

from kopf_leader import __version__
from tests.protocol.walk.plans import PLANS, SHARE
from tests.protocol.walk.search import Outcome, Walk

PAGE = Path(__file__).parents[3] / "docs" / "proof-walks.md"
LIMIT = 10 * SHARE
"""Worlds of a plan; CI stops the larger ones at `SHARE`."""
HEAD = "| plan | candidates | faults | of kinds | what | worlds | moves | depth | frontier | a leader within |"


def row(outcome: Outcome) -> str:
    """One line of the table; the same in every run of the same code."""
    plan = outcome.plan
    end = f"BROKEN {outcome.broken.law}" if outcome.broken else "exhausted" if outcome.exhausted else "stopped"
    until = f"{outcome.slowest:.2f} lease durations" if outcome.asked else "not asked"
    cells = (
        plan.name, plan.candidates, plan.faults, len(plan.kinds), plan.why, outcome.states, outcome.moves,
        outcome.depth, end, until,
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def walked() -> Iterable[Outcome]:
    """Each plan, from the first world on."""
    for plan in PLANS:
        yield Walk(plan).run(states=LIMIT)


def page(outcomes: Sequence[Outcome]) -> str:
    """The table, with its date."""
    total = sum(outcome.states for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return f"""\
# The walks, recorded

Written by `python -m tests.protocol.walk.recorded` on {datetime.now(UTC):%Y-%m-%d}, with kopf_leader {__version__} and
Python {python_version()}: {total} worlds of {len(outcomes)} plans in {seconds:.0f} s of processor time, no law broken.

Where the frontier is *exhausted*, every interleaving was walked, however long it goes on. A larger walk was stopped
after {LIMIT} worlds; `python -m tests.protocol.walk --plan NAME` takes it further. In every run of the tests
`tests/protocol/test_walk.py` takes the same walks, the larger ones as far as {SHARE} worlds. *A leader within* is the
longest way to a leader, once the faults are over, from the worlds that were asked for it.

{HEAD}
{"|" + "---|" * (HEAD.count(" | ") + 1)}
{chr(10).join(map(row, outcomes))}
"""


if __name__ == "__main__":
    every: list[Outcome] = []
    for one in walked():
        every.append(one)
        print(row(one), flush=True)
    PAGE.write_text(page(every), encoding="utf-8")
    sys.exit(any(outcome.broken for outcome in every))
