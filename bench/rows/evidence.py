"""From SIGKILL to the next leader where the death is proved, with the default lease of 15 s.

Each leader is a container of its own, PID 1 in namespaces of its own, with a kubelet that looks at it once a second
from a moment of its own on and writes the pod's status. They are killed one after the other; another pod's process
stands by for all of them.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.ground import Ground
from bench.table import Line
from tests.e2e.container import possible
from tests.e2e.yard import Yard

SPACE = 0.3  # seconds between two deaths: one process stands by for all, and is to be busy with one at a time


def measure(ground: Ground) -> list[Line]:
    """Of another pod, by the kubelet's report; and of the same container, started anew."""
    if not possible():
        return [Line(what="takeover on proof of death", target="evidence", notes="needs namespaces, so root")]
    told = _another_pod(ground, ground.pick(20, 8))
    anew = _the_same_container(ground, ground.pick(5, 2))
    return [
        Line(
            what="SIGKILL → next leader, takeover=evidence", values=told, unit="s", target="evidence",
            notes="a kubelet's look once a second is part of it",
        ),
        Line(what="the same container, started anew", values=anew, unit="s", notes="with the start of Python"),
    ]  # fmt: skip


def _another_pod(ground: Ground, count: int) -> list[float]:
    with Yard(ground.control_plane, _folder(ground)) as yard:
        leases = [yard.lease(f"killed-{number}") for number in range(count)]
        leaders = [yard.start(f"leader-{lease}", lease) for lease in leases]
        for lease in leases:
            yard.leader(lease)
        standby = yard.start("standby", *leases)
        for lease in leases:
            yard.standing_by(lease, standby.name)
        for leader in leaders:
            leader.kill()
            time.sleep(SPACE)
        pairs = zip(leaders, leases, strict=True)
        return [(yard.leader(lease, since=leader.killed_at).t - leader.killed_at) / 1e9 for leader, lease in pairs]


def _the_same_container(ground: Ground, count: int) -> list[float]:
    taken = []
    with Yard(ground.control_plane, _folder(ground), pods=False) as yard:
        for number in range(count):
            lease = yard.lease(f"anew-{number}")
            leader = yard.start("leader", lease, restart=True)
            yard.leader(lease)
            leader.kill()
            taken.append((yard.leader(lease, since=leader.killed_at).t - leader.killed_at) / 1e9)
    return taken


def _folder(ground: Ground) -> Path:
    return Path(tempfile.mkdtemp(dir=ground.folder))
