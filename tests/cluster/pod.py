"""One pod, run as a process: with arguments, environment, files, user, token, probes and grace period of its spec."""

from __future__ import annotations

import http.client
import os
import subprocess
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kopf_leader.testing.facts import Notebook
from kopf_leader.testing.proxy import Proxy
from tests.cluster.sandbox import Sandbox
from tests.controlplane.api import Api

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Image:
    """What the image holds: folders, the search path, an environment, and its own command."""

    shown: Mapping[str, Path]
    path: str
    env: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] = ()
    history: Path | None = None
    """Where deaths are written down, for the checker."""


@dataclass
class Probe:
    """A probe's rhythm and its last answers."""

    spec: Mapping[str, Any]
    due: float = 0.0
    failures: int = 0
    passed: bool = False

    def looked(self, good: bool, now: float) -> None:
        """Take an answer in."""
        self.due = now + float(self.spec.get("periodSeconds", 10))
        self.failures = 0 if good else self.failures + 1
        if good:
            self.passed = True
        elif self.failed:
            self.passed = False

    @property
    def failed(self) -> bool:
        """Whether it has failed as often as it takes."""
        return self.failures >= int(self.spec.get("failureThreshold", 3))


class Pod:
    """Runs in a thread until it has ended or was deleted; tells the API server as a kubelet does."""

    def __init__(self, body: dict[str, Any], *, api: Api, ca_file: Path, folder: Path, image: Image, log: Path) -> None:
        self.body = body
        self.meta, self.spec = body["metadata"], body["spec"]
        self.name: str = self.meta["name"]
        self.box = self.spec["containers"][0]
        self.process: subprocess.Popen[bytes] | None = None
        self.log = log
        self.deleted = threading.Event()
        self.grace = float(self.spec.get("terminationGracePeriodSeconds", 30))
        self.over = False
        self.killed_hard = False
        self._api, self._ca_file, self._folder, self._image = api, ca_file, folder, image
        self._restarts, self._ready, self._started = 0, False, _now()
        self._url = f"/api/v1/namespaces/{self.meta['namespace']}/pods/{self.name}"
        self._probes: dict[str, Probe] = {}
        self._thread = threading.Thread(target=self._run, name=f"pod {self.name}", daemon=True)
        self.sandbox: Sandbox
        self.link: Proxy
        self._notebook = None
        if image.history is not None:
            self._notebook = Notebook(image.history, self.name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout)

    @property
    def pid(self) -> int:
        """Its process; 0 before there is one."""
        return self.process.pid if self.process is not None else 0

    @property
    def gone(self) -> bool:
        """Whether it was told to end and has ended."""
        return self.deleted.is_set() and not self._thread.is_alive()

    def kill(self) -> None:
        """Kill its process hard."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def cut(self) -> None:
        """Its way to the API server becomes half-open."""
        self.link.cut()

    def heal(self) -> None:
        """And whole again."""
        self.link.heal()

    # Inside.

    def _run(self) -> None:
        try:
            self._prepare()
            self._live()
        except Exception:
            with self.log.open("a") as log:
                log.write(f"the agent failed:\n{traceback.format_exc()}")
        finally:
            self._end()

    def _prepare(self) -> None:
        self.sandbox = Sandbox(self._folder / "root", shown=self._image.shown)
        address = urlsplit(self._api.url)
        self.link = Proxy(address.hostname or "", address.port or 0, bind=self.sandbox.bind).start()
        account = self._folder / "account"
        account.mkdir()
        (account / "token").write_text(self._token())
        (account / "namespace").write_text(self.meta["namespace"])
        (account / "ca.crt").write_bytes(self._ca_file.read_bytes())
        self.sandbox.mount(account, ACCOUNT)
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        for mount in self.box.get("volumeMounts", []):
            if mount["mountPath"] != ACCOUNT:
                self.sandbox.mount(self._volume(volumes[mount["name"]]), mount["mountPath"])
        if self.box.get("securityContext", {}).get("readOnlyRootFilesystem"):
            self.sandbox.seal()

    def _token(self) -> str:
        body = {
            "spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": self.name, "uid": self.meta["uid"]}}
        }
        account = self.spec.get("serviceAccountName", "default")
        where = f"/api/v1/namespaces/{self.meta['namespace']}/serviceaccounts/{account}/token"
        return str(self._api.create(where, body)["status"]["token"])

    def _volume(self, volume: Mapping[str, Any]) -> Path:
        folder = self._folder / "volumes" / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            where = f"/api/v1/namespaces/{self.meta['namespace']}/configmaps/{volume['configMap']['name']}"
            for name, text in self._api.get(where).get("data", {}).items():
                (folder / name).write_text(text)
        elif "emptyDir" in volume:
            os.chown(folder, *self._user())
        else:
            raise AssertionError(f"the agent knows no such volume: {volume}")
        return folder

    def _user(self) -> tuple[int, int]:
        context = {**self.spec.get("securityContext", {}), **self.box.get("securityContext", {})}
        return context["runAsUser"], context["runAsGroup"]

    def _environment(self) -> dict[str, str]:
        env = {"PATH": self._image.path, "HOSTNAME": self.name, **self._image.env}
        env |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.link.port)}
        fields = {
            "metadata.name": self.name,
            "metadata.namespace": self.meta["namespace"],
            "metadata.uid": self.meta["uid"],
        }
        for entry in self.box.get("env", []):
            source = entry.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            env[entry["name"]] = entry.get("value", "") if source is None else fields[source]
        return env

    def _launch(self) -> None:
        user, group = self._user()
        argv = [*(self.box.get("command") or self._image.command), *self.box.get("args", [])]
        self.process = self.sandbox.popen(argv, env=self._environment(), user=user, group=group, log=self.log)
        kinds = ("startupProbe", "livenessProbe", "readinessProbe")
        self._probes = {kind: Probe(self.box[kind]) for kind in kinds if kind in self.box}
        self._ready = not self._probes
        self._tell(running=True)

    def _live(self) -> None:
        self._launch()
        while not self.deleted.wait(0.1):
            assert self.process is not None
            if (status := self.process.poll()) is not None:
                self._died()
                if self.spec.get("restartPolicy", "Always") != "Always":
                    self._tell(running=False, status=status)
                    self.over = True
                    return
                self._restarts += 1
                self._tell(running=False, status=status)
                if self.deleted.wait(1.0):
                    return
                self._launch()
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        startup = self._probes.get("startupProbe")
        if startup is not None and not startup.passed:
            self._ask(startup, now)
            return
        for kind in ("livenessProbe", "readinessProbe"):
            if kind in self._probes:
                self._ask(self._probes[kind], now)
        liveness, readiness = self._probes.get("livenessProbe"), self._probes.get("readinessProbe")
        if liveness is not None and liveness.failed and self.process is not None:
            self.process.kill()
        ready = readiness is None or readiness.passed
        if ready != self._ready:
            self._ready = ready
            self._tell(running=True)

    def _ask(self, probe: Probe, now: float) -> None:
        if now < probe.due:
            return
        where = probe.spec["httpGet"]
        ports = {port["name"]: port["containerPort"] for port in self.box.get("ports", [])}
        timeout = float(probe.spec.get("timeoutSeconds", 1))
        connection = http.client.HTTPConnection("127.0.0.1", timeout=timeout)
        try:
            connection.sock = self.sandbox.connect(ports.get(where["port"], where["port"]), timeout)
            connection.request("GET", where["path"])
            good = 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            good = False
        finally:
            connection.close()
        probe.looked(good, time.monotonic())

    def _end(self) -> None:
        process = self.process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(self.grace)
            except subprocess.TimeoutExpired:
                self.killed_hard = True
                process.kill()
                process.wait()
            self._died()
        if hasattr(self, "link"):
            self.link.stop()
        if hasattr(self, "sandbox"):
            self.sandbox.close()
        if self.deleted.is_set():
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.meta["uid"]}}
            self._api.attempt("DELETE", self._url, options)

    def _died(self) -> None:
        if self._notebook is not None and self.process is not None:
            self._notebook.write("death", pid=self.process.pid)

    def _tell(self, *, running: bool, status: int = 0) -> None:
        ready = running and self._ready
        state: dict[str, Any] = {"running": {"startedAt": self._started}}
        phase = "Running"
        if not running:
            code = status if status >= 0 else 128 - status
            state = {"terminated": {"exitCode": code, "startedAt": self._started, "finishedAt": _now()}}
            if self.spec.get("restartPolicy", "Always") != "Always":
                phase = "Failed" if status else "Succeeded"
        conditions = [
            {"type": kind, "status": "True" if good else "False", "lastTransitionTime": _now()}
            for kind, good in (
                ("Initialized", True),
                ("PodScheduled", True),
                ("ContainersReady", ready),
                ("Ready", ready),
            )
        ]
        container = {
            "name": self.box["name"],
            "image": self.box["image"],
            "imageID": "",
            "ready": ready,
            "started": running,
            "restartCount": self._restarts,
            "state": state,
        }
        told = {"phase": phase, "startTime": self._started, "conditions": conditions, "containerStatuses": [container]}
        self._api.attempt("PATCH", f"{self._url}/status", {"status": told}, content_type=STRATEGIC)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
