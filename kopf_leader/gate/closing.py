"""Waiting for the end of what runs behind the closed gate (L12)."""

import asyncio
from collections.abc import Callable

from kopf_leader.gate.tenure import Tenure

LOOK = 1.0  # seconds between two looks at the clock: a timer of the loop stands still while the machine is suspended


async def drain(tenure: Tenure, *, woken: asyncio.Event, now: Callable[[], float], look: Callable[[], None]) -> None:
    """Wait until nothing runs under this tenure; cancel what does at `cancel_at` (L12), once.

    Once only, for a handler may have to clean up. `look` is called before each look at the state of affairs. Returns
    also if nothing is ever to be cancelled: then somebody else decides when to end.
    """
    cancelled = False
    while not tenure.finish():
        woken.clear()
        look()
        stop = tenure.stop
        if stop is not None and stop.cancel_at == float("inf"):
            return
        due = float("inf") if stop is None or cancelled else stop.cancel_at - now()
        if due <= 0:
            tenure.cancel()
            cancelled = True
        elif not tenure.finish():
            await wait(woken, min(due, LOOK))


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, or for that long."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    except TimeoutError:
        pass
