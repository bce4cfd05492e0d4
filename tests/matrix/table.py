"""What was observed, as a page."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import kopf_leader
from tests.controlplane.binaries import pinned
from tests.e2e.stage import LEASE, RENEW, RETRY, ROOT
from tests.matrix.engine import Observation
from tests.matrix.scene import Noise

PAGE = ROOT / "docs" / "fault-matrix.md"
HEADINGS = ("fault", "overlap", "longest pause", "lost", "twice", "cut, repeated", "ERROR lines", "ended", "what else")


def page(results: Mapping[str, Sequence[Observation]]) -> str:
    """The whole page, in Markdown; ``results`` by group."""
    every = [one for group in results.values() for one in group]
    broken = [one for one in every if one.broken()]
    verdict = f"In {len(every) - len(broken)} of {len(every)} rows everything promised was kept."
    parts = [_head(), verdict, *(f"- **{one.row.fault}**: {'; '.join(one.broken()).splitlines()[0]}" for one in broken)]
    for title, observations in results.items():
        parts += ["", f"## {title}", "", _line(HEADINGS), _line(["---"] * len(HEADINGS)), *map(_row, observations)]
    reasons = _reasons(every)
    parts += ["", "## What is excused, and why", "", *reasons] if reasons else []
    return "\n".join(parts) + "\n"


def _head() -> str:
    return f"""# Faults, and what came of them

Written by `make matrix`: {place()}.

Each row: replicas of [an ordinary operator](../tests/e2e/operator/handlers.py) as processes on a real kube-apiserver
and etcd, two of them unless the fault needs more, with leases of {LEASE} s (renew deadline {RENEW} s, retry period
{RETRY} s; the defaults are 15, 10 and 2 s), under load: an object every quarter of a second, each with a daemon. How
each fault is injected: `tests/matrix/faults`; what it shows: `tests/matrix/rows.py`. The judge:
`kopf_leader/testing/history.py`, from what the handlers wrote themselves.

- *overlap*: handlers of two processes at once. *exempt*: what a process ran on after it was frozen, until it had looked
  at the clock.
- *longest pause*: the longest time in which no handler began anywhere, from the fault on. It holds the time without a
  leader, and on a busy machine more; the bound is one lease duration and a half after the end of the fault.
- *lost*: changes never handled to the end. *twice*: changes handled to the end more than once. *cut, repeated*:
  handlers that were cut off, and run again.
- *ERROR lines*: in each replica's log, kopf's and those of kopf_leader (*ours*); tracebacks after a `+`.
- *ended*: replicas that ended by the fault, with their status (negative: the signal).
"""


def place() -> str:
    """When, with what, where."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("kopf", "aiohttp"))
    return (
        f"{dt.date.today()}: kopf-leader {kopf_leader.__version__}, {versions}, "  # noqa: DTZ011 - a person's date
        f"Python {platform.python_version()}, kube-apiserver {pinned('k8s.io/kubernetes')}, "
        f"etcd {pinned('go.etcd.io/etcd/server/v3')}, {platform.system()}, {os.cpu_count()} cores, "
        f"load at the end {os.getloadavg()[0]:.1f}"
    )


def _row(one: Observation) -> str:
    verdict = one.verdict
    overlap = (
        f"{len(verdict.overlaps)}, at most {max(o.seconds for o in verdict.overlaps):.2f} s"
        if verdict.overlaps
        else "none"
    )
    if verdict.exempted:
        overlap += f" ({verdict.exempted_seconds * 1000:.0f} ms exempt)"
    noise = [_noise(name, noise) for name, noise in one.noise.items() if noise.errors or noise.tracebacks]
    ended = ", ".join(f"{name} {status}" for name, status in one.ended.items())
    cells = (
        one.row.fault,
        overlap,
        f"{one.pause:.1f} s",
        str(len(verdict.lost)),
        str(len(verdict.twice)),
        str(verdict.repeats),
        ", ".join(noise) or "none",
        ended,
        f"{one.note} **NOT KEPT**" if one.broken() else one.note,
    )
    return _line(cells)


def _noise(name: str, noise: Noise) -> str:
    whose = "" if not noise.ours else " (ours)" if noise.ours == noise.errors else f" ({noise.ours} ours)"
    return f"{name} {noise.errors}{whose}{f' +{noise.tracebacks}' if noise.tracebacks else ''}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _reasons(every: Sequence[Observation]) -> list[str]:
    """What was seen and is excused."""
    lines = [
        f"- Overlap, {one.row.fault}: {one.row.overlap}." for one in every if one.verdict.overlaps and one.row.overlap
    ]
    loud = [one for one in every if one.row.noise and any(noise.tracebacks for noise in one.noise.values())]
    return lines + [f"- Tracebacks, {one.row.fault}: {one.row.noise}." for one in loud]


def write(results: Mapping[str, Sequence[Observation]], path: Path = PAGE) -> None:
    """The page, where it belongs."""
    path.write_text(page(results))
