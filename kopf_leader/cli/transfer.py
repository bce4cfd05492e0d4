"""`kopf-leader transfer`: let one particular candidate lead."""

import re
from typing import Any

import click

from kopf_leader.cli.lease.asking import Request, led, pursue, taken
from kopf_leader.cli.lease.command import DONE, UNDONE, Reached, lease_options, say, wait_options
from kopf_leader.cli.lease.lookout import Standing
from kopf_leader.cli.lease.request import Changes, Settled
from kopf_leader.cli.lease.show import reason
from kopf_leader.cli.refused import Refused
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import ANYBODY, TRANSFER_TO, Asks, Sight
from kopf_leader.protocol.settings import MAX_NAME

_POD = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@click.command()
@lease_options
@click.option("--to", "target", required=True, metavar="NAME", help="An identity, or the name of its pod.")
@click.option("--force", is_flag=True, help="Also to a name that no pod in the Lease's namespace has.")
@wait_options
def transfer(*, target: str, force: bool, timeout: float, no_wait: bool, **where: Any) -> None:
    """Transfer the lead by the Lease ID to one candidate: the leader drains and releases, and that one takes over.

    The pod is looked up first, where that is allowed: a name that no candidate bears costs one retry period without a
    leader, and then anybody leads.

    Exit status: 0 when that candidate leads; 1 when not (nobody led, somebody else took over, the time is up); 2 when
    there is no such pod or Lease, no access, or the command is wrong.
    """
    if target == ANYBODY or len(target) > MAX_NAME or not re.fullmatch(r"[!-~]+", target):
        raise click.UsageError(f"--to={target} is no name: pass an identity or a pod's name, or step down instead.")
    wanted = Asks(transfer_to=target)

    async def prepare(reached: Reached) -> None:
        await _look_up(reached, target, force=force)

    def decide(sight: Sight) -> Changes:
        holder = led(sight, where["lease_id"])
        if wanted.calls(holder):
            raise Settled(DONE, f"{plain(holder)} leads already.")
        if sight.asks.hold is not None:
            raise Settled(UNDONE, f"The Lease is on hold ({reason(sight.asks.hold)}): kopf-leader resume ends that.")
        return {TRANSFER_TO: target}

    def outcome(before: Sight, standing: Standing) -> tuple[int, str] | None:
        if not taken(before, standing):
            return None
        holder = standing.record.holder
        if wanted.calls(holder):
            return DONE, f"{plain(holder)} leads."
        return UNDONE, f"{plain(holder)} leads: no candidate called {target} took over in time."

    request = Request(
        decide=decide, said=lambda before: _said(before, target), outcome=outcome, consumed=True, prepare=prepare
    )
    pursue(request, timeout=timeout, no_wait=no_wait, where=where)


async def _look_up(reached: Reached, target: str, *, force: bool) -> None:
    """Whether a pod has this name, and can take over. Raises `Refused` if not."""
    name = target.rpartition("_")[0] or target
    found = await reached.client.pod(name) if _POD.fullmatch(name) else "unknown"
    if found == "unknown":
        say(
            f"It was not checked that there is a pod {name}: a name that no candidate bears costs one retry period "
            "without a leader, and then anybody leads.",
            err=True,
        )
    elif found == "absent" and not force:
        raise Refused(
            f"There is no pod {name} in the namespace {reached.place.namespace}, and nothing was written: correct "
            "--to, or pass --force for a candidate that runs elsewhere."
        )
    elif found == "ending" and not force:
        raise Refused(
            f"The pod {name} has ended or is being deleted, and nothing was written: choose one that runs, or pass "
            "--force for a candidate of this name that runs elsewhere."
        )


def _said(before: Sight, target: str) -> str:
    priority = before.asks.priority
    again = f" It has the priority {priority}, and asks for the lead again if {target} has a lower one."
    return f"Asked {plain(before.record.holder)} to let {target} lead.{again if priority > 0 else ''}"
