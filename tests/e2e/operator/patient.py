"""Settings of an operator whose handlers may take long to end, and whose record in the peering lives as told."""

import os
import time
from pathlib import Path

import kopf


@kopf.on.startup()
def configure(settings, **_):
    queueing = settings.queueing if hasattr(settings, "queueing") else settings.batching
    queueing.exit_timeout = 3.5
    settings.peering.lifetime = int(os.environ.get("PEERING_LIFETIME", "60"))


@kopf.on.startup()
def wait(**_):
    """Until the test says go, where it wants this process to be all but started when its moment comes."""
    go = os.environ.get("WAIT_FOR")
    while go and not Path(go).exists():
        time.sleep(0.02)
