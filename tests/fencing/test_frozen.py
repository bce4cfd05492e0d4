"""A leader that is frozen in the middle of a handler, and wakes when another one leads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kopf_leader.testing.processes import ReplicaSet
from tests.fencing.site import LEASE, Site

pytestmark = pytest.mark.xdist_group("real")
ROOT = Path(__file__).parents[2]
OPERATOR = Path(__file__).parent / "operator" / "handlers.py"
FLAGS = [
    "--enable-leader-election", f"--leader-election-id={LEASE}", "--leader-election-lease-duration=3s",
    "--leader-election-renew-deadline=2s", "--leader-election-retry-period=500ms",
]  # fmt: skip


class Operator:
    """Two replicas, each with the token of its pod."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        environment = {"PYTHONPATH": str(ROOT), "FOLDER": str(folder)}
        self.replicas = ReplicaSet(["python", "-m", "kopf_leader", "run"], folder / "replicas", environment=environment)

    def start(self, *pods: str) -> None:
        """Start a replica in each pod."""
        for pod in pods:
            token = self.site.pod(pod).token or ""
            path = self.folder / f"{pod}.kubeconfig"
            kubeconfig = self.site.plane.kubeconfig(path, token=token, namespace=self.site.namespace)
            flags = [*FLAGS, f"--leader-election-namespace={self.site.namespace}", "-n", self.site.namespace]
            self.replicas.start(
                pod, kubeconfig=kubeconfig, arguments=[*flags, str(OPERATOR)], environment={"POD_NAME": pod}
            )

    def frozen(self) -> dict[str, Any]:
        """Wait until one is frozen in its handler: the pod, and the processes."""
        path = self.folder / "frozen.json"
        self.replicas.wait_until(path.exists, what="a handler that freezes")
        found: dict[str, Any] = json.loads(path.read_text())
        self.replicas.reaper.add(found["pids"][0])
        return found

    def outcomes(self, pod: str) -> list[dict[str, Any]]:
        """What became of this pod's writes."""
        path = self.folder / "outcomes.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [each for each in map(json.loads, lines) if each["pod"] == pod]

    def by(self) -> str:
        """Who was the last to write."""
        return str((self.site.admin.get(f"{self.site.maps}/probe").get("data") or {}).get("by"))


@pytest.fixture
def operator(site: Site, tmp_path: Path) -> Iterator[Operator]:
    """The operator, not started yet."""
    operator = Operator(site, tmp_path)
    yield operator
    operator.replicas.close()


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "unfenced"])
def test_a_leader_woken_after_a_takeover_changes_nothing(site: Site, operator: Operator, fenced: bool):
    """With the fence the API server refuses what it does on waking. Without, it overwrites its successor's work."""
    if fenced:
        site.fence()
    operator.start("a", "b")
    site.admin.create(site.objects, {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": "probe"}})
    frozen = operator.frozen()
    (other,) = {"a", "b"} - {frozen["pod"]}
    operator.replicas.wait_until(lambda: operator.by() == other, what="the successor's work")
    for pid in frozen["pids"]:
        os.kill(pid, signal.SIGCONT)
    operator.replicas.wait_until(lambda: operator.outcomes(frozen["pod"]), what="the write on waking")
    operator.replicas.reaper.forget(frozen["pids"][0])
    (outcome,) = operator.outcomes(frozen["pod"])
    if fenced:
        assert outcome["status"] == 403
        assert f"this write comes from {frozen['pod']}" in outcome["message"]
        assert operator.by() == other
    else:
        assert outcome["status"] == 200
        assert operator.by() == frozen["pod"], "this is what fencing is for"
