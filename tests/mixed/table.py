"""What was observed, as a page."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections import Counter
from collections.abc import Sequence

import kopf_leader
from tests.controlplane.binaries import pinned
from tests.mixed import programs
from tests.mixed.engine import Outcome
from tests.mixed.fleet import LEASE, RENEW, RETRY
from tests.mixed.judge import Judgement
from tests.mixed.programs import ROOT
from tests.mixed.scenarios import OTHERS

PAGE = ROOT / "docs" / "mixed-fleets.md"
HEADINGS = ("what happens", "who led", "nobody at work", "two at work", "whose fault", "what else")


def page(outcomes: Sequence[Outcome]) -> str:
    """The whole page, in Markdown."""
    mine = sum(len(one.faults(ours=True)) for one in outcomes)
    verdict = f"Overlaps that were the fault of kopf_leader: {mine}, in {len(outcomes)} scenarios."
    rows = [_line(HEADINGS), _line(["---"] * len(HEADINGS)), *map(_row, outcomes)]
    known: dict[str, list[str]] = {}
    for one in outcomes:
        known.setdefault(one.scenario.theirs, []).append(f"*{one.scenario.happens}*")
    reasons = [f"- {'; '.join(happens)}: {reason}" for reason, happens in known.items() if reason]
    return "\n".join([_head(), verdict, "", *rows, "", _NOTES, *reasons, "", _ADVICE])


def _head() -> str:
    versions = ", ".join(f"{kind} {programs.version(kind)}" for kind in OTHERS)
    place = f"{os.cpu_count()} cores, {platform.system()} {platform.release()}"
    return f"""# Mixed fleets

Candidates of kopf_leader and of others compete for one Lease. Written by `python -m tests.mixed` on
{dt.datetime.now(dt.UTC):%Y-%m-%d}: kopf-leader {kopf_leader.__version__}, {versions};
kube-apiserver {pinned("k8s.io/kubernetes")}; {place};
leases of {LEASE} s, renew deadline {RENEW} s, retry period {RETRY} s (the defaults are 15, 10 and 2 s).
"""


_NOTES = """Each candidate is a process that writes down when its work starts and ends; the work ends as soon as its library says
so. The history checker (`kopf_leader/testing/history.py`) finds what overlaps. Whose fault it is the Lease says, watched
version by version: the fault of the one who had given it up, or had not renewed it for a lease duration; otherwise of the
one who took what was not free. What ours runs on after waking, until it has looked at its clock, is exempt for one second
at most, and shown. `a` and `b` are ours.

## What the others do

R1 to R7 are the numbers of [`tests/README.md`](../tests/README.md).
"""  # noqa: E501 (a line of the page)

_ADVICE = """## What follows

- A mixed fleet is as safe as its other candidates are: they may go on beside ours, as above.
- Give all candidates of a Lease the same durations: `kubernetes` and `kubernetes_asyncio` wait for their own lease
  duration, not for the one that the Lease says.
- Neither of these two counts `leaseTransitions`, and neither ever releases: their successor waits for a lease duration.
- What R1 empties looks like a release: whoever stands by may begin at once, while the leader, if it is ours, sees it
  and has a second at most to end its work.
- With client-go, end the work before its context is cancelled, as controller-runtime does, and end the process when the
  lease is lost.
"""


def _row(outcome: Outcome) -> str:
    judgements = outcome.judgements
    blamed = Counter(fault.kind for fault in outcome.faults(ours=True) + outcome.faults(ours=False))
    longest = max((fault.overlap.seconds for one in judgements for fault in one.faults), default=0.0)
    exempt = max((one.exempt for one in judgements), default=0.0)
    notes = [*outcome.notes, *([f"ours ran on for {exempt * 1000:.0f} ms after waking"] if exempt else [])]
    return _line(
        [
            outcome.scenario.happens,
            "; ".join(map(_leaders, judgements)) if len(judgements) <= 3 else f"{len(judgements)} Leases",
            _pauses(judgements),
            f"{longest:.1f} s" if longest >= 0.1 else f"{longest * 1000:.0f} ms" if longest else "never",
            ", ".join(blamed),
            "; ".join(notes),
        ]
    )


def _leaders(judgement: Judgement) -> str:
    return " → ".join(f"{name} ({judgement.kinds[name]})" if len(name) == 1 else name for name in judgement.leaders)


def _pauses(judgements: Sequence[Judgement]) -> str:
    pauses = [handover.seconds for one in judgements for handover in one.verdict.handovers if handover.seconds > 0]
    return ", ".join(f"{seconds:.2f} s" for seconds in pauses) if len(pauses) <= 4 else f"{max(pauses):.2f} s at most"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
