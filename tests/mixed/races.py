"""Many candidates of both kinds, and Leases that expire in the same moment."""

from __future__ import annotations

from kopf_leader.protocol.record import LeaseRecord, encode
from tests.mixed.fleet import LEASE, Fleet
from tests.mixed.fleet import LEASES as PATH

LEASES = tuple(f"race-{number}" for number in range(6))
# Ours waits for exactly the longer of the durations, and sees each change at once; client-go finds out with a poll. So
# that both come first at times, ours gets a longer duration from Lease to Lease.
STAGGER = 0.06


def play(fleet: Fleet) -> None:
    """A holder that is nobody renews each Lease once; who stands by takes it when that has expired."""
    _haunt(fleet, "2026-01-02T03:04:05.000000Z")
    for name in ("a", "b"):
        fleet.start("ours", name, f"--stagger={STAGGER}")
    for name in ("x", "y"):
        fleet.start("client-go", name, "--retry-period=200ms")
    for name in ("a", "b", "x", "y"):
        fleet.wait_standby(name)
    _haunt(fleet, "2026-01-02T03:04:07.000000Z")
    for lease in fleet.leases:
        fleet.wait_leader("a", "b", "x", "y", lease=lease)
    winners = [fleet.leader(lease) for lease in fleet.leases]
    mine = sum(fleet.kinds.get(winner) == "ours" for winner in winners)
    fleet.notes.append(f"ours took {mine} of them, client-go {len(winners) - mine}")


def _haunt(fleet: Fleet, renewed: str) -> None:
    spec = encode(
        LeaseRecord(holder="ghost_0", duration=LEASE, acquire_time=renewed, renew_time=renewed, transitions=1)
    )
    for lease in fleet.leases:
        fleet.control_plane.admin.patch(f"{PATH.format(fleet.namespace)}/{lease}", {"spec": spec})
