"""An HTTP server before the API server: it ends TLS, and forwards each request or answers it by a rule.

What a proxy of bytes cannot do (``kopf_leader.testing.proxy``): wrong answers, replies withheld for one verb, a watch
that stays open and falls silent. It lives in a thread with an event loop; ``rules`` may be set from any thread, at any
time, and counts for what is on its way too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

_HOPS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "content-encoding"}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Asked:
    """One request, in the words of RBAC."""

    verb: str
    resource: str
    token: str
    body: bytes = b""

    @property
    def releases(self) -> bool:
        """Whether it gives a Lease back (L14)."""
        return self.verb == "update" and b'"holderIdentity": ""' in self.body


@dataclass(frozen=True)
class Reply:
    """A wrong answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Withheld:
    """The request is forwarded; its reply waits until the rules change."""


class Deaf:
    """A watch is opened, and what it brings is swallowed."""


@dataclass(frozen=True)
class Rule:
    """Which requests get which answer. ``verbs`` empty: every verb; ``resource`` empty: every path."""

    answer: Reply | Withheld | Deaf
    verbs: tuple[str, ...] = ()
    resource: str = "leases"
    when: Callable[[Asked], bool] = lambda _: True

    def __contains__(self, asked: Asked) -> bool:
        return (
            self.resource in ("", asked.resource) and (not self.verbs or asked.verb in self.verbs) and self.when(asked)
        )


def asked_of(request: web.Request, body: bytes) -> Asked:
    """What is asked for: ``get`` for one object, ``list`` and ``watch`` for many."""
    parts = request.path.strip("/").split("/")
    tail = parts[2:] if parts[0] == "api" else parts[3:]
    if len(tail) > 2 and tail[0] == "namespaces":
        tail = tail[2:]
    verb = _VERBS.get(request.method, "get" if len(tail) != 1 else "list")
    if verb == "list" and request.query.get("watch") in ("1", "true"):
        verb = "watch"
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return Asked(verb, tail[0] if tail else "", token, body)


class Front:
    """Listens on a free port of 127.0.0.1. ``certificate`` and ``key`` are files of the tests' own authority."""

    def __init__(self, upstream: str, *, ca_file: str, certificate: str, key: str) -> None:
        self._upstream = upstream
        self._towards = ssl.create_default_context(cafile=ca_file)
        self._serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._serving.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)
        self._rules: tuple[Rule, ...] = ()
        self._changed = asyncio.Event()
        self.answered: list[Asked] = []
        """What a rule has hit so far."""
        self.swallowed = 0
        """Pieces of watches that were kept back for good."""
        self.port = 0

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force; the first that fits counts."""
        return self._rules

    @rules.setter
    def rules(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    def start(self) -> Self:
        """Listen, and pass everything."""
        self._thread.start()
        self._call(self._open())
        return self

    def stop(self) -> None:
        """Close what is open; end the thread."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)  # type: ignore[arg-type]  # one of the two below

    async def _open(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._towards, limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        )
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._serving)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _close(self) -> None:
        self._rules = ()
        self._wake()
        await self._runner.cleanup()
        await self._session.close()

    def _rule(self, asked: Asked) -> Rule | None:
        return next((rule for rule in self._rules if asked in rule), None)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        asked = asked_of(request, body)
        rule = self._rule(asked)
        if rule is not None:
            self.answered.append(asked)
            if isinstance(rule.answer, Reply):
                return web.Response(status=rule.answer.status, body=rule.answer.body, headers=rule.answer.headers)
        try:
            return await self._forward(request, asked)
        except (aiohttp.ClientError, OSError):
            # The real one is gone: so are we, without a word.
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None

    async def _forward(self, request: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOPS}
        url = self._upstream + request.raw_path
        sending = self._session.request(
            request.method, url, headers=headers, data=asked.body or None, allow_redirects=False
        )
        async with sending as upstream:
            while (rule := self._rule(asked)) is not None and isinstance(rule.answer, Withheld):
                await self._changed.wait()
            kept = {name: value for name, value in upstream.headers.items() if name.lower() not in _HOPS}
            if "Content-Encoding" in upstream.headers:
                kept["Content-Encoding"] = upstream.headers["Content-Encoding"]
            response = web.StreamResponse(status=upstream.status, headers=kept)
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                rule = self._rule(asked)
                if rule is not None and isinstance(rule.answer, Deaf):
                    self.swallowed += 1
                else:
                    await response.write(chunk)
            with contextlib.suppress(ConnectionError):
                await response.write_eof()
            return response


def front_of(url: str, folder: str) -> Front:
    """A front of the real API server, with its own certificate (``tests.controlplane.server``)."""
    assert urlsplit(url).scheme == "https"
    files = {"ca_file": f"{folder}/ca.pem", "certificate": f"{folder}/serving.crt", "key": f"{folder}/serving.key"}
    return Front(url, **files)
