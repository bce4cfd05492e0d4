"""Secrets that are recognised wherever they come out, and clients that have them."""

import base64
import json
import logging
import stat
import sys
import traceback

import kopf
import kubernetes.aio.client
import kubernetes.client
import pykube

from kopf_leader.clients.blocking import BlockingLeaseClient
from kopf_leader.clients.direct import DirectLeaseClient
from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.clients.kubeconfig import read_merged
from kopf_leader.clients.kubernetes import KubernetesLibrary
from kopf_leader.clients.kubernetes_aio import AioKubernetes
from kopf_leader.clients.local import connection_of
from kopf_leader.clients.pykube import PykubeLibrary

MARK = "s3cr3t"
TOKEN, PASSWORD, PROXY, HEADER, PLUGIN, KEY = (
    f"{MARK}-{name}-of-mine" for name in ["token", "pass", "proxy", "head", "exec", "key"]
)
CODED = [base64.b64encode(f"ann:{word}".encode()).decode() for word in (PASSWORD, PROXY)]


def leaks(*texts: str) -> set[str]:
    """The secrets in what came out, in clear or encoded."""
    every = "\n".join(texts)
    print(*(text for text in texts if MARK in text), sep="\n")  # pytest shows it, should the test fail
    coded = [*CODED, *(base64.b64encode(each.encode()).decode()[:12] for each in (TOKEN, PLUGIN, KEY))]
    return {each for each in (MARK, *coded) if each in every} | ({"PRIVATE KEY"} if "PRIVATE KEY" in every else set())


def chain(error: BaseException) -> list[str]:
    """All that an error says: as text, as repr, as a traceback, and what stands behind it (no lines of sources)."""
    said, link = [], error
    while link is not None:
        said += [str(link), repr(link), *traceback.format_exception_only(link)]
        link = link.__cause__
    return said


def logged(records: list[logging.LogRecord]) -> list[str]:
    """All that was logged, with the errors that come with it."""
    said = []
    for record in records:
        said.append(record.getMessage())
        if record.exc_info and record.exc_info[1]:
            said += chain(record.exc_info[1])
    return said


def plugin(folder, code: str) -> str:
    """An exec plugin that runs this."""
    path = folder / "plugin"
    path.write_text(f"#!{sys.executable}\nimport json, sys\n{code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


GRANTS = (
    'print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential",'
    f' "status": {{"token": "{PLUGIN}"}}}}))'
)


def kubeconfig(folder, url, user, *, proxy=None, **cluster) -> str:
    """A kubeconfig for this user; as JSON, which is YAML."""
    body = {
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": url, **cluster, **({"proxy-url": proxy} if proxy else {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ns"}}],
    }  # fmt: skip
    path = folder / "kubeconfig"
    path.write_text(json.dumps(body))
    return str(path)


def users(folder, pki, path=None) -> dict[str, dict]:
    """The kinds of credentials that a kubeconfig can have."""
    run = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": path or "/nowhere"}
    return {
        "token": {"token": TOKEN},
        "basic": {"username": "ann", "password": PASSWORD},
        "key": {"client-certificate": str(pki.client_certificate), "client-key": str(pki.client_key)},
        "exec": {"exec": {**run, "args": [f"--secret={PLUGIN}"], "env": [{"name": "S", "value": PLUGIN}],
                          "interactiveMode": "Never"}},
        "torn": {"token": f"{TOKEN}\nX-Forged: {TOKEN}"},
        "not ASCII": {"token": f"{TOKEN}\u2013"},
    }  # fmt: skip


def client(kind, path, *, timeout=30.0):
    """A client of this kind by a kubeconfig, each library reading it by itself; kopf's with what ours reads."""
    where = {"namespace": "ns", "name": "op"}
    if kind in ("kopf", "local"):

        async def bring():
            found = connection_of(read_merged([path], None))
            if kind == "local":
                return found
            known = ("server", "ca_data", "username", "password", "token", "certificate_data", "private_key_data")
            return kopf.ConnectionInfo(**{name: getattr(found, name) for name in known}, proxy_url=found.proxy_url)

        made = KopfLeaseClient if kind == "kopf" else DirectLeaseClient
        return made(**where, login=bring, patience=Patience(request=timeout, login=20.0))
    if kind == "kubernetes":
        return BlockingLeaseClient(KubernetesLibrary(), **where, timeout=timeout)
    if kind == "kubernetes.aio":
        return AioKubernetes().client(**where, timeout=timeout)
    return BlockingLeaseClient(PykubeLibrary(), **where, timeout=timeout)


def with_header(kind, url):
    """A client of a library that was told to send a header of its own."""
    where = {"namespace": "ns", "name": "op", "timeout": 30.0}
    if kind == "kubernetes":
        configuration = kubernetes.client.Configuration()
        configuration.host = url
        api = kubernetes.client.ApiClient(configuration, header_name="X-Api-Key", header_value=HEADER, cookie=HEADER)
        return BlockingLeaseClient(KubernetesLibrary(api), **where)
    if kind == "kubernetes.aio":
        configuration = kubernetes.aio.client.Configuration(host=url)
        configuration.api_key["BearerToken"] = HEADER
        return AioKubernetes(configuration).client(**where)
    config = pykube.KubeConfig(
        {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )
    http = pykube.HTTPClient(config)
    http.session.headers["X-Api-Key"] = HEADER
    return BlockingLeaseClient(PykubeLibrary(http), **where)
