"""``EmbeddedAPIServer``: an API server in this process, for tests and demos."""

from __future__ import annotations

import asyncio
import copy
import json
import secrets
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

from aiohttp import web

from kopf_leader.testing.apiserver.app import OnRequest, Service
from kopf_leader.testing.apiserver.auth import ANONYMOUS_ADMIN, MASTERS, Authority, Rule
from kopf_leader.testing.apiserver.kinds import BUILTIN
from kopf_leader.testing.apiserver.resources import Registry
from kopf_leader.testing.apiserver.statuses import Body
from kopf_leader.testing.apiserver.storage import HISTORY, Storage
from kopf_leader.testing.apiserver.watches import Pace

T = TypeVar("T")
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class EmbeddedAPIServer:
    """A Kubernetes API server in this process: Leases, events, namespaces, custom resources, RBAC.

    ``async with EmbeddedAPIServer() as server`` serves on the running loop; ``with server.in_thread()`` serves on a
    loop of a thread of its own, for tests that are not asynchronous or that block the loop. Stopping it keeps the
    objects and the port, so that starting it again is a restart of the API server.

    It knows no server-side apply, no tables, no admission webhooks, no garbage collection by owner, no graceful
    deletion of pods; everything it does know answers as kube-apiserver does: ``tests/contract`` runs on both.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        ca_file: Path | None = None,
        anonymous_admin: bool = False,
        bookmark_interval: float = 60.0,
        history: int = HISTORY,
    ) -> None:
        """Nothing is served yet: see ``start``.

        ``anonymous_admin``: requests without a token may do everything (kubectl and client-go send none over plain
        HTTP). ``bookmark_interval``: seconds between bookmarks. ``history``: changes kept per resource; a watch from
        further back gets 410. ``ca_file`` is what clients need to verify ``ssl_context``; kubeconfigs name it.
        """
        self.host = host
        self.port = port
        self.ca_file = ca_file
        self.admin_token = secrets.token_hex(16)
        self._ssl = ssl_context
        self._storage = Storage(history=history)
        self.authority = Authority(self._storage)
        if anonymous_admin:
            self.authority.anonymous = ANONYMOUS_ADMIN
        self._service = Service(self._storage, Registry(BUILTIN), self.authority)
        self._service.pace = Pace(bookmarks=bookmark_interval)
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.authority.add_token(self.admin_token, "admin", [MASTERS])
        for name in NAMESPACES:
            self.create("namespaces", {"metadata": {"name": name}})

    # Life

    async def start(self) -> Self:
        """Serve. OSError when the port is taken."""
        if self._runner is not None:
            raise RuntimeError("The API server runs already: stop it first.")
        # A watch ends when its client goes away; see app.Service.handle for all other requests.
        runner = web.AppRunner(
            self._service.application(), handler_cancellation=True, access_log=None, shutdown_timeout=1.0
        )
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port, ssl_context=self._ssl, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self._loop = runner, asyncio.get_running_loop()
        self.port = runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        """End all watches and connections. The objects stay, and so does the port for the next start."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._end_watches()
            await self._service.end()
            server = runner.server
            open_ones = [connection.transport for connection in server.connections] if server is not None else []
            await runner.cleanup()
            for transport in open_ones:
                if transport is not None:
                    transport.abort()  # TLS would wait half a minute for its client's farewell
            await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve on a loop of a thread of its own, for as long as the ``with`` block lasts."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="embedded-api-server", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result(30)
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result(30)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
            loop.close()

    @property
    def url(self) -> str:
        """Where it is reached; known once it has been started."""
        if not self.port:
            raise RuntimeError("The API server has no address yet: start it first.")
        return f"{'https' if self._ssl else 'http'}://{self.host}:{self.port}"

    # Users

    def add_user(
        self,
        name: str,
        *,
        token: str | None = None,
        groups: Iterable[str] | None = None,
        rules: Iterable[Rule] | None = None,
    ) -> str:
        """A user and a token for it; call it again for a second token.

        Without groups and rules it may do everything; with rules, what they say; with ``groups=()`` and no rules,
        what RBAC objects grant.
        """
        token = token or secrets.token_hex(16)
        if groups is None:
            groups = [MASTERS] if rules is None else []
        if rules is not None:
            self.authority.set_rules(name, rules)
        self.authority.add_token(token, name, groups)
        return token

    def set_rules(self, user: str, rules: Iterable[Rule]) -> None:
        """The rules of a user from now on, instead of those before."""
        self.authority.set_rules(user, rules)

    def revoke_token(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self.authority.revoke_token(token)

    def write_kubeconfig(
        self, path: Path | str, *, token: str | None = None, namespace: str = "default", url: str | None = None
    ) -> Path:
        """Write a kubeconfig (as JSON, which is YAML) for the token, the administrator's by default.

        ``url`` is for when the way to the server leads through something else.
        """
        cluster: Body = {"server": url or self.url}
        if self.ca_file is not None:
            cluster["certificate-authority"] = str(self.ca_file)
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "embedded",
            "clusters": [{"name": "embedded", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token or self.admin_token}}],
            "contexts": [
                {"name": "embedded", "context": {"cluster": "embedded", "user": "user", "namespace": namespace}}
            ],
        }
        path = Path(path)
        path.write_text(json.dumps(content, indent=2) + "\n")
        return path

    # Disturbances

    @property
    def on_request(self) -> OnRequest | None:
        """Called with every request before anything else; a response it returns is the answer, None lets it pass."""
        return self._service.on_request

    @on_request.setter
    def on_request(self, hook: OnRequest | None) -> None:
        self._service.on_request = hook

    @property
    def gone_as_status(self) -> bool:
        """How a watch from a version too old is refused: as HTTP 410, or (the default) as an ERROR event in a 200."""
        return self._service.gone_as_status

    @gone_as_status.setter
    def gone_as_status(self, value: bool) -> None:
        self._service.gone_as_status = value

    def close_watches(self) -> None:
        """End all watches that run now, cleanly; their clients may watch again at once. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._end_watches)

    def compact(self, version: int | None = None) -> None:
        """Forget the history up to ``version`` (now by default): watches and lists from before it get 410."""
        self._on_loop(lambda: self._storage.compact(version))

    def _on_loop(self, act: Callable[[], T]) -> T:
        """Do it on the loop that serves, whatever thread asks; at once when nothing serves or this is that loop."""
        loop = self._loop
        if self._runner is None or loop is None or _running() is loop:
            return act()

        async def acting() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(acting(), loop).result(30)

    def _end_watches(self) -> None:
        for collection in self._storage.collections.values():
            for subscription in list(collection.subscriptions):
                subscription.queue.put_nowait(None)

    # What is in it, without a request; from any thread.

    @property
    def version(self) -> int:
        """The newest resourceVersion."""
        return self._storage.version

    @property
    def requests(self) -> Counter[tuple[str, str, str]]:
        """Requests so far, counted by (user, verb, plural name or path)."""
        return self._service.requests

    @property
    def watches(self) -> int:
        """How many watches run now."""
        return sum(len(collection.subscriptions) for collection in self._storage.collections.values())

    def create(self, plural: str, body: Body, *, namespace: str = "", group: str | None = None) -> Body:
        """Create an object as a POST does; raises what a POST would be refused with."""
        resource = self._service.registry.named(plural, group)
        namespace = namespace or body.get("metadata", {}).get("namespace", "")
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        stored = self._on_loop(lambda: self._service.objects.create(resource, namespace, copy.deepcopy(whole)))
        return copy.deepcopy(resource.render(stored.body))

    def objects(self, plural: str, *, namespace: str = "", group: str | None = None) -> list[Body]:
        """Copies of the objects of one resource, sorted by namespace and name."""
        resource = self._service.registry.named(plural, group)
        collection = self._storage.collection(resource.collection)
        prefix = f"{namespace}/" if namespace else ""
        found = self._on_loop(lambda: [collection.objects[key] for key in collection.keys if key.startswith(prefix)])
        return [copy.deepcopy(resource.render(stored.body)) for stored in found]


def _running() -> asyncio.AbstractEventLoop | None:
    """The loop of this thread, if one runs."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
