"""`kopf-leader hold`: nobody leads, until `kopf-leader resume`."""

from typing import Any

import click

from kopf_leader.cli.lease.asking import Request, pursue
from kopf_leader.cli.lease.command import DONE, UNDONE, lease_options, wait_options
from kopf_leader.cli.lease.lookout import Standing
from kopf_leader.cli.lease.request import Changes, Settled
from kopf_leader.cli.lease.show import MAX_REASON
from kopf_leader.cli.lease.show import reason as shown
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import HOLD, Sight


@click.command()
@lease_options
@click.option("--reason", required=True, metavar="TEXT", help="Why; whoever looks at the Lease will read it.")
@wait_options
def hold(*, reason: str, timeout: float, no_wait: bool, **where: Any) -> None:
    """Let nobody lead by the Lease ID: the leader drains and releases, and all replicas stand by until it is resumed.

    The hold stands on the Lease: it outlives restarts of the operator, and a hold on a silent leader's Lease keeps
    everybody from taking over.

    Exit status: 0 when nobody leads; 1 when not (it is on hold for another reason, the time is up); 2 when there is no
    such Lease, no access, or the command is wrong.
    """
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= MAX_REASON:
        raise click.UsageError(f"--reason is for those who will wonder: write 1 to {MAX_REASON} characters.")

    def decide(sight: Sight) -> Changes:
        if sight.asks.hold is not None and sight.asks.hold != reason:
            already = f"The Lease is on hold already ({shown(sight.asks.hold)})"
            raise Settled(UNDONE, f"{already}: kopf-leader resume ends that, then hold it anew.")
        return {HOLD: reason}

    def said(before: Sight) -> str:
        holder = plain(before.record.holder)
        return f"The Lease is on hold; {holder} is to release it." if holder else "The Lease is on hold."

    def outcome(_: Sight, standing: Standing) -> tuple[int, str] | None:
        if standing.asks.hold is None:
            return UNDONE, "The hold has been taken away in the meantime."
        if standing.state == "held":
            return DONE, "Nobody leads."
        if standing.state == "expired":
            return DONE, f"Nobody leads: {plain(standing.record.holder)} has been silent for {standing.silence:.1f} s."
        return None

    request = Request(decide=decide, said=said, outcome=outcome)
    pursue(request, timeout=timeout, no_wait=no_wait, where=where)
