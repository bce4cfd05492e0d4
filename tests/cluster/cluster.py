"""A cluster of one machine: the real control plane with its controllers and scheduler, and nodes that run processes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kopf_leader.testing.reaper import Reaper
from tests.cluster.pod import STRATEGIC, Image, Pod
from tests.controlplane.server import RealControlPlane, wait_until

ROOT = Path(__file__).parents[2]


class Node:
    """Registers itself, says that it lives, and runs what is bound to it."""

    def __init__(self, name: str, *, control_plane: RealControlPlane, folder: Path, image: Image) -> None:
        self.name = name
        self.pods: dict[str, Pod] = {}
        self.silent = threading.Event()
        """While set, the node says and does nothing: its agent hangs, its processes go on."""
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
            if self.silent.is_set():
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


class Cluster:
    """Controllers, scheduler and nodes on a control plane that runs already."""

    def __init__(self, control_plane: RealControlPlane, programs: dict[str, Path], folder: Path, image: Image) -> None:
        self.control_plane = control_plane
        self.api = control_plane.admin
        self.folder = folder
        self._programs = programs
        self._reaper = Reaper()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.kubeconfig = control_plane.kubeconfig(folder / "admin.kubeconfig", token=control_plane.admin_token)
        self.nodes = [
            Node(f"node-{letter}", control_plane=control_plane, folder=folder / "pods", image=image) for letter in "abc"
        ]

    def start(self) -> None:
        """Start all of it; returns when the nodes are ready for pods."""
        key, ca = self.control_plane.folder / "accounts.key", self.control_plane.ca_file
        self._spawn(
            "kube-controller-manager",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={ca}",
            "--controllers=*",
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=6s",
        )
        self._spawn("kube-scheduler")
        for node in self.nodes:
            node.start()
        wait_until(lambda: all(self._free(node) for node in self.nodes), what="the nodes to be free of taints")

    def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.stop()
        for process in self._processes:
            process.kill()
            process.wait()
            self._reaper.forget(process.pid)
        self._reaper.close()

    def pods(self, namespace: str) -> Iterator[tuple[Node, Pod]]:
        """What was begun in this namespace and has not ended."""
        for node in self.nodes:
            for pod in list(node.pods.values()):
                if pod.meta["namespace"] == namespace and pod.process is not None and pod.process.poll() is None:
                    yield node, pod

    def logs(self, namespace: str, lines: int = 25) -> str:
        """The ends of the pods' logs, for a failure's report."""
        texts = []
        for node in self.nodes:
            for pod in node.pods.values():
                if pod.meta["namespace"] == namespace and pod.log.exists():
                    tail = pod.log.read_text(errors="replace").splitlines()[-lines:]
                    texts.append("\n".join([f"--- {pod.name} on {node.name}", *tail]))
        return "\n".join(texts)

    def _free(self, node: Node) -> bool:
        body = self.api.get(f"/api/v1/nodes/{node.name}")
        return not body["spec"].get("taints")

    def _spawn(self, name: str, *flags: str) -> None:
        common = (f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0")
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [self._programs[name], *common, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._reaper.add(process.pid)
        self._processes.append(process)
