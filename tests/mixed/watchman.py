"""What the API server says of the Leases of a namespace, version by version, and when it was seen."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from typing import Any, Self
from urllib.parse import urlsplit

from kopf_leader.testing.facts import now
from tests.controlplane.api import Api


@dataclass(frozen=True)
class Sight:
    """One version of a Lease; ``t`` in nanoseconds, on the clock of all facts."""

    t: int
    version: int
    deleted: bool
    spec: dict[str, Any]

    @property
    def holder(self) -> str:
        """The name of the replica that holds it, or an empty text."""
        return "" if self.deleted else (self.spec.get("holderIdentity") or "").rpartition("_")[0]


class Watchman:
    """Watches in a thread, over restarts of the API server. A context manager."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._sights: dict[str, list[Sight]] = defaultdict(list)
        self._over = threading.Event()
        self._version = ""
        self._thread = threading.Thread(target=self._run, name=f"watches-{namespace}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def sights(self, lease: str) -> list[Sight]:
        """All versions seen so far, in their order."""
        return list(self._sights[lease])

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                if not self._version:
                    self._list()
                for event in self._events():
                    self._take(event)
            except (OSError, HTTPException, ValueError):
                time.sleep(0.1)

    def _list(self) -> None:
        body = self._api.get(self._path)
        for item in body["items"]:
            self._take({"type": "MODIFIED", "object": item})
        self._version = body["metadata"]["resourceVersion"]

    def _events(self) -> Iterator[dict[str, Any]]:
        parts = urlsplit(self._api.url)
        context = ssl.create_default_context(cafile=str(self._api.ca_file))
        connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=30)
        try:
            # A watch of a second at a time: so the end of this thread is never far.
            query = f"?watch=true&timeoutSeconds=1&resourceVersion={self._version}"
            connection.request("GET", self._path + query, headers={"Authorization": f"Bearer {self._api.token}"})
            response = connection.getresponse()
            if response.status != 200:
                raise ConnectionError(f"the watch was answered {response.status}")
            while line := response.readline():
                yield json.loads(line)
        finally:
            connection.close()

    def _take(self, event: dict[str, Any]) -> None:
        if event["type"] == "ERROR":
            self._version = ""
            raise ConnectionError("the watch has to begin anew")
        item, moment = event["object"], now()
        self._version = item["metadata"]["resourceVersion"]
        sights, version = self._sights[item["metadata"]["name"]], int(self._version)
        if not sights or sights[-1].version < version:
            sights.append(Sight(moment, version, event["type"] == "DELETED", item.get("spec") or {}))
