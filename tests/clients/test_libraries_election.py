"""An election over a blocking library: hanging sockets do not hold the renew deadline (L7, L12)."""

import asyncio
import threading

import kubernetes.client
import pykube
import pytest

from kopf_leader.clients.choose import client_for
from kopf_leader.clients.kubernetes import KubernetesLibrary
from kopf_leader.clients.pykube import PykubeLibrary
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.protocol.settings import Settings
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from tests.clients.libraries import kubernetes_configuration, pykube_config, until_no_threads
from tests.elector.memory import Recorder

LIBRARIES = {
    "kubernetes": (KubernetesLibrary, lambda url: kubernetes.client.ApiClient(kubernetes_configuration(url))),
    "pykube": (PykubeLibrary, lambda url: pykube.HTTPClient(pykube_config(url))),
}


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (it is another thread's doing)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", LIBRARIES)
async def test_hanging_threads_do_not_hold_the_renew_deadline(kind, monkeypatch):
    """Every call of the library hangs: the term ends by the clock all the same, and a new one begins after it."""
    library, thing = LIBRARIES[kind]
    flows = threading.Event()
    flows.set()
    send, ending = library.send, []

    def hang(self, call):
        flows.wait(60)
        return send(self, call)

    monkeypatch.setattr(library, "send", hang)
    rules = Settings(
        name="op", namespace="default", identity="one", lease_duration=3, renew_deadline=2, retry_period=0.5
    )
    async with EmbeddedAPIServer(anonymous_admin=True) as server:
        server.create("leases", {"metadata": {"name": "op"}, "spec": {}}, namespace="default")
        follower = Recorder()
        election = ElectionThread(
            settings=rules,
            client=client_for(thing(server.url), namespace="default", name="op", timeout=rules.attempt_timeout),
            follower=follower,
        )

        def drained(token):
            ending.append((token, flows.is_set()))
            election.drained(token)

        follower.drained = drained
        election.start()
        try:
            await until(lambda: follower.leading)
            term = follower.terms[0]
            flows.clear()
            await until(lambda: ending)
            assert not term.valid
            assert ending == [(term.token, False)], "it ended while everything hung"
            flows.set()
            await until(lambda: len(follower.terms) == 2)
        finally:
            flows.set()
            election.resign(leave=True)
            assert await asyncio.to_thread(election.join, 60)
        (lease,) = server.objects("leases", namespace="default")
        assert lease["spec"]["holderIdentity"] == ""
    await asyncio.to_thread(until_no_threads)
