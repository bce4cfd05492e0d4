"""What the election adds to the start of `kopf run`: to its start-up handler, and to its first event.

The same operator on one object that was handled before, by `kopf run`, by `kopf-leader run` and by `kopf run` with
`kopf_leader.auto`, in turns. The Lease is free: acquiring it is included in the second figure. Beside the time that
passes stands the process' own time on a processor, which hardly depends on what else runs.
"""

from __future__ import annotations

from bench import logs
from bench.ground import ROOT, Ground
from bench.operators import LEASE, Operators, create_handled
from bench.table import Line

HANDLERS = ROOT / "bench" / "handlers" / "started.py"
WAYS = ("kopf run", "kopf-leader run", "kopf run, kopf_leader.auto")
MOMENTS = {"seen": "its first event", "started": "its start-up handler"}


def measure(ground: Ground) -> list[Line]:
    """Rounds of the three, compared round by round."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with Operators(ground, handlers=HANDLERS) as operators:
        create_handled(operators, 1)
        for _ in range(ground.pick(25, 7) + 1):
            for way in WAYS:
                found[way].append(_start(ground, operators, way))
    lines = []
    for moment, words in MOMENTS.items():
        for way in WAYS[1:]:
            passed, computed = (_added(found, way, what) for what in (moment, f"{moment}-processor"))
            what = f"`{way}` adds, until {words}"
            lines.append(Line(what=what, values=passed, target="start-up"))
            lines.append(Line(what=f"{what}: processor time", values=computed, target="start-up"))
        alone = [one[moment] for one in found["kopf run"][1:]]
        lines.append(Line(what=f"`kopf run` alone, until {words}", values=alone))
    return lines


def _added(found: dict[str, list[dict[str, float]]], way: str, what: str) -> list[float]:
    """Round by round; the first one has read the programs from disk."""
    return [mine[what] - plain[what] for mine, plain in zip(found[way][1:], found["kopf run"][1:], strict=True)]


def _start(ground: Ground, operators: Operators, way: str) -> dict[str, float]:
    """Milliseconds from the start of the process."""
    log = ground.folder / f"{operators.namespace}-started"
    environment = {"LOG": str(log)}
    if way.endswith("auto"):
        environment |= {
            "KOPF_RUN_MODULES": "kopf_leader.auto",
            "KOPF_RUN_LEADER_ELECTION_ID": LEASE,
            "KOPF_RUN_LEADER_ELECTION_NAMESPACE": operators.namespace,
        }
    replica = operators.start(plain=way == "kopf run", stock=way.startswith("kopf run"), environment=environment)
    taken: dict[str, float] = {}
    for moment in MOMENTS:
        taken[moment] = (logs.wait(log, replica, moment) - operators.began[replica.pid]) / 1e6
        taken[f"{moment}-processor"] = logs.wait(log, replica, f"{moment}-processor") / 1e6
    replica.stop()
    replica.wait()
    return taken
