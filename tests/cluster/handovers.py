"""How long nobody led: what the Lease said while something happened, and when the next leader was at work."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kopf_leader.testing.facts import History, now
from tests.cluster.watch import Watch
from tests.controlplane.api import Api

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Sight:
    """What the Lease said from a moment on (nanoseconds of the clock of all facts)."""

    t: int
    pod: str
    """The holder's pod; empty when it was released."""


@dataclass
class Row:
    """One line of the table: a scenario, and what its handovers cost in seconds."""

    what: str
    vacant: list[float] = field(default_factory=list)
    """From the release, or from the fault where there was none, to the next holder."""
    idle: list[float] = field(default_factory=list)
    """From the same moment to the first handler of the next leader."""


class Timeline:
    """Who held a Lease when, as a watch saw it."""

    def __init__(self, api: Api, namespace: str, lease: str) -> None:
        self._lease = lease
        self._sights: list[Sight] = []
        self._lock = threading.Lock()
        self._watch = Watch(api, f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", self._see)

    def close(self) -> None:
        """Watch no more."""
        self._watch.close()

    def row(self, what: str, since: int, history: History) -> Row:
        """The handovers since then; see `row()`."""
        with self._lock:
            return row(what, since, [*self._sights], history)

    def _see(self, body: dict[str, Any], deleted: bool) -> None:
        if body["metadata"]["name"] != self._lease:
            return
        holder = "" if deleted else str((body.get("spec") or {}).get("holderIdentity") or "")
        sight = Sight(now(), holder.rpartition("_")[0])
        with self._lock:
            if not self._sights or self._sights[-1].pod != sight.pod:
                self._sights.append(sight)


def row(what: str, since: int, sights: Sequence[Sight], history: History) -> Row:
    """The handovers since then. Where nobody released, the fault at `since` is what ended the hold."""
    found = Row(what)
    before = [sight for sight in sights if sight.t <= since]
    holder, left = before[-1].pod if before else "", since
    for sight in sights[len(before) :]:
        if not sight.pod:
            left = sight.t
        elif sight.pod != holder:
            found.vacant.append((sight.t - left) / SECOND)
            found.idle.extend((start - left) / SECOND for start in _first_start(history, sight))
            holder, left = sight.pod, since
    return found


def _first_start(history: History, sight: Sight) -> list[int]:
    # The Lease is seen some milliseconds after it was written: a handler can be ahead of that.
    early = sight.t - SECOND // 2
    mine = [fact["t"] for fact in history.facts if fact["kind"] == "start" and fact["replica"] == sight.pod]
    return [start for start in [min((t for t in mine if t >= early), default=0)] if start]


def table(rows: Iterable[Row]) -> list[str]:
    """The rows as lines; where there were several handovers, the longest of each."""
    lines = [f"{'':<34}{'handovers':>10}{'no leader':>12}{'no handler':>12}"]
    for row in rows:
        vacant, idle = (f"{max(times):.2f} s" if times else "-" for times in (row.vacant, row.idle))
        lines.append(f"{row.what:<34}{len(row.vacant):>10}{vacant:>12}{idle:>12}")
    return lines
