"""Requests per minute in steady state, as the API server's audit log counts them, a user per replica.

A leader and standbys: ours with 1, 4 and 19 of them, and a pair of every other kind.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from bench.candidates import ELECTORS, OTHER_CLIENTS, Kind, Troupe, peers, title
from bench.ground import Ground
from bench.rows.herd import all_there
from bench.table import Line
from kopf_leader.clients.direct import WATCH_SECONDS
from tests.controlplane.audit import AuditLog, Request

FLEETS = (2, 5, 20)
COUNTED = 2 * WATCH_SECONDS  # seconds; a share of a watch is no request
SETTLE = 5.0  # seconds: the opening reads and watches are over


class Fleet:
    """A leader and its standbys, each counted by itself."""

    def __init__(self, ground: Ground, kind: Kind, size: int) -> None:
        self.kind = kind
        self.size = size
        namespace = ground.control_plane.namespace("bench")
        (lease,) = ground.leases(namespace, "counted", 1)
        self.troupe = Troupe(ground, kind, namespace, [f"replica-{number}" for number in range(size)])
        leader, *standbys = self.troupe.candidates
        leader.stand(lease)
        self.troupe.wait_for_leader(lease)
        for standby in standbys:
            standby.stand(lease)
        all_there(self.troupe, AuditLog(ground.control_plane.audit_log.path))

    def rates(self, requests: list[Request], minutes: float) -> tuple[float, list[float], str, str]:
        """Of the leader, of each standby, a minute; and both in words."""
        users = [self.troupe.user(f"replica-{number}") for number in range(self.size)]
        counts: dict[str, Counter[str]] = {user: Counter() for user in users}
        for request in requests:
            if request.user in counts:
                counts[request.user][request.verb] += 1
        leader, *standbys = (counts[user] for user in users)
        rates = [sum(count.values()) / minutes for count in standbys]
        return sum(leader.values()) / minutes, rates, _words(leader), _words(sum(standbys, Counter()))


def measure(ground: Ground, settled: threading.Event) -> list[Line]:
    """Count for as long as two watches last; for a minute when short."""
    wanted: list[tuple[Kind, int]] = [("ours", size) for size in FLEETS]
    wanted += [(kind, 2) for kind in (*OTHER_CLIENTS, *peers(ground), *ELECTORS)]
    fleets: list[Fleet] = []
    try:
        with ThreadPoolExecutor(3) as pool:
            for fleet in pool.map(lambda pair: Fleet(ground, *pair), wanted):
                fleets.append(fleet)  # noqa: PERF402 (those before one that fails are to be closed)
        settled.set()
        time.sleep(SETTLE)
        counted, minutes = count(ground, seconds=ground.pick(COUNTED, 60))
        return [line for fleet in fleets for line in _lines(fleet, counted, minutes)] + _growth(
            fleets[: len(FLEETS)], counted, minutes
        )
    finally:
        for fleet in fleets:
            fleet.troupe.__exit__()


def count(ground: Ground, *, seconds: float) -> tuple[list[Request], float]:
    """The requests of so many seconds, and how many minutes these became."""
    audit = AuditLog(ground.control_plane.audit_log.path)  # a reader of our own: it is not for several threads
    skip, began = len(audit.requests()), time.monotonic()
    time.sleep(seconds)
    minutes = (time.monotonic() - began) / 60
    # The log is written a moment later; what comes in that moment is less than one request in a hundred.
    return audit.requests()[skip:], minutes


def _lines(fleet: Fleet, requests: list[Request], minutes: float) -> list[Line]:
    leader, standbys, leading, standing = fleet.rates(requests, minutes)
    ours = fleet.kind == "ours"
    where, plot = f"{title(fleet.kind)}, {fleet.size} replicas", f"{title(fleet.kind)}, {fleet.size}"
    notes = f"in {minutes:.1f} min"
    if fleet.kind.startswith("ours") and minutes * 60 < WATCH_SECONDS:
        notes += f"; too short for the new watch every {WATCH_SECONDS / 60:g} min"
    return [
        Line(
            what=f"requests of a standby, {where}",
            values=standbys,
            unit="/min",
            target="standby's requests" if ours else "",
            notes=f"{standing} {notes}",
            plot=f"requests: standby: {plot}",
        ),
        Line(
            what=f"requests of the leader, {where}",
            values=[leader],
            unit="/min",
            target="leader's requests" if ours else "",
            notes=f"{leading} {notes}",
            plot=f"requests: leader: {plot}",
        ),
    ]


def _growth(fleets: list[Fleet], requests: list[Request], minutes: float) -> list[Line]:
    """What the standbys of the largest fleet ask for beside their watches."""
    users = {fleet.troupe.user(f"replica-{number}") for fleet in fleets for number in range(1, fleet.size)}
    others = [request.verb for request in requests if request.user in users and request.verb != "watch"]
    return [
        Line(
            what="requests of all those standbys that are no watch",
            values=[float(len(others))],
            unit="",
            target="each standby more",
            notes=f"{len(users)} standbys, {_words(Counter(others))} in {minutes:.1f} min",
        )
    ]


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {verb}" for verb, number in sorted(counts.items())) or "none"
