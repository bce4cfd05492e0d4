"""Handlers of every replica in real processes, two of them, on both API servers."""

from __future__ import annotations

import json
import os
import secrets
import ssl
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.processes import Replica, ReplicaSet
from tests.controlplane.api import Api
from tests.gate.operators import CRD, Cluster

ROOT = Path(__file__).parents[2]
HANDLERS = """
import json, os
import kopf
import kopf_leader

def note(what, name, **more):
    line = json.dumps({"who": os.environ["POD_NAME"], "pid": os.getpid(), "what": what, "name": name, **more}) + "\\n"
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(line)

@kopf.on.event("widgets")
@kopf_leader.every_replica
async def event(name, meta, event, patch, **_):
    note("event", name, version=meta["resourceVersion"], type=event["type"])
    patch.status["event"] = os.environ["POD_NAME"]

@kopf.timer("widgets", interval=0.1)
@kopf_leader.every_replica
def timer(name, **_):
    note("timer", name)

@kopf.daemon("widgets")
@kopf_leader.every_replica
async def daemon(name, stopped, **_):
    note("daemon", name)
    await stopped.wait()
    note("daemon over", name)

@kopf.on.create("widgets")
def create(name, **_):
    note("create", name, token=kopf_leader.current_term().token)

@kopf.on.delete("widgets")
def delete(name, **_):
    note("delete", name, token=kopf_leader.current_term().token)
"""
ELECTION = [
    "--enable-leader-election",
    "--leader-election-id=op",
    "--leader-election-lease-duration=6s",
    "--leader-election-renew-deadline=4s",
    "--leader-election-retry-period=1s",
]


class Everywhere:
    """Two replicas, their objects and their notes."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, folder: Path) -> None:
        self.cluster = cluster
        self.notes = folder / "notes"
        self.notes.touch()
        self._kubeconfig = kubeconfig
        self._handlers = folder / "handlers.py"
        self._handlers.write_text(HANDLERS)
        self.replicas = ReplicaSet(
            ["python", "-m", "kopf_leader", "run"], folder / "replicas", environment={"PYTHONPATH": str(ROOT)}
        )

    def start(self, name: str) -> Replica:
        arguments = [*ELECTION, "-n", self.cluster.namespace, str(self._handlers)]
        environment = {"POD_NAME": name, "NOTES": str(self.notes), "PATH": os.environ["PATH"]}
        self.replicas.start(name, kubeconfig=self._kubeconfig, arguments=arguments, environment=environment)
        return next(one for one in self.replicas if one.name == name)

    def read(self, what: str, **wanted: Any) -> list[dict[str, Any]]:
        """The notes of this kind, the complete lines."""
        lines = self.notes.read_text().splitlines(keepends=True)
        notes = [json.loads(line) for line in lines if line.endswith("\n")]
        return [note for note in notes if note["what"] == what and wanted.items() <= note.items()]

    def wait_until(self, what: str, condition: Any) -> None:
        self.replicas.wait_until(condition, what=what, timeout=60)

    def wait_until_seen(self, body: Any, *who: str) -> None:
        """Wait until each of them has seen this version of an object."""
        version = body["metadata"]["resourceVersion"]
        self.wait_until(
            f"version {version} to be seen by {who}",
            lambda: {note["who"] for note in self.read("event", version=version)} >= set(who),
        )

    def leader(self, name: str) -> str:
        """Who has handled the creation of this object."""
        self.wait_until("the creation to be handled", lambda: self.read("create", name=name))
        return str(self.read("create", name=name)[-1]["who"])


@pytest.fixture(params=["embedded", "real"])
def everywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Everywhere]:
    if request.param == "real":
        plane = request.getfixturevalue("shared_control_plane")
        plane.install(CRD)
        namespace = plane.namespace("everywhere")
        path = plane.kubeconfig(tmp_path / "kubeconfig", token=plane.admin.token, namespace=namespace)
        stage = Everywhere(Cluster(plane.admin, namespace), path, tmp_path)
        yield stage
        stage.replicas.close()
        return
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    with EmbeddedAPIServer(ssl_context=context, ca_file=ca_file).in_thread() as server:
        server.create("customresourcedefinitions", CRD)
        admin, namespace = Api(server.url, ca_file, server.admin_token), f"everywhere-{secrets.token_hex(4)}"
        admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        path = server.write_kubeconfig(tmp_path / "kubeconfig", token=admin.token, namespace=namespace)
        stage = Everywhere(Cluster(admin, namespace), path, tmp_path)
        yield stage
        stage.replicas.close()


def test_two_replicas_see_everything_and_one_handles(everywhere: Everywhere) -> None:
    """Marked handlers run on both replicas all the time, through two handovers; unmarked ones on one, and once."""
    stage, cluster = everywhere, everywhere.cluster
    processes = {name: stage.start(name) for name in ("a", "b")}
    cluster.create("first", i=0)
    stage.wait_until("daemons on both", lambda: {note["who"] for note in stage.read("daemon")} == {"a", "b"})
    leader = stage.leader("first")
    standby = ({"a", "b"} - {leader}).pop()
    for i in range(1, 6):
        stage.wait_until_seen(cluster.edit("first", i=i), "a", "b")

    processes[leader].stop()
    assert processes[leader].wait() == 0
    stage.wait_until_seen(cluster.create("second", i=0), standby)
    assert stage.leader("second") == standby
    ticks = len(stage.read("timer", name="first", who=standby))
    stage.wait_until("the timer to go on", lambda: len(stage.read("timer", name="first", who=standby)) > ticks + 3)

    newcomer = stage.start("c")
    stage.wait_until("its daemons", lambda: len(stage.read("daemon", who="c")) == 2)
    stage.wait_until_seen(cluster.edit("first", i=6), standby, "c")
    cluster.delete("first")
    stage.wait_until("the deletion", lambda: [item["metadata"]["name"] for item in cluster.objects()] == ["second"])
    stage.wait_until("both to see it", lambda: len(stage.read("event", name="first", type="DELETED")) == 2)
    stage.wait_until("its daemons to end", lambda: len(stage.read("daemon over", name="first")) == 3)

    processes[standby].stop()
    assert processes[standby].wait() == 0
    stage.wait_until_seen(cluster.create("third", i=0), "c")
    assert stage.leader("third") == "c"
    newcomer.stop()
    assert newcomer.wait() == 0

    assert [len(stage.read("create", name=name)) for name in ("first", "second", "third")] == [1, 1, 1]
    assert len(stage.read("delete")) == 1
    seen = Counter(
        (note["who"], note["name"], note["version"]) for note in stage.read("event") if note["type"] != "DELETED"
    )
    assert not [key for key, count in seen.items() if count > 1], "each version was seen once per replica"
    daemons = Counter((note["who"], note["name"]) for note in stage.read("daemon"))
    assert set(daemons.values()) == {1}, "no daemon was begun again"
    assert len(stage.read("daemon over")) == len(stage.read("daemon"))
    assert all("status" not in item for item in cluster.objects()), "what they write is dropped"
    for replica in (processes[leader], processes[standby], newcomer):
        lines = replica.text().splitlines()
        assert len([line for line in lines if "runs on every replica, so what it returns" in line]) == 1
        assert not [line for line in lines if "Traceback" in line or "ERROR" in line]
