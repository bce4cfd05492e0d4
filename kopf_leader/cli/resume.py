"""`kopf-leader resume`: the end of a hold; and what was asked for and not obeyed is withdrawn."""

from typing import Any

import click

from kopf_leader.cli.lease.asking import Request, pursue, taken
from kopf_leader.cli.lease.command import DONE, lease_options, wait_options
from kopf_leader.cli.lease.lookout import Standing
from kopf_leader.cli.lease.request import Changes, Settled
from kopf_leader.cli.lease.show import reason
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import HOLD, TRANSFER_TO, Sight


@click.command()
@lease_options
@wait_options
def resume(*, timeout: float, no_wait: bool, **where: Any) -> None:
    """End the hold on the Lease ID, so that a candidate leads again; withdraw a transfer that nobody has obeyed.

    Exit status: 0 when somebody leads, or nothing was on hold; 1 when nobody does in time; 2 when there is no such
    Lease, no access, or the command is wrong.
    """
    written: list[bool] = []

    def decide(sight: Sight) -> Changes:
        if sight.asks.hold is None and not sight.asks.transfer_to and not written:
            raise Settled(DONE, f"There is no hold on the Lease {where['lease_id']}: nothing to resume.")
        written[:] = [True]
        return {HOLD: None, TRANSFER_TO: None}

    def said(before: Sight) -> str:
        if before.asks.hold is not None:
            return f"The hold is ended ({reason(before.asks.hold)})."
        return "The transfer is withdrawn."

    def outcome(before: Sight, standing: Standing) -> tuple[int, str] | None:
        if standing.leads and (standing.proven or taken(before, standing)):
            return DONE, f"{plain(standing.record.holder)} leads."
        return None

    pursue(Request(decide=decide, said=said, outcome=outcome), timeout=timeout, no_wait=no_wait, where=where)
