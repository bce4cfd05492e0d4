"""A list and a watch in a thread, for tests that look on."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from tests.controlplane.api import Api


class Watch:
    """Calls ``seen(object, deleted)`` for what is there, and for each change; in its own thread, until it is closed."""

    def __init__(self, api: Api, path: str, seen: Callable[[dict[str, Any], bool], None]) -> None:
        self._api, self._path, self._seen = api, path, seen
        self._ended = threading.Event()
        self._connection: HTTPSConnection | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        sock = self._connection.sock if self._connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            with contextlib.suppress(OSError, HTTPException, ValueError):
                self._follow()

    def _follow(self) -> None:
        listed = self._api.get(self._path)
        for object_ in listed["items"]:
            self._seen(object_, False)
        parts = urlsplit(self._api.url)
        context = ssl.create_default_context(cafile=str(self._api.ca_file))
        self._connection = HTTPSConnection(parts.hostname or "", parts.port, context=context)
        try:
            version = listed["metadata"]["resourceVersion"]
            headers = {"Accept": "application/json", "Authorization": f"Bearer {self._api.token}"}
            self._connection.request("GET", f"{self._path}?watch=1&resourceVersion={version}", headers=headers)
            response = self._connection.getresponse()
            while not self._ended.is_set() and (line := response.readline()):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._seen(event["object"], event["type"] == "DELETED")
        finally:
            self._connection.close()
