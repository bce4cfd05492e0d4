"""The Lease through pykube-ng: any `pykube.HTTPClient` or `KubeConfig`, or none.

The library's credentials (exec plugins and OIDC included), TLS and session settings are used. Somebody else's
`HTTPClient` is only read: the election has a session of its own.
"""

import threading
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import pykube  # type: ignore[import-untyped] # it carries no types
import pykube.http  # type: ignore[import-untyped] # as above
import requests

from kopf_leader.clients import wires
from kopf_leader.clients.blocking import Call
from kopf_leader.clients.credentials import SERVICE_ACCOUNT_TOKEN
from kopf_leader.clients.hidden import loading, login_in, shown, told_by
from kopf_leader.errors import SettingsError


class _Adapter(pykube.http.KubernetesHTTPAdapter):  # type: ignore[misc] # it carries no types
    """pykube's adapter, which sends once and whose connections can be broken off."""

    sent: tuple[str, ...] = ()
    """What the last request has shown: exec plugins and OIDC bring a token at each of them."""

    def _do_send(self, request: Any, **options: Any) -> Any:
        self.sent = told_by(request.headers)
        return super()._do_send(request, **options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        wires.bind(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        wires.bind(manager)
        return manager

    def send(self, request: Any, **options: Any) -> Any:
        # pykube repeats a request that was answered with 401, up to two times; here the election does, once.
        return super().send(request, **options, _retry_attempt=2)


class PykubeLibrary:
    """The `Library` of pykube-ng.

    `given` is an `HTTPClient`, a `KubeConfig`, or None for the service account and, where there is none, the
    kubeconfig. They are looked up at the first request, and again by `log_in()`. Raises `SettingsError` for an
    `HTTPClient` that sends dry runs only, or by an adapter of its own.
    """

    def __init__(self, given: Any = None) -> None:
        self.server = "the server"
        self.login = "the credentials of the library pykube"
        self.secrets: tuple[str, ...] = ()
        self._known: tuple[str, ...] = ()
        self._client = given if isinstance(given, pykube.HTTPClient) else None
        self._config: Any = given.config if self._client is not None else given
        self._follows = self._config is None or _is_of_service_account(self._config)
        self._lock = threading.Lock()
        self._http: Any = None
        self._closed = False
        if self._client is not None:
            _check(self._client)

    def send(self, call: Call) -> Any:
        """Send it; see `Library.send`. Raises errors of requests, urllib3 and pykube."""
        http = self._ready()
        adapter = http.session.get_adapter(http.url)
        try:
            response = http.session.request(
                call.method,
                http.url.rstrip("/") + call.path,
                params=dict(call.query) or None,
                data=call.body,
                headers=dict(call.headers),
                stream=True,
                allow_redirects=False,
                timeout=(call.connect, call.silence),
            )
        except requests.exceptions.Timeout as exc:
            raise TimeoutError(str(exc)) from exc
        finally:
            self.secrets = (*self._known, *adapter.sent)
        return response.raw

    def log_in(self) -> None:
        """Read the kubeconfig or the service account's token again, where the configuration came from there."""
        config = self._config
        with loading((pykube.exceptions.PyKubeError, OSError)):
            if config is None:
                config = pykube.KubeConfig.from_env()
            elif config.kubeconfig_path is not None:
                config = pykube.KubeConfig.from_file(config.kubeconfig_path, current_context=config.current_context)
            elif self._follows:
                config = pykube.KubeConfig.from_service_account(str(Path(SERVICE_ACCOUNT_TOKEN).parent))
        self._take(config)

    def close(self) -> None:
        """Close the connections; see `Library.close`."""
        with self._lock:
            self._closed = True
            http, self._http = self._http, None
        if http is not None:
            http.session.close()

    def _ready(self) -> Any:
        with self._lock:
            http = self._http
        if http is not None:
            return http
        if self._config is not None:
            return self._take(self._config)
        with loading((pykube.exceptions.PyKubeError, OSError)):
            config = pykube.KubeConfig.from_env()
        return self._take(config)

    def _take(self, config: Any) -> Any:
        self.secrets = self._known = _secrets_of(config, self._client)
        http = pykube.HTTPClient(config, http_adapter=_Adapter(config, max_retries=0))
        if (theirs := self._client) is not None:
            http.url = theirs.url
            for name in ("auth", "cert", "headers", "params", "proxies", "trust_env", "verify"):
                setattr(http.session, name, getattr(theirs.session, name))
        with self._lock:
            if self._closed:
                raise ConnectionError("the client has been closed")
            old, self._http = self._http, http
            self.server = shown(str(http.url))
        if old is not None:
            old.session.close()
        return http


def _is_of_service_account(config: Any) -> bool:
    """Whether this has the service account's token, which pykube reads once and which is exchanged every hour."""
    try:
        token = Path(SERVICE_ACCOUNT_TOKEN).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return config.kubeconfig_path is None and bool(token.strip()) and config.user.get("token") == token


def _secrets_of(config: Any, client: Any) -> tuple[str, ...]:
    """What must not occur in any message, as far as it is known before a request."""
    user, plugin = config.user, config.user.get("exec") or {}
    known = [user.get("token"), user.get("password"), *(plugin.get("args") or ())]
    known += [each.get("value") for each in plugin.get("env") or ()]
    proxies = [*getproxies().values()]
    if client is not None:
        known += told_by(client.session.headers)
        proxies += [*client.session.proxies.values()]
    known += [secret for url in (config.cluster.get("server"), *proxies) for secret in login_in(url)]
    return tuple(secret for secret in known if isinstance(secret, str) and secret)


def _check(client: Any) -> None:
    if client.dry_run:
        sentence = (
            "The pykube.HTTPClient sends dry runs, by which everybody would be elected: pass one without dry_run."
        )
        raise SettingsError([sentence])
    adapter = client.session.get_adapter(client.url)
    if type(adapter) is not pykube.http.KubernetesHTTPAdapter:
        sentence = (
            f"The pykube.HTTPClient sends through a {type(adapter).__name__} of its own, which the election cannot "
            "break off in time: pass one without http_adapter."
        )
        raise SettingsError([sentence])
