"""Waiting on an event loop for what must be waited for, however often the waiting is cancelled."""

import asyncio
import threading
from collections.abc import Iterable
from typing import Any, Protocol


class Joined(Protocol):
    """What has a thread: the election, for example."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait (seconds) until it has ended. Whether it has."""
        ...


async def join(joined: Joined, seconds: float) -> bool:
    """Wait that long until it has ended, without blocking the loop. Whether it has."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def tell(result: bool) -> None:
        if not ended.done():
            ended.set_result(result)

    def run() -> None:
        result = joined.join(seconds)
        loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=run, name="waiting for the release", daemon=True).start()
    await all_done([ended])
    return bool(ended.result())


async def all_done(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Wait for all of them, however often the waiting is cancelled; the cancellation is raised in the end."""
    pending = {future for future in futures if not future.done()}
    cancelled: asyncio.CancelledError | None = None
    while pending:
        try:
            _, pending = await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            pending = {future for future in pending if not future.done()}
    if cancelled is not None:
        raise cancelled
