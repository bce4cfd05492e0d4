"""`kopf-leader step-down`: let another candidate lead, whoever."""

from typing import Any

import click

from kopf_leader.cli.lease.asking import Request, led, pursue, taken
from kopf_leader.cli.lease.command import DONE, UNDONE, lease_options, wait_options
from kopf_leader.cli.lease.lookout import Standing
from kopf_leader.cli.lease.request import Changes
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import ANYBODY, TRANSFER_TO, Sight


@click.command("step-down")
@lease_options
@wait_options
def step_down(*, timeout: float, no_wait: bool, **where: Any) -> None:
    """Ask the leader by the Lease ID to let another candidate lead: it drains, releases, and comes back last.

    Exit status: 0 when another candidate leads; 1 when not (nobody led, it was alone, the time is up); 2 when there is
    no such Lease, no access, or the command is wrong.
    """

    def decide(sight: Sight) -> Changes:
        led(sight, where["lease_id"])
        return {TRANSFER_TO: ANYBODY}

    def outcome(before: Sight, standing: Standing) -> tuple[int, str] | None:
        if not taken(before, standing):
            return None
        holder = standing.record.holder
        if holder == before.record.holder:
            return UNDONE, f"{plain(holder)} leads again, in a new term: no other candidate took over."
        return DONE, f"{plain(holder)} leads."

    def said(before: Sight) -> str:
        return f"Asked {plain(before.record.holder)} to step down."

    request = Request(decide=decide, said=said, outcome=outcome, consumed=True)
    pursue(request, timeout=timeout, no_wait=no_wait, where=where)
