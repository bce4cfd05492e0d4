"""One connection to the API server that stays open, so that a write is a write and no handshake. For one thread."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPSConnection
from typing import Any, Self
from urllib.parse import urlsplit

from tests.controlplane.api import MERGE_PATCH, Api


class Connection:
    """The API as `api` has it; a context manager."""

    def __init__(self, api: Api) -> None:
        parts = urlsplit(api.url)
        context = ssl.create_default_context(cafile=str(api.ca_file))
        self._connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=60)
        self._headers = {"Authorization": f"Bearer {api.token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def attempt(self, method: str, path: str, body: Any) -> int:
        """Send it; the status."""
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        self._connection.request(method, path, json.dumps(body), {**self._headers, "Content-Type": kind})
        response = self._connection.getresponse()
        response.read()
        return response.status

    def send(self, method: str, path: str, body: Any) -> None:
        """Send what has to be accepted; raises RuntimeError if it is not."""
        status = self.attempt(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path} was answered {status}")
