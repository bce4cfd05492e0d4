"""The clients, made alike: with a server's address and a token, or with a kubeconfig."""

import threading
import time
from pathlib import Path

import kopf
import kubernetes.aio.client
import kubernetes.client
import kubernetes.config
import pykube

from kopf_leader.clients.blocking import BlockingLeaseClient
from kopf_leader.clients.connection import Connection
from kopf_leader.clients.direct import DirectLeaseClient
from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.clients.kubeconfig import read_merged
from kopf_leader.clients.kubernetes import KubernetesLibrary
from kopf_leader.clients.kubernetes_aio import AioKubernetes
from kopf_leader.clients.local import connection_of
from kopf_leader.clients.pykube import PykubeLibrary
from tests.clients.servers import NAME, NAMESPACE

BLOCKING = ["kubernetes", "pykube"]
EVERY = ["kopf", "kubernetes.aio", "local", *BLOCKING]


def pykube_config(url, *, token=None, ca=None):
    cluster = {"server": url} | ({"certificate-authority": str(ca)} if ca else {})
    return pykube.KubeConfig(
        {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token} if token else {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


def kubernetes_configuration(url, *, token=None, ca=None):
    configuration = kubernetes.client.Configuration()
    configuration.host = url
    configuration.ssl_ca_cert = str(ca) if ca else None
    if token:
        configuration.api_key["authorization"] = f"Bearer {token}"
    return configuration


def aio_configuration(url, *, token=None, ca=None):
    configuration = kubernetes.aio.client.Configuration(host=url, ssl_ca_cert=str(ca) if ca else None)
    if token:
        configuration.api_key["BearerToken"] = f"Bearer {token}"
    return configuration


def by_address(kind, url, *, token=None, ca=None, request=30.0, silence=30.0, login=30.0, name=NAME):
    """A client with the credentials given."""
    if kind == "kopf":

        async def bring():
            return kopf.ConnectionInfo(server=url, token=token, ca_path=ca)

        patience = Patience(request=request, login=login, silence=silence)
        return KopfLeaseClient(namespace=NAMESPACE, name=name, login=bring, patience=patience)
    patience = Patience(request=request, login=login, silence=silence)
    if kind == "kubernetes.aio":
        bring = AioKubernetes(aio_configuration(url, token=token, ca=ca)).log_in
        return DirectLeaseClient(namespace=NAMESPACE, name=name, login=bring, patience=patience)
    if kind == "local":
        connection = Connection(server=url, origin="the kubeconfig", token=token, ca_path=str(ca) if ca else None)
        return DirectLeaseClient(namespace=NAMESPACE, name=name, login=_bringing(connection), patience=patience)
    if kind == "kubernetes":
        library = KubernetesLibrary(kubernetes_configuration(url, token=token, ca=ca))
    else:
        library = PykubeLibrary(pykube_config(url, token=token, ca=ca))
    return BlockingLeaseClient(library, namespace=NAMESPACE, name=name, timeout=request, silence=silence, login=login)


def _bringing(connection):
    async def bring():
        return connection

    return bring


def by_kubeconfig(kind, path, *, namespace, name=NAME, request=30.0):
    """A client with the credentials of a kubeconfig, as each library reads it."""
    if kind == "kopf":

        async def bring():
            (user,) = pykube.KubeConfig.from_file(path).users.values()
            cluster = pykube.KubeConfig.from_file(path).cluster
            return kopf.ConnectionInfo(
                server=cluster["server"], ca_path=cluster["certificate-authority"].filename(), token=user["token"]
            )

        return KopfLeaseClient(namespace=namespace, name=name, login=bring, patience=Patience(request=request))
    if kind == "kubernetes.aio":
        config = pykube.KubeConfig.from_file(path)
        (user,), cluster = config.users.values(), config.cluster
        theirs = aio_configuration(
            cluster["server"], token=user["token"], ca=cluster["certificate-authority"].filename()
        )
        return AioKubernetes(theirs).client(namespace=namespace, name=name, timeout=request)
    if kind == "local":
        connection = connection_of(read_merged([Path(path)], None))
        return DirectLeaseClient(
            namespace=namespace, name=name, login=_bringing(connection), patience=Patience(request=request)
        )
    if kind == "kubernetes":
        library = KubernetesLibrary(kubernetes.config.new_client_from_config(config_file=str(path)))
    else:
        library = PykubeLibrary(pykube.HTTPClient(pykube.KubeConfig.from_file(path)))
    return BlockingLeaseClient(library, namespace=namespace, name=name, timeout=request)


def threads(name=NAME):
    """The threads that work for a client."""
    return [thread for thread in threading.enumerate() if thread.name == f"lease-{name}"]


def until_no_threads(name=NAME):
    """Wait until none is left; fail by naming them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and threads(name):
        time.sleep(0.01)
    assert threads(name) == []
