"""An operator with a handler of every kind; writes what it did into a file. Run by test_kopf.py with `kopf run`."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import kopf

RESOURCE = ("contract.kopf-leader.dev", "v1", "widgets")
FACTS = Path(os.environ["CONTRACT_FACTS"])
lock = threading.Lock()


def note(what, name):
    with lock, FACTS.open("a") as facts:
        facts.write(json.dumps([what, name]) + "\n")


@kopf.on.startup()
async def configure(settings, **_):
    settings.posting.enabled = True
    settings.persistence.finalizer = "contract.kopf-leader.dev/finalizer"
    if os.environ.get("CONTRACT_STREAMING"):
        settings.watching.initial_streaming = True


@kopf.on.create(*RESOURCE)
async def created(name, body, patch, **_):
    patch.status["made"] = True
    kopf.event(body, type="Normal", reason="Made", message="made by the operator")
    note("create", name)
    return {"number": 1}


@kopf.on.update(*RESOURCE, field="spec.number")
def updated(name, new, **_):
    note(f"update-{new}", name)


@kopf.on.resume(*RESOURCE)
async def resumed(name, **_):
    note("resume", name)


@kopf.on.delete(*RESOURCE)
async def deleted(name, **_):
    note("delete", name)


@kopf.timer(*RESOURCE, interval=0.5)
async def ticked(name, **_):
    note("timer", name)


@kopf.daemon(*RESOURCE)
async def served(name, stopped, **_):
    note("daemon", name)
    await stopped.wait(3600)
    note("daemon-stopped", name)


@kopf.on.event(*RESOURCE)
async def seen(name, event, **_):
    if event["type"] is None:
        note("listed", name)
