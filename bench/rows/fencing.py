"""Row 9: what fencing costs. A write with the fence and without, in turns; and how long a new holder is refused."""

from __future__ import annotations

import json
import ssl
import statistics
import threading
import time
from dataclasses import replace
from http.client import HTTPSConnection
from urllib.parse import urlsplit

from bench.ground import Ground
from bench.rows import fenced
from bench.table import Line
from tests.controlplane.api import MERGE_PATCH, Api
from tests.fencing.site import Site

WRITES = 200


class Writer:
    """One connection that stays open, so that a write is a write and no handshake."""

    def __init__(self, site: Site, api: Api) -> None:
        parts = urlsplit(api.url)
        context = ssl.create_default_context(cafile=str(api.ca_file))
        self._connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)
        self._headers = {"Authorization": f"Bearer {api.token}", "Content-Type": MERGE_PATCH}
        self._path = f"{site.maps}/probe"
        self._count = 0

    def write(self) -> int:
        """Change the ConfigMap; the status."""
        self._count += 1
        body = json.dumps({"data": {"count": str(self._count)}})
        self._connection.request("PATCH", self._path, body, self._headers)
        response = self._connection.getresponse()
        response.read()
        return response.status

    def median(self) -> float:
        """Milliseconds, of some writes that are accepted."""
        taken = []
        for _ in range(WRITES):
            start = time.perf_counter()
            assert self.write() == 200
            taken.append((time.perf_counter() - start) * 1000)
        return statistics.median(taken)


def measure(ground: Ground) -> list[Line]:
    """Both, on one site."""
    site = Site(ground.control_plane)
    try:
        a, b = site.pod("a"), site.pod("b")
        site.hold("a")
        site.fence()
        site.until_allowed(a)
        lines = [*_ratios(ground, site, a), *_changes(ground, site, a, b)]
        url = ground.control_plane.start_second()
        elsewhere = _changes(ground, site, replace(a, url=url), replace(b, url=url))
        lines += [replace(line, what=f"{line.what}, by another API server", target="") for line in elsewhere]
        ground.control_plane.kill("second")
        site.hold("")
        return [*lines, *fenced.measure(ground, site)]
    finally:
        site.clear()


def _ratios(ground: Ground, site: Site, holder: Api) -> list[Line]:
    writers = {"holder": Writer(site, holder), "others": Writer(site, site.admin)}
    pairs: dict[str, list[tuple[float, float]]] = {who: [] for who in writers}
    for turn in range(ground.pick(10, 4) + 1):
        site.fence()
        with_fence = {who: writer.median() for who, writer in writers.items()}
        site.unfence()
        for who, writer in writers.items():
            if turn:  # the first one warms up
                pairs[who].append((with_fence[who], writer.median()))
    site.fence()
    lines = []
    for who, what in (("holder", "a write of the holder, with fencing / without"), ("others", "one of somebody else")):
        ratios = [fenced / bare for fenced, bare in pairs[who]]
        fenced, bare = (statistics.median(column) for column in zip(*pairs[who], strict=True))
        notes = f"each value of two medians of {WRITES} writes, in turns; {fenced:.2f} ms with, {bare:.2f} ms without"
        target = "≤ 1.5 ×" if who == "holder" else ""
        reached = statistics.median(ratios) <= 1.5 if target else None
        lines.append(Line(what=what, values=ratios, unit="×", target=target, reached=reached, notes=notes))
    return lines


def _changes(ground: Ground, site: Site, *pods: Api) -> list[Line]:
    writers = {"a": Writer(site, pods[0]), "b": Writer(site, pods[1])}
    accepted, refused, first, slipped = [], [], 0, 0
    holder = "a"
    site.until_allowed(pods[0])
    for _ in range(ground.pick(100, 30)):
        old, holder = holder, "b" if holder == "a" else "a"
        site.hold(holder)
        start = time.perf_counter()
        times: dict[str, float] = {}
        counts: dict[str, int] = {}

        def race(who: str, status: int, *, since: float, times: dict[str, float], counts: dict[str, int]) -> None:
            counts[who] = 0
            while writers[who].write() != status:
                counts[who] += 1
            times[who] = (time.perf_counter() - since) * 1000

        threads = [
            threading.Thread(target=race, args=args, kwargs={"since": start, "times": times, "counts": counts})
            for args in ((old, 403), (holder, 200))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted.append(times[holder])
        refused.append(times[old])
        first += not counts[holder]
        slipped += counts[old]
    return [
        Line(
            what="a new holder's first accepted write",
            values=accepted,
            target="p95 ≤ 50 ms",
            reached=sorted(accepted)[int(len(accepted) * 0.95)] <= 50,
            notes=f"after the answer to the write that moved the Lease; the very first was accepted {first} times",
        ),
        Line(
            what="the old holder's first refused write", values=refused, notes=f"{slipped} writes in all came through"
        ),
    ]
