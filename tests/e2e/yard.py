"""Containers and what their candidates told: where takeovers on proof of death are tried and measured."""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.controlplane.rbac import allowed, grant
from tests.controlplane.server import RealControlPlane, wait_until
from tests.e2e.container import Container

ROOT = Path(__file__).parents[2]
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "watch", "update"]}
PATIENCE = 60.0  # seconds; a lease_duration in these tests is longer, so that nothing but a proof is as quick


@dataclass(frozen=True)
class Fact:
    """What an elector told; `t` in ns of CLOCK_BOOTTIME."""

    t: int
    lease: str
    what: str
    by: str
    token: int


class Yard:
    """A namespace, one account, and containers in it. A context manager that ends them."""

    def __init__(self, plane: RealControlPlane, folder: Path, *, pods: bool = True, **candidacy: str) -> None:
        self.plane, self.folder = plane, folder
        self.namespace = plane.namespace("evidence")
        user = f"{self.namespace}-operator"
        name = plane.username(user)
        grant(plane.admin, name, name, [LEASES, *([PODS] if pods else [])], namespace=self.namespace)
        config = plane.kubeconfig(folder / "kubeconfig", token=plane.user(user), namespace=self.namespace)
        ask = {"verb": "watch", "group": "", "resource": "pods"} if pods else {
            "verb": "update", "group": "coordination.k8s.io", "resource": "leases"
        }  # fmt: skip
        wait_until(lambda: allowed(plane.as_user(user), **ask, namespace=self.namespace), what="the rights")
        self.environment = {"PYTHONPATH": str(ROOT), "KUBECONFIG": str(config)}
        self.containers: list[Container] = []
        self._facts = folder / "facts.jsonl"
        self._candidacy = {"takeover": "evidence", **candidacy}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for container in self.containers:
            container.stop()

    def lease(self, name: str) -> str:
        """A Lease that was never held."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        self.plane.admin.create(path, {"metadata": {"name": name}, "spec": {}})
        return name

    def command(self, *leases: str) -> list[str]:
        """What a container runs."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self._candidacy.items()]
        program = [sys.executable, "-m", "tests.e2e.candidate", "--facts", str(self._facts)]
        return [*program, "--namespace", self.namespace, *flags, *leases]

    def start(self, name: str, *leases: str, restart: bool = False, kubelet: bool = True) -> Container:
        """A container whose process stands for these Leases."""
        container = Container(self.plane.admin, self.namespace, f"{name}-{secrets.token_hex(3)}", self.folder)
        self.containers.append(container)
        again = (self.command(*leases), self.environment)
        container.start(*again)
        if kubelet:
            container.watch(restart=again if restart else None)
        return container

    def facts(self) -> list[Fact]:
        """All that was told so far."""
        lines = self._facts.read_text().splitlines() if self._facts.exists() else []
        return [Fact(**json.loads(line)) for line in lines]

    def leader(self, lease: str, *, since: int = 0, patience: float = PATIENCE) -> Fact:
        """The first term on this Lease that began after a moment (ns of CLOCK_BOOTTIME)."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            for fact in self.facts():
                if fact.lease == lease and fact.what == "leading" and fact.t > since:
                    return fact
            time.sleep(0.02)
        logs = "\n".join(f"{each.name}:\n{each.log()[-3000:]}" for each in self.containers)
        raise TimeoutError(f"nobody leads on {lease} within {patience:g} s\n{logs}")

    def standing_by(self, lease: str, *names: str) -> None:
        """Wait until these have seen who leads."""

        def seen() -> bool:
            standbys = {fact.by.rpartition("_")[0] for fact in self.facts() if fact.lease == lease}
            return standbys >= {*names}

        wait_until(seen, what=f"{', '.join(names)} to stand by")


def now() -> Any:
    """Ns of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
