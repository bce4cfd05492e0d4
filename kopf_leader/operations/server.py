"""The endpoints, in a thread with an event loop of their own: neither kopf's loop nor the election's can block them.

They only read. A slow or hostile client costs a connection of this loop, and nothing of the election's.
"""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from kopf_leader.operations.address import Address, bind
from kopf_leader.operations.door import Door, one_request, open_doors
from kopf_leader.operations.door import logger as endpoints_logger
from kopf_leader.operations.health import BEAT, Check, Health, answer

logger = logging.getLogger("kopf_leader")

_STOPPED_WITHIN = 2.0  # seconds for requests that are under way at the end


class Exposition(Protocol):
    """What `/metrics` says."""

    def __call__(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, by the header Accept of who asks."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Site:
    listener: socket.socket
    endpoints: tuple[str, ...]


class OperationsServer:
    """Health and metrics at up to two addresses, which may be the same one."""

    def __init__(
        self, *, health_at: Address | None, metrics_at: Address | None, health: Health, exposition: Exposition | None
    ) -> None:
        self._health_at = health_at
        self._metrics_at = metrics_at
        self._health = health
        self._exposition = exposition
        self._sites: list[_Site] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._up = threading.Event()

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each kind of endpoint (`health`, `metrics`) that is bound."""
        return {name: site.listener.getsockname()[1] for site in self._sites for name in site.endpoints}

    def bind(self) -> None:
        """Take the ports, so that one in use is known before anything starts; idempotent. Raises `SettingsError`."""
        if self._sites:
            return
        wanted: dict[Address, list[str]] = {}
        for name, address in (("health", self._health_at), ("metrics", self._metrics_at)):
            if address is not None:
                wanted.setdefault(address, []).append(name)
        titles = {"health": "health probe bind address", "metrics": "metrics bind address"}
        try:
            for address, names in wanted.items():
                listener = bind(address, what=" and the ".join(titles[name] for name in names))
                self._sites.append(_Site(listener=listener, endpoints=tuple(names)))
        except Exception:
            self._release()
            raise

    def start(self) -> None:
        """Serve until `stop()`. Raises `SettingsError` where `bind()` does."""
        self.bind()
        if not self._sites or self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="health and metrics", daemon=True)
        self._thread.start()
        self._up.wait(_STOPPED_WITHIN)

    def stop(self) -> None:
        """End the serving and give the ports back; idempotent."""
        thread, loop, ended = self._thread, self._loop, self._ended
        if thread is not None:
            if loop is not None and ended is not None:
                try:
                    loop.call_soon_threadsafe(ended.set)
                except RuntimeError:
                    logger.debug("The endpoints had ended before.")  # it has died, and said so
            thread.join(2 * _STOPPED_WITHIN)
            self._thread = None
        self._release()

    def _release(self) -> None:
        for site in self._sites:
            site.listener.close()
        self._sites.clear()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            logger.exception("The endpoints of health and metrics have died; operator and election go on.")
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        runners: list[web.AppRunner] = []
        doors: list[Door] = []
        try:
            for site in self._sites:
                runner = web.AppRunner(
                    self._application(site.endpoints),
                    access_log=None,
                    shutdown_timeout=_STOPPED_WITHIN / 2,
                    logger=endpoints_logger,
                )
                runners.append(runner)
                await runner.setup()
                assert runner.server is not None  # noqa: S101 (since `setup()`)
                doors.append(Door(site.listener, runner.server))
                where = site.listener.getsockname()
                logger.info("Serving %s at %s.", " and ".join(site.endpoints), Address(where[0], where[1]))
            async with open_doors(doors):
                self._up.set()
                while not self._ended.is_set():
                    self._health.beat()
                    try:
                        async with asyncio.timeout(BEAT):
                            await self._ended.wait()
                    except TimeoutError:
                        continue
        finally:
            for runner in runners:
                await runner.cleanup()

    def _application(self, endpoints: Iterable[str]) -> web.Application:
        application = web.Application()
        application.on_response_prepare.append(one_request)
        for name in endpoints:
            if name == "health":
                self._add(application, "healthz", lambda: self._health.live)
                self._add(application, "livez", lambda: self._health.live)
                self._add(application, "readyz", lambda: self._health.ready)
            elif self._exposition is not None:
                application.router.add_get("/metrics", self._metrics)
        return application

    @staticmethod
    def _add(application: web.Application, endpoint: str, checks: Callable[[], Iterable[Check]]) -> None:
        async def all_checks(request: web.Request) -> web.Response:
            return _respond(request, endpoint, checks())

        async def one_check(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            chosen = [check for check in checks() if check.name == name]
            return _respond(request, endpoint, chosen) if chosen else web.Response(status=404, text="404 not found\n")

        application.router.add_get(f"/{endpoint}", all_checks)
        application.router.add_get(f"/{endpoint}/", all_checks)
        application.router.add_get(f"/{endpoint}/{{name}}", one_check)

    async def _metrics(self, request: web.Request) -> web.Response:
        assert self._exposition is not None  # noqa: S101 (the route exists only then)
        body, content_type = self._exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _respond(request: web.Request, endpoint: str, checks: Iterable[Check]) -> web.Response:
    said = answer(
        checks, endpoint=endpoint, verbose="verbose" in request.query, exclude=request.query.getall("exclude", [])
    )
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache, private"}
    return web.Response(status=200 if said.healthy else 500, text=said.text, headers=headers)
