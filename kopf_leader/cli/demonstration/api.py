"""The demo's own eyes and hands at the API server: a few requests and watches over aiohttp."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp

from kopf_leader.cli.lease.kubeconfig import Access

ATTEMPTS = 10  # after a 429
MERGE_PATCH = "application/merge-patch+json"


class Answer(Exception):  # noqa: N818 (what the API server said)
    """The API server said no; `status` is the HTTP status, `pause` what to wait before another attempt (seconds)."""

    def __init__(self, method: str, path: str, status: int, message: str, *, pause: float) -> None:
        super().__init__(f"{method} {path} was answered with {status}: {message}")
        self.status = status
        self.pause = pause


class Api:
    """One API server as one user sees it. An asynchronous context manager."""

    def __init__(self, access: Access, folder: Path) -> None:
        self._access = access
        self._folder = folder
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._access.headers(),
            connector=aiohttp.TCPConnector(ssl=self._access.tls(self._folder)),
            proxy=self._access.proxy,
            timeout=aiohttp.ClientTimeout(total=10),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, query: Mapping[str, str] | None = None
    ) -> Any:
        """Do it and return the JSON. Raises `Answer` for 4xx and 5xx, `OSError` when nobody answers in time.

        A 429 (too many requests, or "storage is (re)initializing" after a definition was created) says that nothing
        was done: then it tries again for a while.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self._request(method, path, body, query)
            except Answer as answer:
                if answer.status != 429:
                    raise
                await asyncio.sleep(answer.pause)
        return await self._request(method, path, body, query)

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str] | None
    ) -> Any:
        headers = {"Content-Type": MERGE_PATCH} if method == "PATCH" else {}
        try:
            async with self._send(method, path, json=body, params=query, headers=headers) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"{method} {path}: {str(error) or 'no answer in time'}") from error
        try:
            content = json.loads(raw)
        except ValueError:
            content = {}
        if response.status >= 400:
            message = content.get("message") if isinstance(content, dict) else None
            pause = response.headers.get("Retry-After", "")
            raise Answer(
                method,
                path,
                response.status,
                message or raw.decode(errors="replace")[:200],
                pause=min(float(pause), 5.0) if pause.isdigit() else 0.2,
            )
        return content

    async def exists(self, path: str) -> Any:
        """The object, or None when there is none."""
        try:
            return await self.request("GET", path)
        except Answer as answer:
            if answer.status == 404:
                return None
            raise

    async def watch(self, path: str, **query: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Everything that is there, then every change, as pairs of a kind and an object; for ever.

        A broken watch begins anew: what was there comes again as ADDED. Bookmarks and errors are not passed on.
        """
        while True:
            try:
                listed = await self.request("GET", path, query=query)
                for item in listed["items"]:
                    yield "ADDED", item
                async for kind, item in self._stream(path, listed["metadata"]["resourceVersion"], query):
                    yield kind, item
            except (OSError, aiohttp.ClientError, TimeoutError, ValueError):
                pass
            await asyncio.sleep(0.2)

    async def _stream(
        self, path: str, version: str, query: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        params = {**query, "watch": "true", "resourceVersion": version}
        unlimited = aiohttp.ClientTimeout(total=None, sock_connect=10)
        buffer = b""
        async with self._send("GET", path, params=params, timeout=unlimited) as response:
            if response.status != 200:
                return
            async for chunk in response.content.iter_any():
                *lines, buffer = (buffer + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line) if line.strip() else {}
                    if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
                        yield event["type"], event["object"]
                    elif event.get("type") == "ERROR":
                        return

    def _send(self, method: str, path: str, **options: Any) -> Any:
        if self._session is None:
            raise RuntimeError("Enter the context manager first.")
        url, name = self._access.server + path, self._access.tls_name
        return self._session.request(method, url, server_hostname=name, **options)
