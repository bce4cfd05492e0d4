"""Tasks that read kopf's streams: whether one was cancelled, and how to end it."""

import asyncio


async def is_cancelled(task: asyncio.Task[None]) -> bool:
    """Whether it was this task that was cancelled, and not what it reads.

    kopf's time-out of a silent stream cancels its reader, also while that waits for something else; it takes that back
    as soon as the stream is closed, in tasks that Python makes for it.
    """
    for _ in range(100):
        if not task.cancelling():
            break
        await asyncio.sleep(0)
    return task.cancelling() > 0


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait for it, with patience: kopf's streams may swallow a cancellation."""
    if task is None:
        return
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1.0)
    if not task.cancelled():
        task.exception()  # seen
