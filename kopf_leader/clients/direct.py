"""The Lease over aiohttp, with whatever credentials a log-in brings; it knows no library of Kubernetes.

Connections are shared by all clients with the same credentials (`pools.py`), the log-in is each one's own. One on which
a request was answered is kept for the next one, for 50 s; a watch has one of its own.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import aiohttp

from kopf_leader.clients import answers, hidden
from kopf_leader.clients.answers import Asked
from kopf_leader.clients.base import JSON, WatchEvent, leases_path
from kopf_leader.clients.credentials import SERVICE_ACCOUNT_TOKEN, Credentials, secrets_of
from kopf_leader.clients.sessions import Connections, close_all, probe
from kopf_leader.errors import LeaseAPIError

Login: TypeAlias = Callable[[], Awaitable[Any]]
"""Brings a `kopf.ConnectionInfo`, a `kopf.AiohttpSession`, or a `Connection`."""

WATCH_SECONDS = 300  # after which the server is asked to end a watch
PODS_RULE = '{apiGroups: [""], resources: ["pods"], verbs: ["get", "watch"]}'
"""What takeover by evidence may be allowed (docs/takeover.md)."""
FILES_PERIOD = 5.0  # seconds between two looks at token and certificate files


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long is waited for what, in seconds."""

    request: float
    """One request as a whole, from the pool to the last byte; for a watch: until the head of the answer."""
    login: float = 30.0
    """The operator's login handlers, where a request has to wait for the first ones or `login()` is called."""
    silence: float = 90.0
    """A watch without a byte. The API server sends a bookmark about once a minute."""


