"""An operator that resumes every object; with INDEX set, it indexes them, too.

It writes down when its first, its hundredth and its last handler start, and when its index is complete.
"""

import os
import time
from pathlib import Path

import kopf

OBJECTS = int(os.environ["OBJECTS"])
LOG = os.environ["LOG"]
counts = {"resumed": 0, "indexed": 0}


def note(what: str) -> None:
    counts[what] += 1
    if counts[what] in (1, 100, OBJECTS):
        with Path(LOG).open("a") as log:
            log.write(f"{os.getpid()} {what}-{counts[what]} {time.monotonic_ns()}\n")


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False


@kopf.on.resume("kopfexamples")
async def resume(**_):
    note("resumed")


if os.environ.get("INDEX"):

    @kopf.index("kopfexamples")
    async def names(name, **_):
        note("indexed")
        return {name: True}
