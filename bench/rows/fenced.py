"""A handover behind the fence, from SIGTERM to the first write of the next leader's handlers.

Two real processes with the default durations, each with a token that is bound to its pod, and a few objects. Each term
begins with the handler of each object, whose result kopf writes into the object. When that was accepted is seen in a
watch, so a millisecond or two late. Every other handover is without the fence, for comparison.
"""

from __future__ import annotations

import itertools
import json
import ssl
import threading
import time
from http.client import HTTPException, HTTPSConnection
from typing import Self
from urllib.parse import urlsplit

from bench.ground import Ground
from bench.table import Line
from tests.fencing.replicas import Operator
from tests.fencing.site import Site

OBJECTS = 10
SETTLED = 1.0  # seconds that a standby gets to be warm, once it says that it stands by


def measure(ground: Ground, site: Site) -> list[Line]:
    """On this site."""
    operator = Operator(site, ground.folder / site.namespace)
    for number in range(OBJECTS):
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": f"object-{number}"}}
        site.admin.create(site.objects, body)
    try:
        with _Watch(site) as watch:
            times = _hand_over(operator, watch, rounds=ground.pick(40, 10))
            fenced, bare = times[::2], times[1::2]
        noise = sum("failed; will retry" in log.read_text() for log in operator.replicas.folder.glob("*.log"))
    finally:
        operator.replicas.close()
    return [
        Line(
            what="SIGTERM → first write of the next leader's handlers accepted, with fencing",
            values=fenced,
            target="fenced, handover",
            notes=f"{OBJECTS} objects; {noise} of {len(times)} processes have logged a refused write",
        ),
        Line(what="the same without, in turns", values=bare),
    ]


def _hand_over(operator: Operator, watch: _Watch, *, rounds: int) -> list[float]:
    pods = (f"pod-{number}" for number in itertools.count())
    leader, times = next(pods), []
    operator.start(leader, handlers="plain.py", flags=())
    operator.replicas.wait_until(lambda: leader in watch.first, what="the first leader's writes")
    for number in range(2 * rounds):
        (operator.site.unfence if number % 2 else operator.site.fence)()
        standby = next(pods)
        log = operator.start(standby, handlers="plain.py", flags=()).log
        operator.replicas.wait_until(lambda log=log: "Standing by" in log.read_text(), what="a standby")
        time.sleep(SETTLED)
        stopped = time.monotonic()
        operator.replicas[leader].stop()
        operator.replicas.wait_until(lambda standby=standby: standby in watch.first, what="the next leader's writes")
        operator.replicas[leader].wait()
        times.append((watch.first[standby] - stopped) * 1000)
        leader = standby
    return times


class _Watch:
    """Notes when each pod's first write was seen."""

    def __init__(self, site: Site) -> None:
        self.first: dict[str, float] = {}
        self._site = site
        parts = urlsplit(site.admin.url)
        context = ssl.create_default_context(cafile=str(site.admin.ca_file))
        self._connection = HTTPSConnection(parts.hostname or "", parts.port, context=context)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._over = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        if self._connection.sock is not None:
            self._connection.sock.close()

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._site.admin.token}"}
        self._connection.request("GET", f"{self._site.objects}?watch=1&timeoutSeconds=3600", headers=headers)
        response = self._connection.getresponse()
        try:
            while not self._over and (line := response.readline()):
                pod = (json.loads(line)["object"].get("status") or {}).get("create")
                if pod is not None:
                    self.first.setdefault(pod, time.monotonic())
        except (HTTPException, OSError, ValueError):
            if not self._over:
                raise
