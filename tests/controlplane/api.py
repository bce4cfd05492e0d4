"""A small blocking client for tests: one request, one answer, TLS verified, no retries, no cleverness."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MERGE_PATCH = "application/merge-patch+json"


class APIError(AssertionError):
    """The API server refused what the test takes for granted; carries the status and the body."""

    def __init__(self, method: str, path: str, status: int, body: Any) -> None:
        message = body.get("message") if isinstance(body, dict) else body
        super().__init__(f"{method} {path} was answered {status}: {message}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Api:
    """The API server as one user sees it."""

    url: str
    ca_file: Path
    token: str | None = None
    timeout: float = 30.0

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """Do it and return the JSON; raises ``APIError`` for 4xx and 5xx, ``OSError`` when nobody answers."""
        status, answer = self.attempt(method, path, body, content_type=content_type)
        if status >= 400:
            raise APIError(method, path, status, answer)
        return answer

    def attempt(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Do it and return status and body, whatever they are; raises ``OSError`` when nobody answers."""
        parts = urlsplit(self.url)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        connection = HTTPSConnection(parts.hostname or "", parts.port, context=context, timeout=self.timeout)
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, headers)
            response = connection.getresponse()
            raw = response.read()
        except HTTPException as error:
            raise ConnectionError(f"{method} {path} was answered with half a sentence: {error!r}") from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(raw)
        except ValueError:
            return response.status, raw.decode(errors="replace")

    def get(self, path: str) -> Any:
        """GET."""
        return self.request("GET", path)

    def create(self, path: str, body: Any) -> Any:
        """POST."""
        return self.request("POST", path, body)

    def replace(self, path: str, body: Any) -> Any:
        """PUT."""
        return self.request("PUT", path, body)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH with a JSON merge-patch."""
        return self.request("PATCH", path, body, content_type=MERGE_PATCH)

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self.request("DELETE", path)
