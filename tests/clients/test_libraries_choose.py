"""From what a person passes to a client: objects, names, and what cannot be used."""

import asyncio
import builtins
import sys

import kubernetes.aio.client
import kubernetes.client
import kubernetes.config
import pykube
import pytest
import requests
import yaml

from kopf_leader.clients import choose
from kopf_leader.clients import kubernetes as kubernetes_client
from kopf_leader.clients import pykube as pykube_client
from kopf_leader.clients.choose import client_for
from kopf_leader.clients.kubernetes import KubernetesLibrary
from kopf_leader.clients.pykube import PykubeLibrary
from kopf_leader.errors import LeaseAPIError, SettingsError
from tests.clients.libraries import (
    BLOCKING,
    aio_configuration,
    kubernetes_configuration,
    pykube_config,
    until_no_threads,
)
from tests.clients.servers import LEASE, NAME, NAMESPACE, always, reply, status


def make(thing):
    return client_for(thing, namespace=NAMESPACE, name=NAME, timeout=30.0)


def write_kubeconfig(path, url, token):
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )


async def ask(client):
    try:
        return await client.read()
    finally:
        await client.close()
        await asyncio.to_thread(until_no_threads)


THINGS = {
    "Configuration": lambda url: kubernetes_configuration(url, token="t0"),
    "ApiClient": lambda url: kubernetes.client.ApiClient(kubernetes_configuration(url, token="t0")),
    "aio Configuration": lambda url: aio_configuration(url, token="t0"),
    "KubeConfig": lambda url: pykube_config(url, token="t0"),
    "HTTPClient": lambda url: pykube.HTTPClient(pykube_config(url, token="t0")),
}


@pytest.mark.parametrize("thing", THINGS)
async def test_objects(thing, serve):
    """Every object of a known library makes a client with its address and its credentials."""
    server = await serve(always(reply(200, LEASE)))
    factory = make(THINGS[thing](server.url))
    assert await ask(factory()) == LEASE
    assert await ask(factory()) == LEASE, "a factory makes as many as there are elections"
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer t0"}


@pytest.mark.parametrize("name", [*BLOCKING, "kubernetes.aio"])
async def test_names(name, serve, tmp_path, monkeypatch):
    """A name stands for the library's own way to find its kubeconfig, at the first request."""
    server = await serve(always(reply(200, LEASE)))
    write_kubeconfig(tmp_path / "config", server.url, "t0")
    factory = make(name)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert await ask(factory()) == LEASE
    assert server.requests[0].headers["authorization"] == "Bearer t0"


@pytest.mark.parametrize("name", BLOCKING)
async def test_no_configuration(name, tmp_path, monkeypatch):
    """Where the library finds nothing, it is told as an error of the request; nothing was sent."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(LeaseAPIError, match="broke off") as caught:
        await ask(make(name)())
    assert caught.value.status is None


@pytest.mark.parametrize("name", BLOCKING)
async def test_log_in_again(name, serve, tmp_path, monkeypatch):
    """L17: after a 401 the kubeconfig is read again, and its new token used."""

    async def answer(request, writer):
        good = request.headers["authorization"] == "Bearer new"
        writer.write(reply(200, LEASE) if good else reply(401, status(401, "Unauthorized")))

    server = await serve(answer)
    path = tmp_path / "config"
    write_kubeconfig(path, server.url, "old")
    monkeypatch.setenv("KUBECONFIG", str(path))
    things = [name] if name == "kubernetes" else [name, pykube.KubeConfig.from_file(path)]
    for thing in things:
        write_kubeconfig(path, server.url, "old")
        client = make(thing)()
        with pytest.raises(LeaseAPIError) as caught:
            await client.read()
        assert caught.value.status == 401
        write_kubeconfig(path, server.url, "new")
        await client.login()
        assert await ask(client) == LEASE


async def test_hook_of_the_library(serve):
    """L17: a Configuration with a hook for new tokens (a service account's, an exec plugin's) is asked by it."""
    server = await serve(always(reply(200, LEASE)))
    configuration = kubernetes_configuration(server.url, token="old")

    def hook(theirs):
        theirs.api_key["authorization"] = "Bearer new"

    configuration.refresh_api_key_hook = hook
    client = make(configuration)()
    await client.login()
    assert await ask(client) == LEASE
    assert server.requests[-1].headers["authorization"] == "Bearer new"


async def test_service_account_of_pykube(serve, tmp_path, monkeypatch):
    """L17: pykube reads a service account's token once; after a 401 it is read again from its file."""
    server = await serve(always(reply(200, LEASE)))
    (tmp_path / "token").write_text("old")
    (tmp_path / "namespace").write_text(NAMESPACE)
    (tmp_path / "ca.crt").write_text("")
    monkeypatch.setattr(pykube_client, "SERVICE_ACCOUNT_TOKEN", str(tmp_path / "token"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    library = PykubeLibrary(pykube.KubeConfig.from_service_account(str(tmp_path)))
    (tmp_path / "token").write_text("new")
    library.log_in()
    assert library._http.config.user["token"] == "new"
    assert library.secrets == ("new",)
    library.close()


async def test_theirs_is_only_read(serve):
    """An object of somebody else's is neither changed nor closed; its headers are used."""
    server = await serve(always(reply(200, LEASE)))
    api = kubernetes.client.ApiClient(
        kubernetes_configuration(server.url, token="t0"), header_name="X-Team", header_value="blue"
    )
    http = pykube.HTTPClient(pykube_config(server.url, token="t0"))
    http.session.headers["X-Team"] = "blue"
    pools, session = api.rest_client.pool_manager, http.session
    for thing in (api, http):
        assert await ask(make(thing)()) == LEASE
        assert server.requests[-1].headers["x-team"] == "blue"
    assert api.rest_client.pool_manager is pools
    assert http.session is session
    assert (api.configuration.retries, session.get_adapter(server.url).max_retries.total) == (None, 0)
    answer = await asyncio.to_thread(http.session.get, server.url)
    assert answer.status_code == 200
    api.close()
    http.session.close()


async def test_their_retries_are_not_ours(serve):
    """L4: retries that somebody has switched on for their own requests do not repeat the election's."""

    async def cut(_, writer):
        writer.close()

    server = await serve(cut)
    configuration = kubernetes_configuration(server.url)
    configuration.retries = 5
    configuration.client_go_retries = True
    http = pykube.HTTPClient(pykube_config(server.url))
    http.session.get_adapter(server.url).max_retries = requests.adapters.Retry(5, allowed_methods=None)
    for number, thing in enumerate((configuration, http), start=1):
        client = make(thing)()
        with pytest.raises(LeaseAPIError, match="broke off"):
            await client.replace(LEASE)
        await client.close()
        assert len(server.requests) == number
    http.session.close()


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        ("kr8s", "There is no client 'kr8s': write 'kubernetes', 'kubernetes.aio' or 'pykube'"),
        (object(), "The client is a builtins.object, which the election cannot use"),
        (requests.Session(), "The client is a requests.sessions.Session"),
        (kubernetes.client.CoreV1Api, "The client is a builtins.type"),
    ],
    ids=range(4),
)
def test_unknown_library(thing, says):
    """An object of an unknown library is refused in one sentence that names the known ones."""
    with pytest.raises(SettingsError, match=says) as caught:
        make(thing)
    assert "pykube.HTTPClient" in str(caught.value)


