"""The guard: what is measured by `make bench` is not far off what is stated. Ratios and counts only, never times.

Both sides of a ratio are measured in turns or at once, so that both see the same machine, and the medians of many are
compared. `Target.guard` is twice what is stated: what fails here has become another thing, and is no noise.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from bench.ground import Ground
from bench.rows import events, fencing, handover
from bench.rows.traffic import Fleet
from bench.targets import TARGETS, p50, quantile
from tests.controlplane.audit import AuditLog
from tests.fencing.site import Site

pytestmark = pytest.mark.xdist_group("real")
STEADY = 20.0  # seconds that are counted at least
ATTEMPTS = 3


class Counted:
    """A leader and a standby in steady state, and from where on they are counted."""

    def __init__(self, ground: Ground) -> None:
        self.fleet = Fleet(ground, "ours", 2)
        self._audit = AuditLog(ground.control_plane.audit_log.path)
        self.begin()

    def begin(self) -> None:
        """Count from here on."""
        self._skip = len(self._audit.requests())
        self.began = time.monotonic()

    def verbs(self) -> list[Counter[str]]:
        """What each of the two has asked for."""
        requests = self._audit.requests()[self._skip :]
        users = [self.fleet.troupe.user(f"replica-{number}") for number in range(2)]
        return [Counter(request.verb for request in requests if request.user == user) for user in users]


@pytest.fixture(scope="module", autouse=True)
def counted(ground: Ground) -> Iterator[Counted]:
    """It stands beside the other tests: so its minute costs nothing."""
    counted = Counted(ground)
    yield counted
    counted.fleet.troupe.__exit__()


def keep(name: str, values: Sequence[float], **parts: Sequence[float]) -> None:
    """Fail if the target is far off."""
    target = TARGETS[name]
    shown = "".join(f"; {part}: median {p50(series):.4g} of {len(series)}" for part, series in parts.items())
    found = f"{name}: {target.of(values):.4g}, to reach {target.words}, guarded at {target.guard():.3g}{shown}"
    print(found)
    assert not target.far_off(values), found


def test_a_handover_takes_little_more_than_the_api_server_does(ground: Ground) -> None:
    """Release → next leader, beside bare clients that do two writes and see one event.

    By the quicker quarter of each: ours has more processes to wake, which on a busy machine wait for one another.
    """
    ours, floor = handover.in_turns(ground, rounds=30)
    keep("handover", [quantile(ours, 25) / quantile(floor, 25)], ours=ours, floor=floor)


def test_the_gate_costs_little(ground: Ground) -> None:
    """Events a second of processor time, beside a kopf without the gate that sees the same events at the same time."""
    plain, gated = events.rates(ground, series=8, count=250)
    ratios = [with_gate / without for with_gate, without in zip(gated, plain, strict=True)]
    keep("events", ratios, plain=plain, gated=gated)


def test_fencing_costs_little(ground: Ground) -> None:
    """A write of the holder, with the policy and without."""
    site = Site(ground.control_plane)
    try:
        pod = site.pod("a")
        site.hold("a")
        pairs = fencing.in_turns(site, {"holder": pod}, turns=6, writes=60)["holder"]
    finally:
        site.clear()
    fenced, bare = zip(*pairs, strict=True)
    keep("fenced", [one / other for one, other in pairs], fenced=fenced, bare=bare)


def test_a_standby_asks_for_nothing(counted: Counted) -> None:
    """It has its watch, and at most opens it once more; the leader renews, and does nothing else (by the audit log).

    Counted anew where a machine was so busy that the Lease changed hands: what polls does so in each count.
    """
    for _ in range(ATTEMPTS):
        time.sleep(max(0.0, counted.began + STEADY - time.monotonic()))
        minutes = (time.monotonic() - counted.began) / 60
        standby, leader = sorted(counted.verbs(), key=Counter.total)
        if standby.keys() <= {"watch"} and leader.keys() <= {"watch", "update"}:
            break
        counted.begin()
    assert standby.keys() <= {"watch"}, standby
    assert standby.total() <= max(1, TARGETS["standby's requests"].guard() * minutes), standby
    keep("leader's requests", [leader.total() / minutes])
