"""A thin asynchronous client for the contract suite: every answer is a value, whatever its status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PATIENCE = 60.0  # seconds a test waits before it gives up; never reached by a healthy server


@dataclass(frozen=True)
class Answer:
    """What came back. ``body`` is decoded JSON, or text where it is none."""

    status: int
    body: Any
    content_type: str

    @property
    def reason(self) -> str:
        return self.body.get("reason", "")

    @property
    def message(self) -> str:
        return self.body.get("message", "")

    @property
    def version(self) -> str:
        return self.body["metadata"]["resourceVersion"]

    def ok(self, status: int = 200) -> Any:
        """The body of an answer that the test takes for granted."""
        assert self.status == status, (self.status, self.body)
        return self.body


class Stream:
    """A watch: its events one by one."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        """The next event; StopAsyncIteration at the end."""
        async with asyncio.timeout(PATIENCE):
            line = await self._response.content.readline()
        if not line:
            raise StopAsyncIteration
        return json.loads(line)

    async def rest(self) -> list[dict[str, Any]]:
        """All events until the server ends the watch."""
        events = []
        while True:
            try:
                events.append(await self.next())
            except StopAsyncIteration:
                return events


class Api:
    """The API server as one user sees it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, ssl: Any, token: str | None) -> None:
        self._session = session
        self._url = url
        self._ssl = ssl
        self._token = token

    def as_user(self, token: str | None) -> Api:
        """The same server with another token, or with none."""
        return Api(self._session, self._url, self._ssl, token)

    def _headers(self, accept: str) -> dict[str, str]:
        headers = {"Accept": accept}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        **query: Any,
    ) -> Answer:
        """Send JSON (or bytes, as they are) and read the whole answer."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = self._headers(accept) | ({"Content-Type": content_type} if raw is not None else {})
        async with self._session.request(
            method, self._url + path, data=raw, headers=headers, params=query, ssl=self._ssl
        ) as response:
            text = await response.text()
            try:
                decoded = json.loads(text)
            except ValueError:
                decoded = text
            return Answer(response.status, decoded, response.headers.get("Content-Type", ""))

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.request("GET", path, **query)

    async def post(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.request("POST", path, body, **query)

    async def put(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.request("PUT", path, body, **query)

    async def merge(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.request("PATCH", path, body, content_type=MERGE, **query)

    async def json_patch(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.request("PATCH", path, body, content_type=JSON_PATCH, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return await self.request("DELETE", path, body, **query)

    @asynccontextmanager
    async def watch(self, path: str, **query: Any) -> AsyncIterator[Stream]:
        """A watch that was answered with 200."""
        query = {"watch": "true", **query}
        async with self._session.get(
            self._url + path, headers=self._headers("application/json"), params=query, ssl=self._ssl
        ) as response:
            assert response.status == 200, await response.text()
            try:
                yield Stream(response)
            finally:
                # Closing would wait for TLS's farewell, which outlives the loop of a test.
                if response.connection is not None and response.connection.transport is not None:
                    response.connection.transport.abort()


async def eventually(condition: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Poll until the condition gives something true, and return that."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                if found := await condition():
                    return found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TimeoutError(f"waited {PATIENCE:g} s in vain for {what}") from None
