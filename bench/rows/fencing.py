"""What fencing costs. A write with the fence and without, in turns; and how long a new holder is refused."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from dataclasses import replace

from bench.connection import Connection
from bench.ground import Ground
from bench.rows import fenced
from bench.table import Line
from tests.controlplane.api import Api
from tests.fencing.site import Site

WRITES = 200


class Writer(Connection):
    """Changes one ConfigMap."""

    def __init__(self, site: Site, api: Api) -> None:
        super().__init__(api)
        self._path = f"{site.maps}/probe"
        self._count = 0

    def write(self) -> int:
        """Change it; the status."""
        self._count += 1
        return self.attempt("PATCH", self._path, {"data": {"count": str(self._count)}})

    def median(self, writes: int) -> float:
        """Milliseconds, of some writes that are accepted."""
        taken = []
        for _ in range(writes):
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
    pairs = in_turns(site, {"holder": holder, "others": site.admin}, turns=ground.pick(10, 4), writes=WRITES)
    lines = []
    for who, what in (("holder", "a write of the holder, with fencing / without"), ("others", "one of somebody else")):
        ratios = [with_fence / bare for with_fence, bare in pairs[who]]
        with_fence, bare = (statistics.median(column) for column in zip(*pairs[who], strict=True))
        notes = (
            f"each value of two medians of {WRITES} writes, in turns; {with_fence:.2f} ms with, {bare:.2f} ms without"
        )
        target = "fenced" if who == "holder" else ""
        lines.append(Line(what=what, values=ratios, unit="×", target=target, notes=notes))
    return lines


def in_turns(site: Site, apis: dict[str, Api], *, turns: int, writes: int) -> dict[str, list[tuple[float, float]]]:
    """Medians in milliseconds, with the fence and without, turn by turn."""
    pairs: dict[str, list[tuple[float, float]]] = {who: [] for who in apis}
    with contextlib.ExitStack() as stack:
        writers = {who: stack.enter_context(Writer(site, api)) for who, api in apis.items()}
        for turn in range(turns + 1):
            site.fence()
            for api in apis.values():
                site.until_allowed(api)
            with_fence = {who: writer.median(writes) for who, writer in writers.items()}
            site.unfence()
            for who, writer in writers.items():
                if turn:  # the first one warms up
                    pairs[who].append((with_fence[who], writer.median(writes)))
        site.fence()
    return pairs


def _changes(ground: Ground, site: Site, *pods: Api) -> list[Line]:
    with Writer(site, pods[0]) as a, Writer(site, pods[1]) as b:
        return _race(ground, site, pods[0], {"a": a, "b": b})


def _race(ground: Ground, site: Site, first_holder: Api, writers: dict[str, Writer]) -> list[Line]:
    accepted, refused, first, slipped = [], [], 0, 0
    holder = "a"
    site.until_allowed(first_holder)
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
            target="fenced, new holder",
            notes=f"after the answer to the write that moved the Lease; the very first was accepted {first} times",
        ),
        Line(
            what="the old holder's first refused write", values=refused, notes=f"{slipped} writes in all came through"
        ),
    ]
