"""An operator whose daemons keep its event loop busy without a pause, some milliseconds at a time."""

import asyncio
import os
import time

import kopf

SPIN = 0.02  # seconds


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False


@kopf.daemon("kopfexamples")
async def spin(stopped, **_):
    with open(os.environ["LOG"], "a") as log:  # noqa: ASYNC230, PTH123 (once)
        log.write("spinning\n")
    while not stopped:
        until = time.perf_counter() + SPIN
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)
