"""The Lease by the credentials of where this process runs: the pod's service account, else the kubeconfig.

In the order in which the namespace is looked for (`namespace.py`), and in that of kopf's login handlers.
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from kopf_leader.clients.connection import Connection
from kopf_leader.clients.credentials import SERVICE_ACCOUNT_TOKEN
from kopf_leader.clients.direct import DirectLeaseClient, Patience
from kopf_leader.clients.kubeconfig import Access, KubeconfigError, read_merged
from kopf_leader.clients.namespace import kubeconfigs


class LocalLeaseClient(DirectLeaseClient):
    """A `LeaseClient` that finds its credentials by itself, at the first request and again after a 401.

    `timeout` is for one request, in seconds. A service account's token is followed in its file.
    """

    READABLE = (KubeconfigError,)

    def __init__(self, *, namespace: str, name: str, timeout: float) -> None:
        async def login() -> Connection:
            return await asyncio.to_thread(find_connection)  # a credential plugin may take its time

        super().__init__(namespace=namespace, name=name, login=login, patience=Patience(request=timeout))


def find_connection(
    *, service_account: Path = Path(SERVICE_ACCOUNT_TOKEN).parent, environ: Mapping[str, str] = os.environ
) -> Connection:
    """The credentials. Raises `KubeconfigError` where there are none, or they cannot be used."""
    server = server_of_pod(environ)
    token = service_account / "token"
    if server is not None and token.is_file():
        try:
            return Connection(
                server=server,
                origin="the service account",
                ca_path=str(service_account / "ca.crt"),
                token=token.read_text(encoding="utf-8").strip(),
            )
        except (OSError, ValueError) as error:
            raise KubeconfigError(f"The service account's token cannot be read ({error}).") from error
    named = kubeconfigs(environ)
    present = [path for path in named if path.exists()]
    if not present:
        looked = ", ".join(str(path) for path in named)
        raise KubeconfigError(f"There is no service account and no kubeconfig ({looked}): set KUBECONFIG.")
    return connection_of(read_merged(present, None))


def server_of_pod(environ: Mapping[str, str]) -> str | None:
    """The API server's URL as a pod is told it; None outside of a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://{f'[{host}]' if ':' in host else host}:{port}" if host else None


def connection_of(
    access: Access, *, remedy: str = "use a context without it, or the client 'kubernetes'"
) -> Connection:
    """A kubeconfig's context as a connection. Raises `KubeconfigError` for what there is no word for.

    `remedy` is what the caller's user can do instead, for the sentence.
    """
    if access.tls_name:
        raise KubeconfigError(
            f"The kubeconfig names the server for TLS by tls-server-name, which is not supported here: {remedy}."
        )
    return Connection(
        server=access.server,
        origin="the kubeconfig",
        ca_data=access.ca_data,
        insecure=access.insecure or None,
        username=access.username,
        password=access.password,
        token=access.token,
        certificate_data=access.certificate_data,
        private_key_data=access.key_data,
        proxy_url=access.proxy,
    )
