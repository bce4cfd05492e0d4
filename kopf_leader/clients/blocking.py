"""The Lease through a blocking library: what the clients for `kubernetes` and `pykube` have in common.

The library prepares and sends (credentials, TLS, proxies are its matter); time belongs to the event loop. A call that
is not done in time, or is cancelled, is given up: its socket is shut down from outside, and its thread ends by that,
or else by the socket's own time-out. Bodies travel as raw JSON, so that unknown fields and microseconds survive.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote

import urllib3

from kopf_leader.clients import answers, hidden, wires
from kopf_leader.clients.answers import Asked
from kopf_leader.clients.base import JSON, WatchEvent, leases_path
from kopf_leader.clients.threads import Exchange, Threads, TooManyThreadsError
from kopf_leader.errors import LeaseAPIError

WATCH_SECONDS = 300  # after which the server is asked to end a watch
LOGIN = 30.0  # seconds that `login()` may take
SILENCE = 90.0  # seconds that a watch may stay without a byte; the API server sends a bookmark about once a minute


@dataclass(frozen=True, kw_only=True)
class Call:
    """What the library is to send; once, without following redirects."""

    method: str
    path: str
    """From the server's root, with a slash before it."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None
    connect: float
    """The socket's time-out until it is connected, in seconds."""
    silence: float
    """The socket's time-out from byte to byte, in seconds."""


class Library(Protocol):
    """A blocking library, as far as the election needs it. Every method may block; each is called in a thread."""

    server: str
    """Its address, for messages; known once something was sent."""
    login: str
    """What is shown to the server, in words that give nothing away."""
    secrets: tuple[str, ...]
    """What must not occur in any message."""

    def send(self, call: Call) -> Any:
        """Send it, and bring urllib3's response, its body unread. Raises what the library raises."""
        ...

    def log_in(self) -> None:
        """Get fresh credentials where that is possible, and let new connections use fresh files."""
        ...

    def close(self) -> None:
        """Close the idle connections; blocks for nothing."""
        ...


