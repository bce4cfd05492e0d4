"""Row 1: from the release to the next leader's acquiring write.

Three processes each. `release` is stamped just before the PUT with an empty holder is sent, `acquired` when the answer
to the successor's PUT is there. After each round the one that has resigned stands again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.candidates import Kind, Troupe
from bench.ground import Ground
from bench.rows.floor import floor
from bench.table import Line, p50, p95
from tests.clientgo import build as golang

NAMES = ["a", "b", "c"]


def measure(ground: Ground) -> list[Line]:
    """Ours one round after the other; client-go's rounds, seconds long, on many Leases beside it."""
    lines = []
    with ThreadPoolExecutor() as pool:
        leases = ground.pick(16, 10)
        others = pool.submit(_client_go, ground, leases=leases, rounds=ground.pick(5, 2))
        times = _ours(ground, rounds=ground.pick(100, 30))
        lines.append(
            Line(
                what="release → next leader's acquiring write accepted",
                values=times,
                target="p50 ≤ 30 ms, p95 ≤ 100 ms",
                reached=p50(times) <= 30 and p95(times) <= 100,
                notes="3 processes",
            )
        )
        if ground.clientgo is not None:
            theirs = others.result()
            ratio = f"3 processes; p50 is {p50(theirs) / p50(times):.0f} times ours"
            lines.append(Line(what=f"client-go {golang.version()}, same run", values=theirs, notes=ratio))
    bare = floor(ground, rounds=ground.pick(100, 30))
    lines.append(
        Line(
            what="the floor: bare aiohttp, one process",
            values=bare,
            notes=f"ours is {p50(times) / p50(bare):.1f} times",
        )
    )
    return lines


def _ours(ground: Ground, *, rounds: int) -> list[float]:
    namespace = ground.control_plane.namespace("bench")
    (lease,) = ground.leases(namespace, "ours", 1)
    with Troupe(ground, "ours", namespace, NAMES) as troupe:
        return _rounds(troupe, lease, rounds, lambda: random.uniform(0.2, 0.4))


def _client_go(ground: Ground, *, leases: int, rounds: int) -> list[float]:
    if ground.clientgo is None:
        return []
    namespace = ground.control_plane.namespace("bench")
    names = ground.leases(namespace, "theirs", leases)
    kind: Kind = "client-go"
    with Troupe(ground, kind, namespace, NAMES) as troupe, ThreadPoolExecutor(leases) as pool:
        # Two poll intervals and more, so that the release finds the standbys at no particular point of theirs.
        results = pool.map(lambda name: _rounds(troupe, name, rounds, lambda: random.uniform(4.4, 8.8)), names)
        return [value for values in results for value in values]


def _rounds(troupe: Troupe, lease: str, rounds: int, pause: Callable[[], float]) -> list[float]:
    for candidate in troupe.candidates:
        candidate.stand(lease)
    leader = troupe.wait_for_leader(lease).by
    times = []
    for _ in range(rounds):
        time.sleep(pause())
        mark = troupe.mark(lease)
        troupe[leader].resign(lease)
        resigned = leader
        released = troupe.wait_for(
            lease, lambda fact: fact.kind == "sent" and fact.holder == "", since=mark, what="a release"
        )
        acquired = troupe.wait_for_leader(lease, since=mark, other_than=resigned)
        times.append((acquired.t - released.t) / 1e6)
        leader = acquired.by
        troupe[resigned].stand(lease)
    return times
