"""Something that goes on while something else is done."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def meanwhile(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do it in the background. Leaving ends it; an error in it ends what goes on here, and is raised here."""
    here = asyncio.current_task()
    task = asyncio.create_task(coroutine)

    def ended(_: asyncio.Task[None]) -> None:
        if here is not None and not task.cancelled() and task.exception() is not None:
            here.cancel()

    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.remove_done_callback(ended)
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()
