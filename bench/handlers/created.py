"""An operator that handles new objects; with UNCONCERNED set, one that has no handler for them, of the same fleet.

It writes down, with the time, its start and each object handled.
"""

import os
import time

import kopf

LOG = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(what: str) -> None:
    os.write(LOG, f"{os.getpid()} {what} {time.monotonic_ns()}\n".encode())


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False
    note("started")
    os.write(LOG, f"{os.getpid()} started-processor {time.process_time_ns()}\n".encode())


if os.environ.get("UNCONCERNED"):

    @kopf.on.create("namespaces", when=lambda **_: False)
    async def nothing(**_): ...

else:

    @kopf.on.create("kopfexamples")
    async def create(**_):
        note("handled")
