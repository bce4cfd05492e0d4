"""The ground of the demo: an embedded API server, or a namespace of its own in the user's cluster.

In both it installs the widgets' definition. In the user's cluster it asks first whether it may do what it is going to,
touches nothing that it did not make, and removes all of it in the end (`removal.py`), also after Ctrl-C and errors.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kopf_leader.cli.demonstration import removal, rights, widgets
from kopf_leader.cli.demonstration.api import Answer, Api
from kopf_leader.cli.demonstration.plan import LEASE, Plan
from kopf_leader.cli.demonstration.removal import NAMESPACES, Say
from kopf_leader.cli.demonstration.tunnel import Tunnel
from kopf_leader.cli.lease import kubeconfig
from kopf_leader.cli.lease.kubeconfig import Access
from kopf_leader.cli.refused import Refused
from kopf_leader.clients.base import leases_path
from kopf_leader.testing.apiserver import EmbeddedAPIServer


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """An API server that is ready for the demo."""

    title: str
    """What it is, for the user."""
    access: Access
    api: Api
    namespace: str
    way: tuple[str, int]
    """Where a replica's proxy forwards to: the API server, or an HTTP proxy that leads there."""

    @property
    def target(self) -> tuple[str, int]:
        """Host and port to which a replica's proxy forwards."""
        return self.way

    def kubeconfig(self, port: int) -> str:
        """A kubeconfig that leads through a proxy on this port of loopback."""
        if not self.access.encrypted:
            return self.access.render(namespace=self.namespace, server=self.access.through(port))
        proxy = f"http://{self.access.proxy_user}127.0.0.1:{port}"
        return self.access.render(namespace=self.namespace, server=self.access.named(), proxy=proxy)


@asynccontextmanager
async def opened(plan: Plan, folder: Path, say: Say) -> AsyncIterator[Cluster]:
    """The cluster that the plan asks for. Raises `Refused` when it cannot be had, or must not be touched."""
    async with AsyncExitStack() as stack:
        if plan.kubeconfig is None:
            server = stack.enter_context(EmbeddedAPIServer().in_thread())
            access = Access(server=server.url, token=server.admin_token)
            title = "an API server of its own, in this process"
        else:
            access = await asyncio.to_thread(kubeconfig.read, plan.kubeconfig, plan.context)
            title = access.server
        api = await stack.enter_async_context(Api(access, folder))
        namespace = f"{plan.namespace}-{secrets.token_hex(3)}"
        if plan.kubeconfig is not None:
            await _may_begin(api, access, namespace)
            stack.push_async_callback(removal.remove, api, namespace, say)
        await _install(api, namespace)
        way = await _way(access, stack)
        yield Cluster(title=title, access=access, api=api, namespace=namespace, way=way)


async def _may_begin(api: Api, access: Access, namespace: str) -> None:
    """Ask before anything is touched."""
    try:
        await rights.check(api, namespace)
        known = await api.exists(f"{widgets.DEFINITIONS}/{widgets.DEFINITION}")
    except OSError as error:
        raise Refused(f"The API server {access.server} cannot be reached ({error}): check the kubeconfig.") from error
    if known is not None and not removal.ours(known):
        raise Refused(
            f"The cluster has a CustomResourceDefinition {widgets.DEFINITION} already, and the demo did not make it: "
            "use another cluster."
        )


async def _install(api: Api, namespace: str) -> None:
    """Create the namespace, the definition and the Lease, and wait until widgets are served."""
    try:
        await api.request("POST", NAMESPACES, {"metadata": {"name": namespace, "labels": widgets.OURS}})
        if await api.exists(f"{widgets.DEFINITIONS}/{widgets.DEFINITION}") is None:
            await api.request("POST", widgets.DEFINITIONS, widgets.definition())
        # Empty, as `kopf-leader manifest` and the chart have it: then the first leader need not wait (L11).
        lease = {"metadata": {"name": LEASE, "labels": widgets.OURS}, "spec": {}}
        await api.request("POST", leases_path(namespace), lease)
        async with asyncio.timeout(30):
            while await api.exists(widgets.path(namespace)) is None:  # noqa: ASYNC110 (it happens elsewhere)
                await asyncio.sleep(0.05)
    except (Answer, OSError) as error:
        raise Refused(f"The cluster could not be prepared: {error}") from error


async def _way(access: Access, stack: AsyncExitStack) -> tuple[str, int]:
    """TLS is verified end to end by the server's true name, so it goes through a tunnel, or the user's own proxy."""
    if not access.encrypted:
        return access.address
    if access.proxy:
        parts = urlsplit(access.proxy)
        if parts.scheme != "http" or access.tls_name:
            raise Refused("The demo knows plain HTTP proxies only (proxy-url): use another cluster.")
        return parts.hostname or "", parts.port or 80
    tunnel = await stack.enter_async_context(Tunnel(*access.address))
    return "127.0.0.1", tunnel.port
