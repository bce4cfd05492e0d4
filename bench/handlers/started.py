"""An operator that writes down when it starts and when it sees its first event, with its time on a processor."""

import os
import time
from pathlib import Path

import kopf

noted = set()


def note(what: str) -> None:
    if what not in noted:
        noted.add(what)
        with Path(os.environ["LOG"]).open("a") as log:
            log.write(f"{os.getpid()} {what} {time.monotonic_ns()}\n")
            log.write(f"{os.getpid()} {what}-processor {time.process_time_ns()}\n")


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False
    note("started")


@kopf.on.event("kopfexamples")
def seen(**_):
    note("seen")
