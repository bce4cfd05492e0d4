"""From the release to the next leader's acquiring write: ours in each client, client-go, and the floor beneath.

Three processes of each kind. `release` is stamped just before the PUT with an empty holder is sent, `acquired` when the
answer to the successor's PUT is there; both are told after that. After each round the one that has resigned stands
again. Ours, with each client, and the floor take turns, so that both see the same machine. client-go's rounds, seconds
long, are on many Leases at once, when nothing else is measured. In these rounds a successor has an open connection, as
it has read or written a short time ago. After a minute of silence it has none: that is measured by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.candidates import OTHER_CLIENTS, Kind, Troupe, peers, title
from bench.ground import Ground
from bench.rows.floor import PAUSE, Floor
from bench.table import Line
from bench.targets import p50
from kopf_leader.clients.pools import KEEPALIVE

NAMES = ["a", "b", "c"]
SILENCE = KEEPALIVE + 5  # seconds
TURN = 10  # rounds of the floor, and then of ours


def measure(ground: Ground) -> list[Line]:
    """Each kind; the ratios are what is to be reached."""
    rounds = ground.pick(100, 30)
    times, bare = in_turns(ground, rounds=rounds)
    lines = [
        Line(
            what="release → next leader, as a multiple of the floor",
            values=[p50(times) / p50(bare)],
            unit="×",
            target="handover",
            notes="the medians' ratio",
        ),
        Line(what="ours", values=times, plot="handover: ours"),
        Line(what="the floor: bare aiohttp, two writes and one event", values=bare, plot="handover: the floor"),
    ]
    lines.append(_after_silence(ground))
    for kind in OTHER_CLIENTS:
        other, beneath = in_turns(ground, rounds=ground.pick(50, 20), kind=kind)
        notes = f"{p50(other) / p50(beneath):.1f} times the floor in turns with it"
        lines.append(Line(what=title(kind), values=other, notes=notes, plot=f"handover: {title(kind)}"))
    for kind in peers(ground):
        values = _at_once(ground, kind)
        ratio = p50(values) / p50(times)
        lines += [
            Line(what=f"faster than {title(kind)}", values=[ratio], unit="×", target="handover, client-go"),
            Line(what=title(kind), values=values, plot=f"handover: {title(kind)}"),
        ]
    lines.append(Line(what="the electors of the kubernetes library", notes="release nothing: as after SIGKILL, below"))
    return lines


def in_turns(ground: Ground, *, rounds: int, kind: Kind = "ours") -> tuple[list[float], list[float]]:
    """Milliseconds of ours and of the floor, some rounds of each in turns."""
    namespace = ground.control_plane.namespace("bench")
    (lease,) = ground.leases(namespace, "ours", 1)
    times: list[float] = []
    floor: list[float] = []
    beneath = Floor(ground)
    with Troupe(ground, kind, namespace, NAMES) as troupe:
        leader = begin(troupe, lease)
        for _ in range(max(rounds // TURN, 1)):
            floor += asyncio.run(beneath.measure(rounds=TURN))
            more, leader = rounds_of(troupe, lease, TURN, lambda: random.uniform(*PAUSE), leader)
            times += more
    return times, floor


def _after_silence(ground: Ground) -> Line:
    """Where the successor has nothing to write on; several groups of three, each of which rests for long."""
    times: list[float] = []
    with contextlib.ExitStack() as stack:
        groups = []
        for _ in range(ground.pick(10, 6)):
            namespace = ground.control_plane.namespace("bench")
            (lease,) = ground.leases(namespace, "silent", 1)
            groups.append((stack.enter_context(Troupe(ground, "ours", namespace, NAMES)), lease))
        leaders = [begin(troupe, lease) for troupe, lease in groups]
        for _ in range(ground.pick(3, 1)):
            time.sleep(SILENCE)
            for number, (troupe, lease) in enumerate(groups):
                (taken,), leaders[number] = rounds_of(troupe, lease, 1, lambda: 0.3, leaders[number])
                times.append(taken)
    bare = asyncio.run(Floor(ground).measure(rounds=ground.pick(30, 10), anew=True))
    return Line(
        what="ours, after a minute of silence",
        values=times,
        notes=f"the successor opens a connection first; {p50(times) / p50(bare):.1f} times a floor that does so, too",
        plot="handover: ours, after a minute of silence",
    )


def _at_once(ground: Ground, kind: Kind) -> list[float]:
    namespace = ground.control_plane.namespace("bench")
    leases, rounds = ground.pick(16, 10), ground.pick(5, 2)
    names = ground.leases(namespace, "theirs", leases)
    with Troupe(ground, kind, namespace, NAMES) as troupe, ThreadPoolExecutor(leases) as pool:

        def one(lease: str) -> list[float]:
            # Two poll intervals and more, so that the release finds the standbys at no particular point of theirs.
            return rounds_of(troupe, lease, rounds, lambda: random.uniform(4.4, 8.8), begin(troupe, lease))[0]

        return [value for values in pool.map(one, names) for value in values]


def begin(troupe: Troupe, lease: str) -> str:
    """Let all stand; who leads."""
    for candidate in troupe.candidates:
        candidate.stand(lease)
    return troupe.wait_for_leader(lease).by


def rounds_of(
    troupe: Troupe, lease: str, rounds: int, pause: Callable[[], float], leader: str
) -> tuple[list[float], str]:
    """Milliseconds of each round, and who leads in the end."""
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
    return times, leader
