"""The Lease through the official client, `kubernetes` (29 or newer): any `ApiClient` or `Configuration`, or none.

The library's credentials, TLS and proxy settings are used, and its connection pools; not its models, which would drop
fields that they do not know. Somebody else's `ApiClient` is only read: the election has connections of its own.
"""

import copy
import os
import threading
from typing import Any
from urllib.parse import urlencode

import kubernetes.client
import kubernetes.client.rest
import kubernetes.config
import urllib3

from kopf_leader.clients import wires
from kopf_leader.clients.blocking import Call
from kopf_leader.clients.hidden import loading, login_in, shown, told_by

USER_AGENT = "kopf-leader"


class KubernetesLibrary:
    """The `Library` of the official client.

    `given` is an `ApiClient`, a `Configuration`, or None for the service account and, where there is none, the
    kubeconfig. They are looked up at the first request, and again by `log_in()`.
    """

    def __init__(self, given: Any = None) -> None:
        self.server = "the server"
        self.login = "the credentials of the library kubernetes"
        self.secrets: tuple[str, ...] = ()
        self._api = given if isinstance(given, kubernetes.client.ApiClient) else None
        self._given: Any = given.configuration if self._api is not None else given
        self._lock = threading.Lock()
        self._configuration: Any = None
        self._pools: urllib3.PoolManager | None = None
        self._closed = False

    def send(self, call: Call) -> Any:
        """Send it; see `Library.send`. Raises what urllib3 and the library raise."""
        configuration, pools = self._ready()
        headers = self._headers(configuration) | dict(call.headers)
        url = configuration.host.rstrip("/") + call.path + (f"?{urlencode(call.query)}" if call.query else "")
        return pools.request(
            call.method,
            url,
            body=call.body,
            headers=headers,
            preload_content=False,
            redirect=False,
            retries=False,  # no second copy of a write (L4)
            timeout=urllib3.Timeout(connect=call.connect, read=call.silence),
        )

    def log_in(self) -> None:
        """Load the configuration again if we loaded it; ask its hook for a new token; read TLS files anew."""
        configuration = _load() if self._given is None else self._given
        configuration.auth_settings()  # calls `refresh_api_key_hook`
        self._take(configuration)

    def close(self) -> None:
        """Close the connections; see `Library.close`."""
        with self._lock:
            self._closed = True
            pools, self._pools = self._pools, None
        if pools is not None:
            pools.clear()

    def _ready(self) -> tuple[Any, urllib3.PoolManager]:
        with self._lock:
            configuration, pools = self._configuration, self._pools
        if pools is None or configuration is None:
            return self._take(_load() if self._given is None else self._given)
        return configuration, pools

    def _take(self, configuration: Any) -> tuple[Any, urllib3.PoolManager]:
        self.secrets = self._secrets_of(configuration)
        ours = copy.copy(configuration)
        ours.retries = None  # ours are switched off with each request
        pools: urllib3.PoolManager = kubernetes.client.rest.RESTClientObject(ours).pool_manager
        wires.bind(pools)
        with self._lock:
            if self._closed:
                raise ConnectionError("the client has been closed")
            old, self._pools = self._pools, pools
            self._configuration, self.server = configuration, shown(str(configuration.host))
        if old is not None:
            old.clear()
        return configuration, pools

    def _headers(self, configuration: Any) -> dict[str, str]:
        headers = {"User-Agent": USER_AGENT}
        if self._api is not None:
            headers = {name: str(value) for name, value in self._api.default_headers.items()}
            if self._api.cookie:
                headers["Cookie"] = self._api.cookie
        for setting in configuration.auth_settings().values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        self.secrets = (*self._secrets_of(configuration), *told_by(headers))
        return headers

    @staticmethod
    def _secrets_of(configuration: Any) -> tuple[str, ...]:
        proxy = getattr(configuration, "proxy_headers", None) or {}
        known = (configuration.password, *configuration.api_key.values(), *proxy.values())
        urls = (configuration.host, configuration.proxy)
        found = (*known, *(secret for url in urls for secret in login_in(url)))
        return tuple(secret for secret in found if isinstance(secret, str) and secret)


def _load() -> Any:
    """The service account's configuration, else the kubeconfig's: the order of kopf's login handlers."""
    configuration = kubernetes.client.Configuration()
    try:
        kubernetes.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # theirs
    except kubernetes.config.ConfigException:
        # The library reads the variable when it is imported, we when it is needed.
        path = os.environ.get("KUBECONFIG") or None
        with loading((kubernetes.config.ConfigException, OSError)):
            kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call] # theirs
                config_file=path, client_configuration=configuration
            )
    return configuration
