"""Nodes that are threads of the test: each runs what is bound to it as processes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster.cluster import Cluster
from tests.cluster.pod import STRATEGIC, Image, Pod
from tests.controlplane.server import RealControlPlane


class Agent:
    """Registers itself, says that it lives, and runs what is bound to it."""

    def __init__(self, name: str, *, control_plane: RealControlPlane, folder: Path, image: Image) -> None:
        self.name = name
        self.pods: dict[str, Pod] = {}
        self._silent = threading.Event()
        self._control_plane, self._folder, self._image = control_plane, folder, image
        self._api = control_plane.admin
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"node {name}", daemon=True)

    def start(self) -> None:
        """Be a node."""
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        self._api.create("/api/v1/nodes", {"metadata": {"name": self.name, "labels": labels}})
        self._beat()
        self._thread.start()

    def silence(self) -> None:
        """From now on the node says and does nothing: its agent hangs, its processes go on."""
        self._silent.set()

    def speak(self) -> None:
        """The agent goes on."""
        self._silent.clear()

    def stop(self) -> None:
        """Stop everything that runs here."""
        self._ended.set()
        self._thread.join(10)
        for pod in self.pods.values():
            pod.grace = 1.0
            pod.deleted.set()
        for pod in self.pods.values():
            pod.join(20)

    def _run(self) -> None:
        beaten = 0.0
        while not self._ended.wait(0.1):
            if self._silent.is_set():
                continue
            try:
                if time.monotonic() > beaten + 1.0:
                    self._beat()
                    beaten = time.monotonic()
                self._sync()
            except OSError:
                continue

    def _beat(self) -> None:
        room = {"cpu": "8", "memory": "8Gi", "pods": "50"}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = {"type": "Ready", "status": "True", "reason": "AgentReady", "lastHeartbeatTime": stamp}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self._api.request("PATCH", f"/api/v1/nodes/{self.name}/status", {"status": status}, content_type=STRATEGIC)

    def _sync(self) -> None:
        listed = self._api.get(f"/api/v1/pods?fieldSelector=spec.nodeName={self.name}")["items"]
        for body in listed:
            uid, deleted = body["metadata"]["uid"], body["metadata"].get("deletionTimestamp")
            pod = self.pods.get(uid)
            if pod is None and not deleted:
                self._begin(uid, body)
            elif deleted and pod is None:  # never begun: nothing to stop
                where = f"/api/v1/namespaces/{body['metadata']['namespace']}/pods/{body['metadata']['name']}"
                self._api.attempt("DELETE", where, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
            elif deleted and pod is not None:
                pod.grace = float(body["metadata"].get("deletionGracePeriodSeconds", 30))
                if pod.over:
                    where = f"/api/v1/namespaces/{body['metadata']['namespace']}/pods/{body['metadata']['name']}"
                    self._api.attempt("DELETE", where, {"gracePeriodSeconds": 0})
                pod.deleted.set()
        there = {body["metadata"]["uid"] for body in listed}
        for uid, pod in self.pods.items():
            if uid not in there:  # deleted by force: a kubelet stops it then
                pod.deleted.set()

    def _begin(self, uid: str, body: dict[str, Any]) -> None:
        folder = self._folder / uid
        folder.mkdir(parents=True)
        name = body["metadata"]["name"]
        self.pods[uid] = Pod(
            body,
            api=self._api,
            ca_file=self._control_plane.ca_file,
            folder=folder,
            image=self._image,
            log=self._folder / f"{name}.log",
        )
        self.pods[uid].start()


class Agents(Cluster):
    """Three such nodes, which share the image's folders, and one file of history."""

    grace = 6

    def __init__(self, control_plane: RealControlPlane, programs: dict[str, Path], folder: Path, image: Image) -> None:
        super().__init__(control_plane, programs, folder)
        self._image = image
        self.agents = [
            Agent(f"node-{letter}", control_plane=control_plane, folder=folder / "pods", image=image)
            for letter in "abc"
        ]
        self.nodes = self.agents

    def pods(self, namespace: str) -> Iterator[tuple[Agent, Pod]]:
        for agent in self.agents:
            for pod in list(agent.pods.values()):
                if pod.meta["namespace"] == namespace and pod.process is not None and pod.process.poll() is None:
                    yield agent, pod

    def logs(self, namespace: str, lines: int = 25) -> str:
        texts = []
        for agent in self.agents:
            for pod in agent.pods.values():
                if pod.meta["namespace"] == namespace and pod.log.exists():
                    tail = pod.log.read_text(errors="replace").splitlines()[-lines:]
                    texts.append("\n".join([f"--- {pod.name} on {agent.name}", *tail]))
        return "\n".join(texts)

    def history(self, namespace: str) -> bytes:
        mine = {
            pod.name for agent in self.agents for pod in [*agent.pods.values()] if pod.meta["namespace"] == namespace
        }
        assert self._image.history is not None
        lines = self._image.history.read_bytes().splitlines(keepends=True)
        return b"".join(line for line in lines if json.loads(line).get("replica") in mine)
