"""An operator that never stops to write, by connections of its own, in a process whose clock runs at the rate of RATE.

It writes one thing that is fenced, a ConfigMap, and one that is not, and notes what became of either.
"""

import asyncio
import json
import os
import time
from pathlib import Path

import kopf

from kopf_leader.elector.clock import SystemClock
from tests.controlplane.api import MERGE_PATCH, Api

RATE = float(os.environ.get("RATE", "1"))
_time = SystemClock.time
SystemClock.time = lambda self: _time(self) * RATE
asyncio.BaseEventLoop.time = lambda _: time.monotonic() * RATE

POD = os.environ["POD"]
OUTCOMES = Path(os.environ["FOLDER"]) / "outcomes.jsonl"


@kopf.on.create("kopfexamples")
def create(namespace, name, **_):
    """In a thread, which nothing can stop."""
    config = json.loads(Path(os.environ["DIRECT"]).read_text())
    cluster = config["clusters"][0]["cluster"]
    api = Api(cluster["server"], Path(cluster["certificate-authority"]), config["users"][0]["user"]["token"])
    paths = {
        "fenced": f"/api/v1/namespaces/{namespace}/configmaps/probe",
        "open": f"/apis/kopf.dev/v1/namespaces/{namespace}/kopfexamples/{name}",
    }
    while True:
        found = {"pod": POD}
        for what, path in paths.items():
            body = {"metadata": {"annotations": {"by": POD}}}
            found[what] = api.attempt("PATCH", path, body, content_type=MERGE_PATCH)[0]
        with OUTCOMES.open("a") as file:
            file.write(json.dumps(found) + "\n")
        time.sleep(0.05)
