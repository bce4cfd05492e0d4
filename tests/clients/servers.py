"""A raw HTTP server that says what a test tells it to say, byte by byte, and keeps count."""

import asyncio
import contextlib
import dataclasses
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import kopf
import pytest

NAMESPACE, NAME = "ns", "op"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
LEASE: dict[str, Any] = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": "u-1", "resourceVersion": "7"},
    "spec": {},
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    peer: str | None = None
    """The serial number of the client's certificate."""


# How a connection may end; the last one is the end of the server, which asyncio's streams would log.
_ENDS = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError)

Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def reply(status: int, body: object = b"", **headers: str) -> bytes:
    """A whole answer; a dict is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}", "Content-Type: application/json"]
    head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode() + content


def status(code: int, message: str = "", **more: object) -> dict[str, Any]:
    """An error as the API server words it."""
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, **more}


def since(name: str) -> pytest.MarkDecorator:
    """Skip a test of something that the installed kopf does not carry yet."""
    known = {field.name for field in dataclasses.fields(kopf.ConnectionInfo)} | set(dir(kopf))
    return pytest.mark.skipif(name not in known, reason=f"this kopf has no {name}")


def always(answer: bytes) -> Answer:
    """The same answer for everything."""

    async def say(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return say


async def silent(_: Request, __: asyncio.StreamWriter) -> None:
    """Accept and say nothing."""
    await asyncio.Event().wait()


class Server:
    """An HTTP/1.1 server on a free port, in the loop of the test."""

    def __init__(self, answer: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.tls = tls
        self.requests: list[Request] = []
        self.connections = 0
        self.tasks: set[asyncio.Task[Any]] = set()
        self.changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(condition)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            with contextlib.suppress(*_ENDS):
                while not writer.is_closing():
                    request = await read_request(reader, writer, number)
                    self.requests.append(request)
                    async with self.changed:
                        self.changed.notify_all()
                    speaking = asyncio.create_task(self._say(request, writer))
                    self.tasks.add(speaking)
                    # A client that goes away ends a silent or endless answer.
                    gone = asyncio.create_task(reader.read(0) if reader.at_eof() else _eof(reader))
                    self.tasks.add(gone)
                    await asyncio.wait({speaking, gone}, return_when=asyncio.FIRST_COMPLETED)
                    for other in (speaking, gone):
                        other.cancel()
                    await asyncio.gather(speaking, gone, return_exceptions=True)
                    self.tasks -= {speaking, gone}
        finally:
            writer.transport.abort()
            self.tasks.discard(task)
            async with self.changed:
                self.changed.notify_all()

    async def _say(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.answer(request, writer)
        await writer.drain()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int = 0) -> Request:
    """The next request of a connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *rest = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    peer = (writer.get_extra_info("peercert") or {}).get("serialNumber")
    return Request(method=method, path=path, headers=headers, body=body, connection=connection, peer=peer)


async def _eof(reader: asyncio.StreamReader) -> None:
    """Until the peer has gone. Requests are not sent in a pipeline, so nothing is read here."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 (a reader has no event for it)
        await asyncio.sleep(0.01)
