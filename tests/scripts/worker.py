"""A script that stands for the Lease `job`, as argv says, and writes down when it works: `worker.py FORM [MANNER]`.

The form is how it uses the elector. The manner is what it does when its term has to end: "obeys", or "stays", which
never comes back.
"""

import asyncio
import logging
import signal
import sys
import threading
import time

import kopf_leader
from kopf_leader.testing.facts import Notebook

form, manner = sys.argv[1], (sys.argv[2:] or ["obeys"])[0]
notebook = Notebook.from_environment()
QUICK = {"namespace": "default", "lease_duration": 3, "renew_deadline": 2, "retry_period": "400ms", "drain_timeout": 1}


def working(leading):
    return notebook.handling(handler="work", uid=f"{leading.term.token}")


async def work(leading):
    with working(leading):
        while True:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                if manner == "obeys":
                    raise


async def by_run(elector):
    await elector.run(work)


async def by_standings(elector):
    async for standing in elector.standings():
        if isinstance(standing, kopf_leader.Leading):
            with working(standing):
                while not standing.ended.is_set() or manner == "stays":  # noqa: ASYNC110 (work, in short steps)
                    await asyncio.sleep(0.02)


async def main(use):
    if manner == "obeys":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with kopf_leader.Elector("job", **QUICK) as elector:
        await use(elector)


def blocking(leading):
    with working(leading):
        while not leading.ended.wait(0.02) or manner == "stays":
            time.sleep(0.01)


logging.basicConfig(level=logging.INFO)
if form in ("run", "standings"):
    try:
        asyncio.run(main(by_run if form == "run" else by_standings))
    except asyncio.CancelledError:
        assert threading.active_count() < 10
else:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with kopf_leader.BlockingElector("job", client=form, **QUICK) as elector:
        elector.run(blocking)
