"""An operator that sees every event and does nothing about it: a byte in the file SEEN for each."""

import os

import kopf

SEEN = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False
    settings.batching.batch_window = 0.01  # so that it waits for nothing


@kopf.on.event("kopfexamples")
async def seen(**_):
    os.write(SEEN, b".")
