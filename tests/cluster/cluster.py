"""A cluster of one machine: the real control plane, its controllers and scheduler, and nodes of one kind or another."""

from __future__ import annotations

import abc
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from kopf_leader.testing.reaper import Reaper
from tests.controlplane.server import RealControlPlane, wait_until

ROOT = Path(__file__).parents[2]


class Pod(Protocol):
    """A pod that runs, or ran, on one of the nodes."""

    name: str

    @property
    def pid(self) -> int:
        """Its first process, as this process sees it."""

    @property
    def gone(self) -> bool:
        """Whether it was told to end and has ended."""

    @property
    def killed_hard(self) -> bool:
        """Whether it took longer to end than its grace period, and was killed."""

    def kill(self) -> None:
        """Kill its process, here and now; returns when it is dead."""

    def cut(self) -> None:
        """From now on its way to the API server is half-open: nothing arrives, and nothing is refused."""

    def heal(self) -> None:
        """The way is there again."""


class Node(Protocol):
    """A node."""

    name: str

    def start(self) -> None:
        """Be a node; returns before it is ready."""

    def stop(self) -> None:
        """End, and everything on it."""

    def silence(self) -> None:
        """Its kubelet, or what stands for one, says and does nothing more; its pods run on."""

    def speak(self) -> None:
        """It is back."""


class Cluster(abc.ABC):
    """Controllers and scheduler on a control plane that runs already; subclasses bring the nodes."""

    nodes: Sequence[Node]
    grace: int
    """Seconds of silence after which a node counts as gone."""

    def __init__(self, control_plane: RealControlPlane, programs: Mapping[str, Path], folder: Path) -> None:
        self.control_plane = control_plane
        self.api = control_plane.admin
        self.folder = folder
        self._programs = programs
        self._reaper = Reaper()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kubeconfig = control_plane.kubeconfig(folder / "admin.kubeconfig", token=control_plane.admin_token)

    @abc.abstractmethod
    def pods(self, namespace: str) -> Iterable[tuple[Node, Pod]]:
        """What was begun in this namespace and has not ended."""

    @abc.abstractmethod
    def logs(self, namespace: str, lines: int = 25) -> str:
        """The ends of the pods' logs, for a failure's report."""

    @abc.abstractmethod
    def history(self, namespace: str) -> bytes:
        """What the handlers in the pods of this namespace wrote down."""

    def prepare(self, namespace: str) -> Mapping[str, Any]:
        """What a release in this namespace needs beside the chart: objects are created; values are returned."""
        return {}

    def start(self) -> None:
        """Start all of it; returns when the nodes are ready for pods."""
        key, ca = self.control_plane.folder / "accounts.key", self.control_plane.ca_file
        self._spawn(
            "kube-controller-manager",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={ca}",
            "--controllers=*",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={self.grace}s",
        )
        self._spawn("kube-scheduler")
        for node in self.nodes:
            node.start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until every node takes pods."""
        wait_until(lambda: all(self._free(node) for node in self.nodes), what="the nodes to be free of taints")

    def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.stop()
        for name in list(self._processes):
            self.end(name)
        self._reaper.close()

    def _free(self, node: Node) -> bool:
        status, body = self.api.attempt("GET", f"/api/v1/nodes/{node.name}")
        return status == 200 and not body["spec"].get("taints")

    def _spawn(self, name: str, *flags: str) -> None:
        common = (f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0")
        self.begin(name, [str(self._programs[name]), *common, *flags])

    def begin(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start a program of the cluster; its log is in the folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self._reaper.add(process.pid)
        self._processes[name] = process

    def runs(self, name: str) -> bool:
        """Whether it was begun and not ended."""
        return name in self._processes

    def end(self, name: str) -> None:
        """End it hard, as a crash would; what it started goes on."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()
        self._reaper.forget(process.pid)
