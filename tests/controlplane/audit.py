"""What the API server itself says was asked of it, and by whom: its audit log, counted."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# RequestReceived would name requests before the API server knows the outcome. A watch is written twice
# (ResponseStarted, ResponseComplete) under one auditID.
POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "users": ["system:apiserver", "test-admin"]}, {"level": "Metadata"}],
}


@dataclass(frozen=True)
class Request:
    """One request as the API server saw it; ``received`` is its wall-clock text (RFC 3339, UTC)."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    received: str


class AuditLog:
    """Reads the growing file; each line once, whichever thread asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._requests: dict[str, Request] = {}
        self._lock = threading.Lock()

    def requests(self) -> list[Request]:
        """Every request so far, in the order in which it was first logged."""
        with self._lock:
            if self.path.exists():
                self._read()
            return list(self._requests.values())

    def count(
        self, user: str, *, resource: str | None = None, namespace: str | None = None, skip: int = 0
    ) -> Counter[str]:
        """Requests of ``user`` by verb. ``skip`` is ``len(requests())`` of an earlier moment: count only since then."""
        return Counter(
            request.verb
            for request in self.requests()[skip:]
            if request.user == user
            and (resource is None or request.resource == resource)
            and (namespace is None or request.namespace == namespace)
        )

    def _read(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written
                self._offset += len(line)
                self._take(json.loads(line))

    def _take(self, event: dict[str, Any]) -> None:
        target = event.get("objectRef", {})
        self._requests[event["auditID"]] = Request(
            user=event.get("user", {}).get("username", ""),
            verb=event.get("verb", ""),
            resource=target.get("resource", ""),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            status=event.get("responseStatus", {}).get("code", 0),
            received=event.get("requestReceivedTimestamp", ""),
        )