@pytest.mark.parametrize("setting", ["tls_server_name", "proxy_headers"])
def test_aio_configuration_that_cannot_be_used(setting):
    """`kubernetes.aio`: what the election's own requests could not do is refused, and not left out."""
    configuration = aio_configuration("http://127.0.0.1:1")
    setattr(configuration, setting, "x")
    with pytest.raises(SettingsError, match=f"sets {setting}, which the election cannot do"):
        make(configuration)


async def test_hook_of_aio(serve):
    """L17: the hook of `kubernetes.aio` for new tokens is asked at each log-in; its ApiClient is only read."""
    server = await serve(always(reply(200, LEASE)))
    configuration = aio_configuration(server.url, token="old")

    async def hook(theirs):
        theirs.api_key["BearerToken"] = "Bearer new"

    configuration.refresh_api_key_hook = hook
    async with kubernetes.aio.client.ApiClient(configuration) as api:
        assert await ask(make(api)()) == LEASE
        assert api.rest_client.pool_manager is None
    assert server.requests[-1].headers["authorization"] == "Bearer new"


@pytest.mark.parametrize(
    ("options", "says"),
    [({"dry_run": True}, "dry runs"), ({"http_adapter": requests.adapters.HTTPAdapter()}, "a HTTPAdapter of its own")],
)
def test_pykube_client_that_cannot_be_used(options, says):
    """A client whose writes do nothing would elect everybody; one whose sockets are out of reach keeps no time."""
    http = pykube.HTTPClient(pykube_config("http://127.0.0.1:1"), **options)
    with pytest.raises(SettingsError, match=says):
        make(http)
    http.session.close()


@pytest.mark.parametrize(("name", "package"), [("kubernetes", "kubernetes"), ("pykube", "pykube-ng")])
def test_not_installed(name, package, monkeypatch):
    """A library that is not installed is told with the extra that brings it."""
    real = builtins.__import__

    def without(wanted, *args, **options):
        if wanted.partition(".")[0] == name:
            raise ModuleNotFoundError(f"No module named {wanted!r}")
        return real(wanted, *args, **options)

    monkeypatch.delitem(sys.modules, f"kopf_leader.clients.{name}")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match=rf"needs the package {package}.*install kopf-leader\[{name}\]\."):
        make(name)


def test_nothing_is_imported_that_is_not_used():
    """The choice itself imports no library."""
    assert {"kubernetes", "pykube", "urllib3", "requests"}.isdisjoint(vars(choose))
    assert KubernetesLibrary is kubernetes_client.KubernetesLibrary
