"""Nodes that are real: kubelet and containerd, each node its own. Only inside of the namespaces that `real` makes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kopf_leader.testing.facts import Notebook
from kopf_leader.testing.proxy import Proxy
from tests.cluster import real
from tests.cluster.cluster import Cluster
from tests.cluster.debian import Runtime, runtime
from tests.cluster.inside import GATEWAY
from tests.cluster.names import Names
from tests.cluster.watch import Watch
from tests.controlplane.binaries import KUBELET, more
from tests.controlplane.server import SERVICE, RealControlPlane, wait_until

NAMES = SERVICE + "0"
FIRST = 1
"""The process that a container starts is the first one of its process namespace."""
LIFE = 1000
"""Added to a process's number in the history for each life that the container had before."""


class Kubelet:
    """One node."""

    def __init__(self, number: int, *, cluster: Kubelets, folder: Path) -> None:
        letter = "ab"[number]
        self.name = f"node-{letter}"
        self.folder = folder
        self.logs = folder / "logs"
        self._cluster, self._number = cluster, number
        self._cgroup = f"/{os.environ[real.CGROUP]}-{letter}"
        self._address = f"{GATEWAY.rpartition('.')[0]}.{number + 2}"
        self._socket = folder / "containerd.sock"

    def start(self) -> None:
        self.folder.mkdir()
        _run("ip", "address", "add", f"{self._address}/24", "dev", real.BRIDGE)
        (self.folder / "cni").mkdir()
        (self.folder / "cni" / "pods.conf").write_text(json.dumps(self._network()))
        (self.folder / "containerd.toml").write_text(self._containerd(self._cluster.runtime))
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet()))
        command = [
            str(self._cluster.runtime.root / "usr/bin/containerd"),
            "--config",
            str(self.folder / "containerd.toml"),
        ]
        self._cluster.begin(f"containerd-{self.name}", command, env=self._environment())
        ctr = [str(self._cluster.runtime.root / "usr/bin/ctr"), "--address", str(self._socket), "--namespace", "k8s.io"]
        wait_until(lambda: _works(*ctr, "version"), what=f"containerd of {self.name}")
        _run(*ctr, "images", "import", os.environ[real.IMAGES])
        self.speak()

    def stop(self) -> None:
        """What containerd started ends with the namespaces."""
        self.silence()
        self._cluster.end(f"containerd-{self.name}")

    def silence(self) -> None:
        if self._cluster.runs(f"kubelet-{self.name}"):
            self._cluster.end(f"kubelet-{self.name}")

    def speak(self) -> None:
        if self._cluster.runs(f"kubelet-{self.name}"):
            return
        flags = {
            "config": self.folder / "kubelet.yaml",
            "kubeconfig": self._cluster.kubeconfig,
            "root-dir": self.folder / "kubelet",
            "cert-dir": self.folder / "pki",
            "hostname-override": self.name,
            "node-ip": self._address,
        }
        command = [str(self._cluster.kubelet), *(f"--{name}={value}" for name, value in flags.items())]
        self._cluster.begin(f"kubelet-{self.name}", command, env=self._environment())

    def pid(self, container: str) -> int:
        """The first process of a container; 0 if it does not run."""
        file = self.folder / "state" / "io.containerd.runtime.v2.task" / "k8s.io" / container / "init.pid"
        try:
            pid = int(file.read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return 0
        return 0 if state in "ZX" else pid

    def _environment(self) -> Mapping[str, str]:
        mark = {real.CGROUP: os.environ[real.CGROUP]}  # by which the end of the run looks for what is left
        return {"PATH": self._cluster.runtime.path, "HOME": str(self.folder), **mark}

    def _network(self) -> dict[str, Any]:
        subnet, first = GATEWAY.rpartition(".")[0], 10 + 100 * self._number
        pods = {"subnet": f"{subnet}.0/24", "rangeStart": f"{subnet}.{first}", "rangeEnd": f"{subnet}.{first + 99}"}
        ipam = {
            "type": "host-local",
            "ranges": [[{**pods, "gateway": GATEWAY}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(self.folder / "addresses"),
        }
        return {
            "cniVersion": "0.4.0",
            "name": "pods",
            "type": "bridge",
            "bridge": real.BRIDGE,
            "isGateway": True,
            "ipam": ipam,
        }

    def _containerd(self, runtime: Runtime) -> str:
        return f"""
version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
[grpc]
address = "{self._socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{self.folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{real.PAUSE_IMAGE}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{runtime.plugins}"
conf_dir = "{self.folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runtime.root}/usr/sbin/runc"
SystemdCgroup = false
"""

    def _kubelet(self) -> dict[str, Any]:
        never = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self._address,
            "port": 10250 + self._number,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},  # who gets here is in the namespaces already
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self._cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "evictionHard": dict.fromkeys(never, "0%"),
            "localStorageCapacityIsolation": False,
            "makeIPTablesUtilChains": False,
            "nodeLeaseDurationSeconds": 8,  # renewed four times as often
            "nodeStatusUpdateFrequency": "5s",
            "podLogsDir": str(self.logs),
            "volumePluginDir": str(self.folder / "plugins"),
            "clusterDNS": [NAMES],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
        }


class SeenPod:
    """A pod as the API server shows it and as its container is found on the node."""

    def __init__(self, body: dict[str, Any], node: Kubelet, notebook: Notebook) -> None:
        self.body, self.node = body, node
        self.name: str = body["metadata"]["name"]
        self.gone = False
        self._notebook, self._link = notebook, ""

    @property
    def pid(self) -> int:
        statuses = self.body["status"].get("containerStatuses") or [{}]
        return self.node.pid(statuses[0].get("containerID", "").removeprefix("containerd://"))

    @property
    def killed_hard(self) -> bool:
        states = [status["state"].get("terminated", {}) for status in self.body["status"].get("containerStatuses", [])]
        return any(state.get("exitCode") == 128 + signal.SIGKILL for state in states)

    def kill(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.pid != pid, what=f"the end of process {pid}")
        self._notebook.write("death", pid=FIRST)

    def cut(self) -> None:
        shown = _run("nsenter", f"--target={self.pid}", "--net", "ip", "-o", "link", "show", "eth0")
        self._link = socket.if_indextoname(int(shown.partition("eth0@if")[2].partition(":")[0]))
        _run("ip", "link", "set", self._link, "down")

    def heal(self) -> None:
        _run("ip", "link", "set", self._link, "up")


class Kubelets(Cluster):
    """Two such nodes. Instead of kube-proxy and a DNS server: a proxy at the API server's Service, and one name."""

    grace = 10

    def __init__(self, control_plane: RealControlPlane, programs: Mapping[str, Path], folder: Path) -> None:
        super().__init__(control_plane, programs, folder)
        self.runtime, self.kubelet = runtime(), (more(KUBELET) or {})["kubelet"]
        self.kubelets = {
            f"node-{'ab'[number]}": Kubelet(number, cluster=self, folder=folder / "ab"[number]) for number in (0, 1)
        }
        self.nodes = [*self.kubelets.values()]
        self._pods: dict[str, SeenPod] = {}
        self._notebooks: dict[str, Path] = {}

    def start(self) -> None:
        for address in (SERVICE, NAMES):
            _run("ip", "address", "add", f"{address}/32", "dev", real.BRIDGE)
        self._names = Names(NAMES, SERVICE)
        self._service = Proxy("127.0.0.1", int(self.control_plane.url.rpartition(":")[2]), bind=_service_port).start()
        self._watch = Watch(self.api, "/api/v1/pods", self._see)
        super().start()

    def stop(self) -> None:
        self._watch.close()
        super().stop()
        self._service.stop()
        self._names.close()

    def prepare(self, namespace: str) -> Mapping[str, Any]:
        """A folder for the history, as a volume: the restricted standard allows no path of the node, but a claim."""
        folder = self.folder / "history" / namespace
        folder.mkdir(parents=True)
        file = self._notebooks[namespace] = folder / "facts.jsonl"
        file.touch()
        folder.chmod(0o777)
        file.chmod(0o666)
        size, modes = {"storage": "1Mi"}, ["ReadWriteMany"]
        spec = {"capacity": size, "accessModes": modes, "hostPath": {"path": str(folder)}, "storageClassName": ""}
        spec["claimRef"] = {"namespace": namespace, "name": "history"}
        self.api.create("/api/v1/persistentvolumes", {"metadata": {"name": namespace}, "spec": spec})
        claim = {"accessModes": modes, "resources": {"requests": size}, "storageClassName": "", "volumeName": namespace}
        body = {"metadata": {"name": "history"}, "spec": claim}
        self.api.create(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", body)
        return {
            "extraVolumes": [{"name": "history", "persistentVolumeClaim": {"claimName": "history"}}],
            "extraVolumeMounts": [{"name": "history", "mountPath": "/history"}],
        }

    def pods(self, namespace: str) -> Iterator[tuple[Kubelet, SeenPod]]:
        for pod in list(self._pods.values()):
            if pod.body["metadata"]["namespace"] == namespace and pod.pid:
                yield pod.node, pod

    def logs(self, namespace: str, lines: int = 25) -> str:
        texts = []
        for kubelet in self.kubelets.values():
            for file in sorted(kubelet.logs.glob(f"{namespace}_*/*/*.log")):
                tail = file.read_text(errors="replace").splitlines()[-lines:]
                texts.append("\n".join([f"--- {file.relative_to(kubelet.logs)} on {kubelet.name}", *tail]))
        events = self.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        texts += [
            f"{event['involvedObject']['name']}: {event['reason']}: {event['message']}" for event in events[-lines:]
        ]
        return "\n".join(texts)

    def history(self, namespace: str) -> bytes:
        """Every life of a container begins with the same process number: told apart by the deaths between them."""
        lives: Counter[str] = Counter()
        lines = []
        for line in self._notebooks[namespace].read_bytes().splitlines():
            fact = json.loads(line)
            fact["pid"] += LIFE * lives[fact["replica"]]
            lives[fact["replica"]] += fact["kind"] == "death"
            lines.append(json.dumps(fact).encode() + b"\n")
        return b"".join(lines)

    def _see(self, body: dict[str, Any], deleted: bool) -> None:
        meta, node = body["metadata"], body["spec"].get("nodeName")
        if node is None or meta["namespace"] not in self._notebooks:
            return
        notebook = Notebook(self._notebooks[meta["namespace"]], meta["name"])
        pod = self._pods.setdefault(meta["uid"], SeenPod(body, self.kubelets[node], notebook))
        pod.body = body
        pod.gone = deleted


def _service_port(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((SERVICE, port or 443))
    return sock


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
