"""What `step-down`, `transfer`, `hold` and `resume` have in common: ask, say so, wait, say what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from kopf_leader.cli.lease.command import DONE, UNDONE, Reached, perform, say
from kopf_leader.cli.lease.lookout import Lookout, Standing
from kopf_leader.cli.lease.reach import Where
from kopf_leader.cli.lease.request import Changes, Settled, ask, mandate
from kopf_leader.cli.lease.show import describe, reason, requests
from kopf_leader.protocol.record import Sight


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request to the candidates of a Lease."""

    decide: Callable[[Sight], Changes]
    """What to write, judged by the Lease as it is; raises `Settled` when there is nothing to ask for."""
    said: Callable[[Sight], str]
    """The sentence for when it is written."""
    outcome: Callable[[Sight, Standing], tuple[int, str] | None]
    """From the Lease before, and as it is now: the exit status and the last sentence; None: not yet."""
    consumed: bool = False
    """Whether the candidates take the annotation away when they have obeyed."""
    prepare: Callable[[Reached], Awaitable[None]] | None = None
    """What to look at before."""


def pursue(request: Request, *, timeout: float, no_wait: bool, where: dict[str, Any]) -> NoReturn:
    """Write the request, wait until it has happened, and end the process with the status."""
    lease = Where(**where)

    async def work(reached: Reached) -> int:
        if request.prepare is not None:
            await request.prepare(reached)
        try:
            before = await ask(reached, request.decide, consumed=request.consumed)
        except Settled as settled:
            say(str(settled), err=settled.status != DONE)
            return settled.status
        say(request.said(before))
        return DONE if no_wait else await _wait(reached, request, before, timeout)

    perform(lease, work, interrupted=f"the request may stand on the Lease, kopf-leader status {lease.lease_id} tells.")


async def _wait(reached: Reached, request: Request, before: Sight, timeout: float) -> int:  # noqa: ASYNC109 (the user's)
    ended: list[tuple[int, str]] = []

    def over(standing: Standing) -> bool:
        if (end := request.outcome(before, standing)) is not None:
            ended[:] = [end]
        return bool(ended)

    async with Lookout(reached.client) as lookout:
        if await lookout.until(over, timeout):
            status, sentence = ended[0]
            say(sentence, err=status != DONE)
            return status
        standing = lookout.standing()
        trouble = f" The last error: {lookout.trouble}" if lookout.trouble is not None else ""
    stands = " It is withdrawn by kopf-leader resume." if requests(standing) else ""
    say(f"The time is up ({timeout:g} s): {describe(standing)}.{stands}{trouble}", err=True)
    return UNDONE


def taken(before: Sight, standing: Standing) -> bool:
    """Whether somebody has taken the Lease since."""
    return bool(standing.record.holder) and mandate(standing.sight) != mandate(before)


def led(sight: Sight, lease: str) -> str:
    """The holder; raises `Settled` where there is none."""
    if sight.record.holder:
        return sight.record.holder
    hold = sight.asks.hold
    held = "" if hold is None else f", and it is on hold ({reason(hold)}): kopf-leader resume ends that"
    raise Settled(UNDONE, f"Nobody leads by the Lease {lease}{held}.")