class DirectLeaseClient:
    """A `LeaseClient` for one Lease, with the credentials that `login` brings.

    `login` is awaited at the first request, by `login()`, and when the credentials' `expiration` has passed.
    A service account's token that is exchanged in its file (`token_file`), and certificates that are exchanged in
    theirs, are taken over without a new login.
    """

    READABLE: tuple[type[Exception], ...] = ()
    """The errors of a log-in that are meant to be read; what others say may quote what they were given."""

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        login: Login,
        patience: Patience,
        user_agent: str = "kopf-leader",
        token_file: str = SERVICE_ACCOUNT_TOKEN,
    ) -> None:
        self._namespace = namespace
        self._name = name
        self._login = login
        self._patience = patience
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": user_agent}
        self._token_file = token_file
        self._path = leases_path(namespace)
        self._lock = asyncio.Lock()
        self._logging_in: asyncio.Task[None] | None = None
        self._credentials: Credentials | None = None
        self._connections: Connections | None = None
        self._retired: list[Connections] = []
        self._next_look = 0.0
        self._closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._namespace}/{self._name}>"

    async def read(self) -> JSON:
        """GET the Lease; see `LeaseClient.read`."""
        return await self._call(self._asked("GET", "get"), f"{self._path}/{quote(self._name)}")

    async def create(self, body: JSON) -> JSON:
        """POST the Lease; see `LeaseClient.create`."""
        return await self._call(self._asked("POST", "create"), self._path, body)

    async def replace(self, body: JSON) -> JSON:
        """PUT the Lease; see `LeaseClient.replace`."""
        return await self._call(self._asked("PUT", "update"), f"{self._path}/{quote(self._name)}", body)

    async def watch(self, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        """Watch the Lease; see `LeaseClient.watch`. Leave it early by `contextlib.aclosing`."""
        async with contextlib.aclosing(self._events(self._asked("GET", "watch"), self._path, version)) as events:
            async for event in events:
                yield event

    async def read_pod(self, namespace: str, name: str) -> JSON:
        """GET a pod; see `PodClient`."""
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}"
        return await self._call(_of_pod("get", namespace, name), path, read=answers.object_of)

    async def watch_pod(self, namespace: str, name: str, version: str) -> AsyncGenerator[WatchEvent, None]:
        """Watch a pod; see `PodClient`. Leave it early by `contextlib.aclosing`."""
        path = f"/api/v1/namespaces/{quote(namespace)}/pods"
        async with contextlib.aclosing(self._events(_of_pod("watch", namespace, name), path, version)) as events:
            async for event in events:
                yield event

    async def _events(self, asked: Asked, path: str, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        """What a watch on one object brings."""
        query = {"watch": "1", "fieldSelector": f"metadata.name={asked.name}", "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": str(WATCH_SECONDS)} | ({"resourceVersion": version} if version is not None else {})
        try:
            credentials, connections = await self._ready(asked)
            asked = _told(asked, credentials)
            sending = connections.watch(
                f"{credentials.server}{path}?{urlencode(query)}",
                patience=self._patience.request,
                timeout=aiohttp.ClientTimeout(total=None, sock_read=self._patience.silence),
                **self._options(credentials),
            )
            async with sending as response:
                if response.status != 200:
                    async with asyncio.timeout(self._patience.request):
                        content = await answers.body_of(response.content.iter_any())
                    self._note(response.status)
                    raise answers.refusal(asked, response.status, response.headers, content)
                probe(response)
                lines = answers.Lines()
                async for chunk in response.content.iter_any():
                    for line in lines.feed(chunk):
                        if (event := answers.event_of(asked, line)) is not None:
                            yield event
                for line in lines.end():
                    if (event := answers.event_of(asked, line)) is not None:
                        yield event
        except Exception as exc:  # noqa: BLE001 (whatever it is: the protocol promises one class of errors)
            failure, cause = self._explain(asked, exc)
        else:
            return
        raise failure from cause

    async def post_event(self, body: JSON) -> None:
        """POST an Event beside the Lease, of the group that its apiVersion names. Raises `LeaseAPIError`."""
        version = str(body["apiVersion"])
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        await self._call(
            self._asked("POST", "create"),
            f"{root}/namespaces/{quote(self._namespace)}/events",
            body,
            read=answers.accepted,
        )

    async def login(self) -> None:
        """Get fresh credentials through the login handlers; see `LeaseClient.login`."""
        async with self._lock:
            await self._log_in()

    async def close(self) -> None:
        """Close the connections, also under a request or a watch that is on; idempotent."""
        self._closed = True
        if self._logging_in is not None:
            self._logging_in.cancel()
        every = [*self._retired, *([self._connections] if self._connections is not None else [])]
        self._retired, self._connections = [], None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience.request):  # a dead peer does not say goodbye
                await close_all(every)

    async def _call(
        self, asked: Asked, path: str, body: JSON | None = None, *, read: Callable[..., JSON] = answers.lease_of
    ) -> JSON:
        try:
            if self._credentials is None:
                await self._ready(asked)  # the first log-in may take longer than a request
            async with asyncio.timeout(self._patience.request):
                credentials, connections = await self._ready(asked)
                asked = _told(asked, credentials)
                options = self._options(credentials, body)
                url, unbounded = credentials.server + path, aiohttp.ClientTimeout()
                async with connections.request(asked.method, url, timeout=unbounded, **options) as response:
                    content = await answers.body_of(response.content.iter_any())
            self._note(response.status)
            return read(asked, response.status, response.headers, content)
        except Exception as exc:  # noqa: BLE001 (whatever it is: the protocol promises one class of errors)
            failure, cause = self._explain(asked, exc)
        raise failure from cause

    def _options(self, credentials: Credentials, body: JSON | None = None) -> dict[str, Any]:
        """What aiohttp is told of a request, beside where to send it."""
        headers, options = dict(self._headers), dict[str, Any]()
        if credentials.authorization is not None:
            headers["Authorization"] = credentials.authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
            options["data"] = json.dumps(body).encode()
        if (proxy := credentials.proxy) is not None:
            options["proxy"] = proxy.url
            if proxy.authorization is not None:
                # With TLS the proxy sees the CONNECT only, without TLS it sees the request itself.
                target = options.setdefault("proxy_headers", {}) if credentials.server.startswith("https:") else headers
                target["Proxy-Authorization"] = proxy.authorization
        return options | {"headers": headers}

    async def _ready(self, asked: Asked) -> tuple[Credentials, Connections]:
        """Credentials and connections that are fresh, as far as this side can tell."""
        if self._closed:
            raise LeaseAPIError(f"{asked} was not sent: the client has been closed.")
        if self._credentials is None or self._credentials.expired():
            async with self._lock:
                if self._credentials is None or self._credentials.expired():
                    await self._log_in()
        now = asyncio.get_running_loop().time()
        if self._credentials is not None and now >= self._next_look:
            self._next_look = now + FILES_PERIOD
            if (successor := self._credentials.refresh()) is not None:
                # What cannot be used yet is half written: the next look may find the rest.
                with contextlib.suppress(OSError, ValueError):
                    await self._take(successor)
        if self._credentials is None or self._connections is None:
            raise LeaseAPIError(f"{asked} was not sent: the client has been closed.")
        return self._credentials, self._connections

    async def _log_in(self) -> None:
        """Ask the login handlers, under the lock. Raises `LeaseAPIError`; the old credentials are kept then.

        It goes on when a request that waits for it runs out of time: begun anew by each, it would never be done.
        """
        task = self._logging_in
        if task is None or task.done():
            task = self._logging_in = asyncio.create_task(self._ask_for_credentials(), name="logging in")
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # if nobody waits any more
        await asyncio.wait({task})
        if task.cancelled():
            raise LeaseAPIError("The log-in was cancelled from within, or the client has been closed.")
        task.result()

    async def _ask_for_credentials(self) -> None:
        where = f"The log-in for the Lease {self._namespace}/{self._name}"
        try:
            async with asyncio.timeout(self._patience.login):
                info = await self._login()
        except LeaseAPIError:
            raise  # from one who has put it into a sentence already
        except TimeoutError as exc:
            raise LeaseAPIError(f"{where} was not done within {self._patience.login:g} s.") from exc
        except Exception as exc:  # noqa: BLE001 (whatever it is, as above)
            if not isinstance(exc, self.READABLE):
                raise LeaseAPIError(f"{where} failed with {type(exc).__name__}.") from hidden.stand_in(exc)
            text, cause = hidden.told(exc, ())
            raise LeaseAPIError(f"{where} failed with {type(exc).__name__}: {hidden.say(text, ())}.") from cause
        if getattr(info, "server", None) is None:
            raise LeaseAPIError(f"{where} brought no credentials: no login handler returned a kopf.ConnectionInfo.")
        try:
            await self._take(Credentials(info, token_file=self._token_file))
        except Exception as exc:  # noqa: BLE001 (of files, of ssl, of an object that is none of kopf's)
            secrets = secrets_of(info)
            said = hidden.say(str(exc), secrets).rstrip(".")
            failure = LeaseAPIError(f"{where} brought credentials that cannot be used: {said}.")
            raise failure from hidden.cause_of(exc, secrets)

    async def _take(self, credentials: Credentials) -> None:
        """Go on with these; connections that do not fit any more are closed by their last user."""
        if self._closed:
            return
        before, old = self._credentials, self._connections
        if before is not None and before.connection_key == credentials.connection_key:
            self._credentials = credentials
            return
        self._connections, self._credentials = Connections(credentials), credentials
        if old is not None:
            self._retired = [*(other for other in self._retired if other.used), old]
            await old.retire()

    def _asked(self, method: str, verb: str) -> Asked:
        return Asked(method=method, verb=verb, namespace=self._namespace, name=self._name)

    def _note(self, status: int) -> None:
        if status == 401:
            self._next_look = 0.0  # the file may have been exchanged since the last look

    def _explain(self, asked: Asked, exc: Exception) -> tuple[LeaseAPIError, BaseException | None]:
        """The error to raise, in one sentence, and its cause."""
        if isinstance(exc, LeaseAPIError):
            return exc, exc.__cause__
        if isinstance(exc, aiohttp.ServerTimeoutError):
            return LeaseAPIError(f"{asked} was silent for {self._patience.silence:g} s."), exc
        if isinstance(exc, TimeoutError):
            return LeaseAPIError(f"{asked} was not answered within {self._patience.request:g} s."), exc
        if isinstance(exc, aiohttp.ClientResponseError):
            proxy = isinstance(exc, aiohttp.ClientHttpProxyError)
            said = f"the proxy answered HTTP {exc.status}: {exc.message}" if proxy else f"no HTTP came: {exc.message}"
            # The repr of this error has the headers of the request: it does not go into the chain.
            return LeaseAPIError(f"{asked} broke off, {asked.quote(said)}."), ConnectionError(type(exc).__name__)
        cause = hidden.cause_of(exc, asked.secrets)
        return LeaseAPIError(f"{asked} broke off, {type(exc).__name__}: {asked.quote(str(exc))}."), cause


def _of_pod(verb: str, namespace: str, name: str) -> Asked:
    rule = f"{PODS_RULE} in a Role in the namespace {namespace}"
    return Asked(
        method="GET", verb=verb, namespace=namespace, name=name, subject=f"the pod {namespace}/{name}", rule=rule
    )


def _told(asked: Asked, credentials: Credentials) -> Asked:
    return replace(asked, server=credentials.server, login=credentials.words, secrets=credentials.secrets)
