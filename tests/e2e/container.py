"""A pod's only container, and its kubelet, as far as proofs of death go: real namespaces, mounts and reports.

The process is PID 1 of a PID namespace of its own, and has its termination message mounted from where a kubelet has it.
The "kubelet" looks at it once a second, as the real one does (kubelet.go, genericPlegRelistPeriod), and writes the
pod's status on a real API server.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.controlplane.api import Api

RELIST = 1.0
MAX_MESSAGE = 4096
# As a container runtime does it: a /proc of the new namespace, and it alone; and the kubelet's file.
ENTER = 'umount -l /proc && mount -t proc proc /proc && mount --bind "$1" "$2" && shift 2 && exec "$@"'
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER, "sh"]


def possible() -> bool:
    """Whether this machine lets us make such namespaces."""
    return subprocess.run([*UNSHARE[:5], "true"], capture_output=True, check=False).returncode == 0


class Container:
    """A pod with one container on a node. `stop()` ends all of it."""

    def __init__(self, api: Api, namespace: str, name: str, folder: Path) -> None:
        self.name, self.killed_at = name, 0
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        spec = {"nodeName": "node-1", "containers": [{"name": "operator", "image": "none"}]}
        body = {"metadata": {"name": name}, "spec": spec}
        self.uid = str(api.create(self._path.rpartition("/")[0], body)["metadata"]["uid"])
        self._folder = folder / name
        self._messages = self._folder / "kubelet" / "pods" / self.uid / "containers" / "operator"
        self._messages.mkdir(parents=True)
        self._mount = self._folder / "termination-log"
        self._mount.touch()
        self._log = self._folder / "log"
        self._runs = 0
        self._ended = threading.Event()
        self._kubelet: threading.Thread | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """A new run of the container."""
        self._runs += 1
        self._message = self._messages / secrets.token_hex(4)
        self._message.touch(0o666)
        self._id = f"containerd://{secrets.token_hex(32)}"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*UNSHARE, str(self._message), str(self._mount), *command],
                env={**os.environ, **environment, "POD_NAME": self.name}, stdout=log, stderr=log,
            )  # fmt: skip

    def watch(self, *, restart: tuple[Sequence[str], Mapping[str, str]] | None = None) -> None:
        """Have a kubelet look after it, from a random moment of its second on; `restart` it once."""
        self._kubelet = threading.Thread(target=self._relist, args=(restart,), daemon=True)
        self._kubelet.start()

    def kill(self) -> None:
        """SIGKILL to its PID 1; when, in ns of CLOCK_BOOTTIME."""
        self.killed_at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        os.kill(self._init(), signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: alive, and silent."""
        os.kill(self._init(), signal.SIGSTOP)

    def stop(self) -> None:
        """End the kubelet and the process, and the object."""
        self._ended.set()
        if self._kubelet is not None:
            self._kubelet.join(30)
        if self.process is not None:
            self.process.kill()  # --kill-child: its PID 1 goes with it
            self.process.wait()
        self._api.attempt("DELETE", f"{self._path}?gracePeriodSeconds=0")

    def report(self, state: Mapping[str, Any], **more: Any) -> None:
        """Write a status, as a kubelet or somebody else does."""
        last = more.pop("last", {})
        box = {
            "name": "operator", "image": "none", "imageID": "", "ready": False, "restartCount": self._runs - 1,
            "containerID": self._id, "state": state, "lastState": last,
        }  # fmt: skip
        self._api.patch(f"{self._path}/status", {"status": {"phase": "Running", "containerStatuses": [box], **more}})

    def forget(self) -> None:
        """`kubectl delete --force`: the object is gone, whatever runs."""
        self._api.delete(f"{self._path}?gracePeriodSeconds=0")

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    def _init(self) -> int:
        """Its PID 1, by the number that it has here."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def _relist(self, restart: tuple[Sequence[str], Mapping[str, str]] | None) -> None:
        self.report({"running": {"startedAt": _now()}})
        self._ended.wait(random.uniform(0, RELIST))
        while not self._ended.wait(RELIST):
            assert self.process is not None
            if self.process.poll() is None:
                continue
            over = {"terminated": self._termination()}
            if restart is None:
                with contextlib.suppress(AssertionError):  # the object may be gone
                    self.report(over)
                return
            self.start(*restart)
            self.report({"running": {"startedAt": _now()}}, last=over)
            restart = None

    def _termination(self) -> dict[str, Any]:
        message = self._message.read_bytes()[-MAX_MESSAGE:].decode(errors="replace")
        return {
            "containerID": self._id, "exitCode": 137, "reason": "Error", "message": message,
            "startedAt": _now(), "finishedAt": _now(),
        }  # fmt: skip


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
