"""Replicas of an operator as processes, each with the token of a pod of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kopf_leader.testing.processes import Replica, ReplicaSet
from tests.fencing.site import LEASE, Site

ROOT = Path(__file__).parents[2]
HANDLERS = Path(__file__).parent / "operator"
FLAGS = ("--leader-election-lease-duration=3s", "--leader-election-renew-deadline=2s",
         "--leader-election-retry-period=500ms")  # fmt: skip


class Operator:
    """The replicas of one site."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        environment = {"PYTHONPATH": str(ROOT), "FOLDER": str(folder)}
        self.replicas = ReplicaSet(["python", "-m", "kopf_leader", "run"], folder / "replicas", environment=environment)

    def start(
        self,
        *pods: str,
        handlers: str,
        flags: Sequence[str] = FLAGS,
        environment: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Replica:
        """Start a replica in each pod, by this file of handlers; the last one. `url`: where it finds the API server."""
        site = self.site
        common = ["--enable-leader-election", f"--leader-election-id={LEASE}"]
        common += [*flags, f"--leader-election-namespace={site.namespace}", "-n", site.namespace]
        for pod in pods:
            token = site.pod(pod).token or ""
            direct = site.plane.kubeconfig(self.folder / f"{pod}.direct", token=token, namespace=site.namespace)
            path = self.folder / f"{pod}.kubeconfig"
            self.replicas.start(
                pod,
                kubeconfig=site.plane.kubeconfig(path, token=token, namespace=site.namespace, url=url),
                arguments=[*common, str(HANDLERS / handlers)],
                environment={"POD_NAME": pod, "POD": pod, "DIRECT": str(direct), **(environment or {})},
            )
        return self.replicas[pods[-1]]

    def create(self) -> str:
        """Create an object for the handlers; its path."""
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": "probe"}}
        self.site.admin.create(self.site.objects, body)
        return f"{self.site.objects}/probe"

    def wait_for_holder(self, pod: str) -> None:
        """Wait until a process of this pod holds the Lease."""

        def held() -> bool:
            return str(self.site.admin.get(self.site.lease)["spec"].get("holderIdentity")).startswith(f"{pod}_")

        self.replicas.wait_until(held, what=f"{pod} to hold the Lease")

    def outcomes(self, pod: str) -> list[dict[str, Any]]:
        """What became of this pod's writes, as far as its handlers have noted it."""
        path = self.folder / "outcomes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [each for each in map(json.loads, lines) if each["pod"] == pod]
