"""A service on asyncio, of which several replicas run and one works."""

import asyncio
import contextlib
import logging
import signal

import kopf_leader


async def work(leading):
    """Started with each term, cancelled at its end."""
    print(f"Working, with the fencing token {leading.term.token}.", flush=True)
    try:
        while True:
            leading.term.check()  # before a step that must not happen twice
            await asyncio.sleep(1)
    finally:
        print("Put away.", flush=True)  # the Lease is still held here


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with kopf_leader.Elector("my-job") as elector:
        await elector.run(work)


logging.basicConfig(level=logging.INFO)
with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
    asyncio.run(main())
