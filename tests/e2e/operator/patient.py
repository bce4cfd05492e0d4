"""Settings of an operator whose handlers may take long to end, and whose record in the peering lives as told."""

import os

import kopf


@kopf.on.startup()
def configure(settings, **_):
    queueing = settings.queueing if hasattr(settings, "queueing") else settings.batching
    queueing.exit_timeout = 3.5
    settings.peering.lifetime = int(os.environ.get("PEERING_LIFETIME", "60"))
