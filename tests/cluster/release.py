"""One release of the chart on the cluster: installed by Helm, its objects, its pods, and the verdict."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from kopf_leader.testing.facts import History, now
from kopf_leader.testing.history import Expected, Verdict, check
from tests.chart.helm import CHART, Refused, helm
from tests.cluster.cluster import Cluster, Node, Pod
from tests.cluster.handovers import Row, Timeline
from tests.controlplane.server import wait_until

OPERATOR = Path(__file__).parents[1] / "e2e" / "operator"
NAME = "op"
DEPLOYMENT = "op-kopf-operator"
OBJECTS = "/apis/kopf.dev/v1/namespaces/{}/kopfexamples"
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


def values() -> dict[str, Any]:
    """The operator of the end-to-end tests by the chart, with timings that make a test take seconds."""
    return {
        "image": {"repository": "example.org/operator"},
        "operator": {"handlers": {path.name: path.read_text() for path in sorted(OPERATOR.glob("*.py"))}},
        "leaderElection": {"leaseDuration": "6s", "renewDeadline": "4s", "retryPeriod": "1s", "drainTimeout": "3s"},
        "rbac": {
            "rules": [
                {
                    "apiGroups": ["kopf.dev"],
                    "resources": ["kopfexamples", "kopfexamples/status"],
                    "verbs": ["list", "watch", "patch"],
                }
            ]
        },
        "readinessProbe": {"periodSeconds": 1},
        "startupProbe": {"periodSeconds": 1},
        "extraEnv": [
            {"name": "KOPF_LEADER_REPLICA", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KOPF_LEADER_HISTORY", "value": "/history/facts.jsonl"},
        ],
    }


class Release:
    """A namespace with one release in it; everything of it is gone in the end."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.api = cluster.api
        self.namespace = cluster.control_plane.namespace("chart")
        self.api.patch(f"/api/v1/namespaces/{self.namespace}", {"metadata": {"labels": RESTRICTED}})
        self.expected: list[Expected] = []
        self.rows: list[Row] = []
        """What the handovers cost; for the table."""
        self._folder = folder
        self._timeline = Timeline(self.api, self.namespace, DEPLOYMENT)
        self._beside = cluster.prepare(self.namespace)
        self._names = (f"object-{number}" for number in itertools.count())
        self._installed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timeline.close()
        if self._installed:
            self.helm("uninstall", NAME)
        for node in self.cluster.nodes:
            node.speak()
        wait_until(lambda: not [*self.cluster.pods(self.namespace)], what="the pods to end")
        self.cluster.wait_until_ready()

    # Helm.

    def helm(self, verb: str, *arguments: str) -> str:
        """Run Helm against the cluster, in the release's namespace; the failure shows the pods' logs."""
        where = ("--namespace", self.namespace, "--kubeconfig", str(self.cluster.kubeconfig))
        try:
            return helm(verb, *arguments, *where)
        except Refused as error:
            raise AssertionError(f"{error}\n{self.cluster.logs(self.namespace)}") from None

    def install(self, **changes: Mapping[str, Any] | Any) -> None:
        """Install, and wait until all replicas are ready."""
        self._installed = True
        self.helm("install", NAME, str(CHART), "--wait", "--timeout", "180s", *self._files(changes))

    def upgrade(self, **changes: Mapping[str, Any] | Any) -> None:
        """Upgrade, and wait until the new version is ready."""
        self.helm("upgrade", NAME, str(CHART), "--wait", "--timeout", "180s", *self._files(changes))

    def _files(self, changes: Mapping[str, Any]) -> list[str]:
        first, second = self._folder / "values.yaml", self._folder / "changes.yaml"
        first.write_text(yaml.safe_dump({**values(), **self._beside}))
        second.write_text(yaml.safe_dump(dict(changes)))
        return ["-f", str(first), "-f", str(second)]

    # The cluster.

    def get(self, path: str) -> Any:
        """GET below the namespace: "apps/v1/deployments/…", or "v1/pods"."""
        group, _, rest = path.partition("/")
        prefix = f"/api/{group}" if group == "v1" else f"/apis/{group}/{rest.partition('/')[0]}"
        rest = rest if group == "v1" else rest.partition("/")[2]
        return self.api.get(f"{prefix}/namespaces/{self.namespace}/{rest}")

    def ready(self) -> int:
        """How many replicas the Deployment counts as ready."""
        return int(self.get(f"apps/v1/deployments/{DEPLOYMENT}")["status"].get("readyReplicas", 0))

    def holder(self) -> str:
        """The pod that the Lease names, or an empty text."""
        spec = self.get(f"coordination.k8s.io/v1/leases/{DEPLOYMENT}").get("spec") or {}
        return str(spec.get("holderIdentity") or "").rpartition("_")[0]

    def leader(self, *, other_than: Pod | None = None) -> tuple[Node, Pod]:
        """Wait until a pod (another one) holds the Lease and is at work; each leader resumes every object."""
        found: list[tuple[Node, Pod]] = []

        def look() -> bool:
            name = self.holder()
            found[:] = [(node, pod) for node, pod in self.cluster.pods(self.namespace) if pod.name == name]
            return bool(found) and found[0][1] is not other_than and self._latest() == name

        self.wait_until(look, "a leader" if other_than is None else f"a leader other than {other_than.name}")
        return found[0]

    def standby(self, leader: Pod) -> Pod:
        """A pod that is not the leader, once there is one."""
        found: list[Pod] = []

        def look() -> bool:
            found[:] = [pod for _, pod in self.cluster.pods(self.namespace) if pod is not leader]
            return bool(found) and self.ready() >= 2

        self.wait_until(look, "a standby")
        return found[0]

    @contextlib.contextmanager
    def handover(self, what: str) -> Iterator[None]:
        """Inside, the lead moves: how long nobody led becomes a row of the table."""
        since = now()
        yield
        self.rows.append(self._timeline.row(what, since, self._history()))

    def delete(self, pod: Pod) -> None:
        """Delete a pod, as a person does."""
        self.api.delete(f"/api/v1/namespaces/{self.namespace}/pods/{pod.name}")

    def evict(self, pod: str) -> int:
        """Evict a pod as `kubectl drain` does; the status of the answer (429: the budget forbids it)."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        status, _ = self.api.attempt("POST", f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction", body)
        return status

    def wait_until(self, condition: Any, what: str, timeout: float = 90.0) -> None:
        """Wait for it; the failure shows the pods' logs."""
        try:
            wait_until(condition, timeout=timeout, what=what)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.cluster.logs(self.namespace)}") from None

    def _latest(self) -> str:
        starts = [(fact["t"], fact["replica"]) for fact in self._history().facts if fact["kind"] == "start"]
        return max(starts, default=(0, ""))[1]

    # Objects and the verdict.

    def create(self, count: int = 1, **spec: Any) -> list[str]:
        """Create objects, each to be handled."""
        names = []
        for name in itertools.islice(self._names, count):
            body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name}, "spec": spec}
            made = self.api.create(OBJECTS.format(self.namespace), body)
            self.expected.append(Expected(made["metadata"]["uid"], name, handlers=("create",)))
            names.append(name)
        return names

    def wait_until_handled(self) -> None:
        """Wait until every object was handled."""
        self.wait_until(lambda: not self.verdict().lost, f"the work on {len(self.expected)} objects")

    def verdict(self) -> Verdict:
        """What the handlers of this release's pods wrote down."""
        return check(self._history(), self.expected)

    def conclude(self) -> Verdict:
        """Everything was handled, and never by two pods at once."""
        self.wait_until_handled()
        verdict = self.verdict()
        assert verdict.ok, f"{verdict.explain()}\n{self.cluster.logs(self.namespace)}"
        print(verdict.explain())
        return verdict

    def _history(self) -> History:
        return History.parse(self.cluster.history(self.namespace))
