"""The Lease through the asynchronous half of the official client, `kubernetes.aio`: by its configuration.

Its `ApiClient` is bound to the event loop of whoever made it, and the election has a loop of its own. So the
configuration is read (server, credentials, TLS, proxy), and the requests are our own. Custom connectors, tracing and
default headers stay with the user's object.
"""

import os
from typing import Any

import kubernetes.aio.client
import kubernetes.aio.config

from kopf_leader.clients.connection import Connection
from kopf_leader.clients.direct import DirectLeaseClient, Patience
from kopf_leader.errors import SettingsError

ORIGIN = "the library kubernetes.aio"


class AioLeaseClient(DirectLeaseClient):
    """A `LeaseClient` with the credentials of `kubernetes.aio`."""

    READABLE = (kubernetes.aio.config.ConfigException, SettingsError)


class AioKubernetes:
    """The log-in by an `ApiClient` or a `Configuration`; None for the service account, else the kubeconfig.

    Raises `SettingsError` for a configuration that asks for what the election's client cannot do.
    """

    def __init__(self, given: Any = None) -> None:
        self._given: Any = given.configuration if isinstance(given, kubernetes.aio.client.ApiClient) else given
        if self._given is not None:
            _check(self._given)

    def client(self, *, namespace: str, name: str, timeout: float) -> AioLeaseClient:
        """A `LeaseClient`; `timeout` is for one request, in seconds."""
        return AioLeaseClient(namespace=namespace, name=name, login=self.log_in, patience=Patience(request=timeout))

    async def log_in(self) -> Connection:
        """Read the configuration, after its hook for new tokens; load it again if we loaded it."""
        configuration = await _load() if self._given is None else self._given
        _check(configuration)
        shown = [each["value"] for each in (await configuration.auth_settings()).values() if each["value"]]
        scheme, _, token = shown[0].rpartition(" ") if shown else ("", "", "")
        return Connection(
            server=configuration.host,
            origin=ORIGIN,
            ca_path=configuration.ssl_ca_cert or None,
            ca_data=configuration.ca_cert_data or None,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file or None,
            private_key_path=(configuration.key_file or configuration.cert_file) or None,
            proxy_url=configuration.proxy or None,
            trust_env=True,  # as the library's own sessions
        )


async def _load() -> Any:
    configuration = kubernetes.aio.client.Configuration()
    try:
        kubernetes.aio.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # theirs
    except kubernetes.aio.config.ConfigException:
        # The library reads the variable when it is imported, we when it is needed.
        path = os.environ.get("KUBECONFIG") or None
        await kubernetes.aio.config.load_kube_config(  # type: ignore[no-untyped-call] # theirs
            config_file=path, client_configuration=configuration
        )
    return configuration


def _check(configuration: Any) -> None:
    for name in ("tls_server_name", "proxy_headers"):
        if getattr(configuration, name, None):
            sentence = f"The configuration of kubernetes.aio sets {name}, which the election cannot do: "
            raise SettingsError([sentence + "leave it out, or pass an object of the library kubernetes."])
