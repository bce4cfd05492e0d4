"""Waiting for the end of what runs behind the closed gate (L12)."""

import asyncio
from collections.abc import Callable
from typing import Any

from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.state import StopLeading

HUNG = 5.0  # seconds that kopf, too, waits for daemons that do not stop, where nothing is ever cancelled from here
LOOK = 1.0  # seconds between two looks at the clock: a timer of the loop stands still while the machine is suspended


async def drain(
    tenure: Tenure,
    *,
    woken: asyncio.Event,
    now: Callable[[], float],
    look: Callable[[], None],
    conclude: Callable[[], asyncio.Task[Any]],
) -> None:
    """Wait until nothing runs under this tenure; cancel what does at `cancel_at` (L12), once.

    Once only, for a handler may have to clean up. What only serves handlers is cancelled behind the last of them.
    `look` is called before each look at the state of affairs; `conclude` when nothing runs any more, if hooks are owed:
    they are waited for, and cancelled, as handlers are. Returns also if nothing is ever to be cancelled: then somebody
    else decides when to end.
    """
    cancelled = dismissed = False
    patience = now() + HUNG
    while not tenure.finish():
        woken.clear()
        look()
        stop = tenure.stop
        if tenure.idle and not dismissed:
            tenure.cancel()
            dismissed = True
        if tenure.owes and not tenure.busy:
            tenure.conclude(conclude, now())
            cancelled = False
        for_ever = stop is not None and stop.cancel_at == float("inf")
        if for_ever and tenure.concluding_since is None and (now() >= patience or not (tenure.owes or tenure.prepared)):
            return
        due = float("inf") if stop is None or cancelled else _cancel_at(stop, tenure.concluding_since) - now()
        if due <= 0:
            tenure.cancel()
            cancelled = True
        elif not tenure.finish():
            await wait(woken, min(due, LOOK))


def _cancel_at(stop: StopLeading, concluding_since: float | None) -> float:
    """When to cancel. Hooks that come late have half of what is left until the exit point."""
    if concluding_since is None:
        return stop.cancel_at
    return max(stop.cancel_at, (concluding_since + stop.exit_at) / 2)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, or for that long."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        pass