class BlockingLeaseClient:
    """A `LeaseClient` over a blocking library. `timeout` is for one request as a whole, in seconds."""

    def __init__(
        self,
        library: Library,
        *,
        namespace: str,
        name: str,
        timeout: float,
        login: float = LOGIN,
        silence: float = SILENCE,
    ) -> None:
        self._library = library
        self._namespace = namespace
        self._name = name
        self._timeout = timeout
        self._login_timeout = login
        self._silence = silence
        self._leases = leases_path(namespace)
        self._threads = Threads(name)
        self._watches: set[Exchange] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._namespace}/{self._name} by {type(self._library).__name__}>"

    async def read(self) -> JSON:
        """GET the Lease; see `LeaseClient.read`."""
        return await self._request(self._asked("GET", "get"), f"{self._leases}/{quote(self._name)}")

    async def create(self, body: JSON) -> JSON:
        """POST the Lease; see `LeaseClient.create`."""
        return await self._request(self._asked("POST", "create"), self._leases, body)

    async def replace(self, body: JSON) -> JSON:
        """PUT the Lease; see `LeaseClient.replace`."""
        return await self._request(self._asked("PUT", "update"), f"{self._leases}/{quote(self._name)}", body)

    async def watch(self, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        """Watch the Lease; see `LeaseClient.watch`. Leave it early by `contextlib.aclosing`."""
        query = {"watch": "1", "fieldSelector": f"metadata.name={self._name}", "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": str(WATCH_SECONDS)} | ({"resourceVersion": version} if version is not None else {})
        asked = self._asked("GET", "watch")
        exchange = Exchange()
        self._watches.add(exchange)
        streaming = False
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._do(
                    asked,
                    exchange,
                    lambda: self._open(exchange, asked, self._leases, silence=self._silence, query=query),
                )
                if response.status != 200:
                    content = await self._do(asked, exchange, lambda: _whole(exchange, response))
                    raise answers.refusal(self._told(asked), response.status, response.headers, content)
            streaming = True
            told, lines, chunks = self._told(asked), answers.Lines(), wires.pieces(response)
            while (chunk := await self._do(asked, exchange, lambda: _next(exchange, chunks))) is not None:
                for line in lines.feed(chunk):
                    if (event := answers.event_of(told, line)) is not None:
                        yield event
            for line in lines.end():
                if (event := answers.event_of(told, line)) is not None:
                    yield event
        except Exception as exc:  # noqa: BLE001 (whatever it is: the protocol promises one class of errors)
            failure, cause = self._explain(asked, exc, streaming=streaming)
        else:
            return
        finally:
            self._watches.discard(exchange)
            exchange.give_up()
        raise failure from cause

    async def post_event(self, body: JSON) -> None:
        """POST an Event beside the Lease, of the group that its apiVersion names. Raises `LeaseAPIError`."""
        version = str(body["apiVersion"])
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        path = f"{root}/namespaces/{quote(self._namespace)}/events"
        await self._request(self._asked("POST", "create"), path, body, read=answers.accepted)

    async def login(self) -> None:
        """Have the library get fresh credentials; see `LeaseClient.login`."""
        where = f"The log-in for the Lease {self._namespace}/{self._name}"
        try:
            async with asyncio.timeout(self._login_timeout):
                await self._do(self._asked("GET", "get"), Exchange(), self._library.log_in)
        except LeaseAPIError:
            raise
        except TimeoutError as exc:
            raise LeaseAPIError(f"{where} was not done within {self._login_timeout:g} s.") from exc
        except Exception as exc:  # noqa: BLE001 (whatever it is, as above)
            secrets = self._library.secrets
            text, cause = hidden.told(exc, secrets)
            raise LeaseAPIError(f"{where} failed with {type(exc).__name__}: {hidden.say(text, secrets)}.") from cause

    async def close(self) -> None:
        """Close the connections, also under a request or a watch that is on; idempotent."""
        self._closed = True
        for exchange in tuple(self._watches):
            exchange.give_up()
        self._threads.give_up()
        self._library.close()
        await self._threads.ended(within=self._timeout)  # one that hangs in a look-up of names is left behind

    async def _request(
        self, asked: Asked, path: str, body: JSON | None = None, *, read: Callable[..., JSON] = answers.lease_of
    ) -> JSON:
        exchange = Exchange()

        def work() -> tuple[int, Mapping[str, str], bytes]:
            response = self._open(exchange, asked, path, silence=self._timeout, body=body)
            return response.status, response.headers, _whole(exchange, response)

        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._do(asked, exchange, work)
            return read(self._told(asked), *answer)
        except Exception as exc:  # noqa: BLE001 (whatever it is: the protocol promises one class of errors)
            failure, cause = self._explain(asked, exc)
        finally:
            exchange.give_up()  # after an error the connection is of no use; after an answer this does nothing
        raise failure from cause

    def _open(
        self,
        exchange: Exchange,
        asked: Asked,
        path: str,
        *,
        silence: float,
        body: JSON | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request, in a thread; the response, which the exchange holds."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        call = Call(
            method=asked.method,
            path=path,
            query=query or {},
            headers=headers,
            body=content,
            connect=self._timeout,
            silence=silence,
        )
        response = self._library.send(call)
        exchange.hold(response)
        return response

    async def _do(self, asked: Asked, exchange: Exchange, work: Callable[[], Any]) -> Any:
        if self._closed:
            raise LeaseAPIError(f"{asked} was not sent: the client has been closed.")
        return await self._threads.call(exchange, work)

    def _asked(self, method: str, verb: str) -> Asked:
        return Asked(method=method, verb=verb, namespace=self._namespace, name=self._name)

    def _told(self, asked: Asked) -> Asked:
        library = self._library
        return replace(asked, server=library.server, login=library.login, secrets=library.secrets)

    def _explain(
        self, asked: Asked, exc: Exception, *, streaming: bool = False
    ) -> tuple[LeaseAPIError, BaseException | None]:
        """The error to raise, in one sentence, and its cause."""
        if isinstance(exc, LeaseAPIError):
            return exc, exc.__cause__
        if isinstance(exc, TooManyThreadsError):
            return LeaseAPIError(f"{asked} was not sent: {exc} in threads, so the way to the server is blocked."), None
        if isinstance(exc, TimeoutError | urllib3.exceptions.TimeoutError):
            cause = hidden.cause_of(exc, self._library.secrets)
            if streaming:
                return LeaseAPIError(f"{asked} was silent for {self._silence:g} s."), cause
            return LeaseAPIError(f"{asked} was not answered within {self._timeout:g} s."), cause
        told = self._told(asked)
        text, cause = hidden.told(exc, told.secrets)
        return LeaseAPIError(f"{asked} broke off, {type(exc).__name__}: {told.quote(text).rstrip('.')}."), cause


def _whole(exchange: Exchange, response: Any) -> bytes:
    """The whole body, in a thread; with its last byte the connection goes back to its pool."""
    content = wires.whole(response)
    exchange.finish()
    return content


def _next(exchange: Exchange, chunks: Iterator[bytes]) -> bytes | None:
    """The next piece of a stream, in a thread; None at the end, with which the connection goes back to its pool."""
    chunk = next(chunks, None)
    if chunk is None:
        exchange.finish()
    return chunk
