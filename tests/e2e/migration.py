"""Two kinds of replicas on one stage: stock `kopf run --peering`, and those with the election, migrating or not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kopf_leader.testing.history import Overlap, Verdict
from kopf_leader.testing.processes import Replica, TimedOut
from tests.controlplane import rbac
from tests.e2e.stage import OPERATOR, Stage

GRACE = 5  # seconds; the shortest that is allowed
TERMINATION = 4.5  # seconds; what in a cluster is the old pods' terminationGracePeriodSeconds, and equal to the grace
PRIORITY = 50  # of the new version
_ANY_GRACE = (
    "from kopf_leader.gate import options; options.MIN_GRACE = 0; from kopf_leader.cli.main import main; main()"
)
PEERINGS = {"cluster": "clusterkopfpeerings", "namespaced": "kopfpeerings"}


class Migration:
    """A stage with an object of kopf's peering."""

    def __init__(self, stage: Stage, scope: str, *, old_python: str = "") -> None:
        self.stage = stage
        self.plural = PEERINGS[scope]
        self.name = f"peering-of-{stage.namespace}"
        self.scope = ["-A"] if scope == "cluster" else ["-n", stage.namespace]
        self.new: set[int] = set()
        self._new_command = list(stage.replicas.command)
        self._old_command = [old_python or stage.replicas.command[0], "-m", "kopf", "run"]
        for crd in yaml.safe_load_all((OPERATOR / "peering.yaml").read_text()):
            stage.control_plane.install(crd)
        where = "" if scope == "cluster" else f"/namespaces/{stage.namespace}"
        self.path = f"/apis/kopf.dev/v1{where}/{self.plural}"
        kind = "ClusterKopfPeering" if scope == "cluster" else "KopfPeering"
        body = {"apiVersion": "kopf.dev/v1", "kind": kind, "metadata": {"name": self.name}}
        stage.control_plane.admin.create(self.path, body)

    def records(self) -> dict[str, Any]:
        """What the peering says."""
        found = self.stage.control_plane.admin.get(f"{self.path}/{self.name}")
        return dict(found.get("status") or {})

    @property
    def own(self) -> str:
        """The name of the new version's record."""
        return f"kopf-leader/{self.stage.namespace}/{self.stage.lease}"

    def start_old(self, name: str, *, priority: int, environment: Mapping[str, str] | None = None) -> Replica:
        """A stock replica: `kopf run --peering`."""
        self.stage.replicas.command = self._old_command
        flags = [f"--peering={self.name}", f"--priority={priority}"]
        return self._start(name, flags, ["list", "watch", "get", "patch"], elected=False, environment=environment)

    def start_migrating(self, name: str, *, grace: float | None = None) -> Replica:
        """A replica of the new version, with both; `grace` in seconds also where it is too short to be allowed."""
        self.stage.replicas.command = self._new_command
        if grace is not None:
            self.stage.replicas.command = [self._new_command[0], "-c", _ANY_GRACE, "run"]
        flags = [f"--peering={self.name}", f"--priority={PRIORITY}"]
        flags += [f"--leader-election-from-peering={GRACE if grace is None else grace}s"]
        replica = self._start(name, flags, ["get", "patch"], elected=True)
        self.new.add(replica.pid)
        return replica

    def start_elected(self, name: str) -> Replica:
        """A replica with the election only."""
        self.stage.replicas.command = self._new_command
        replica = self._start(name, [f"--priority={PRIORITY}"], [], elected=True)
        self.new.add(replica.pid)
        return replica

    def _start(
        self,
        name: str,
        flags: Sequence[str],
        verbs: Sequence[str],
        *,
        elected: bool,
        environment: Mapping[str, str] | None = None,
    ) -> Replica:
        plane = self.stage.control_plane
        if verbs:
            user = plane.username(f"{self.stage.namespace}-{name}")
            resources = [self.plural, f"{self.plural}/status"]
            rule = {"apiGroups": ["kopf.dev"], "resources": resources, "verbs": list(verbs)}
            rbac.grant(plane.admin, user, f"{user}-peering", [rule])
        settings = str(OPERATOR / "patient.py")
        self.stage.start(name, arguments=[*flags, settings], elected=elected, environment=environment, scope=self.scope)
        return self.stage.replicas[name]

    def wait_at_work(self, replica: Replica) -> None:
        """Wait until the latest handler that started is this replica's."""
        self.stage.replicas.wait_until(
            lambda: self.stage.latest_at_work() == replica.pid, what=f"{replica.name} at work", timeout=120
        )

    def wait_for_record(self, priority: int, *, there: bool = True) -> None:
        """Wait until a record of this priority is in the peering, or is not."""
        self.stage.replicas.wait_until(
            lambda: there == any(one["priority"] == priority for one in self.records().values()),
            what=f"record with priority {priority} to come or go",
        )

    def command(self, *arguments: str) -> None:
        """One of kopf's own commands."""
        plane, user = self.stage.control_plane, f"{self.stage.namespace}-person"
        resources = [self.plural, f"{self.plural}/status"]
        rule = {"apiGroups": ["kopf.dev"], "resources": resources, "verbs": ["list", "watch", "get", "patch"]}
        plane.grant_operator(user)
        rbac.grant(plane.admin, plane.username(user), f"{plane.username(user)}-peering", [rule])
        config = plane.kubeconfig(self.stage.folder / "person.kubeconfig", token=plane.user(user))
        command = [sys.executable, "-m", "kopf", *arguments, f"--peering={self.name}", *self.scope]
        subprocess.run(command, check=True, timeout=60, env={**os.environ, "KUBECONFIG": str(config)})

    def stop(self, *replicas: Replica) -> None:
        """End them one after the other, as a kubelet does: SIGTERM, and SIGKILL after their grace period."""
        for replica in replicas:
            replica.stop()
            try:
                assert replica.wait(TERMINATION) == 0
            except TimedOut:
                assert replica.pid not in self.new, self.stage.replicas.tails()
                replica.kill()

    def broken(self, verdict: Verdict) -> list[Overlap]:
        """Overlaps in which the new version has a part: those of the old one among itself are kopf's own."""
        return [one for one in verdict.overlaps if {one.first.process.pid, one.second.process.pid} & self.new]

    def conclude(self) -> Verdict:
        """Wait until all is handled, stop the replicas, and insist that no object was lost and nothing overlapped."""
        self.stage.wait_until_handled()
        self.stage.replicas.stop()
        verdict = self.stage.verdict()
        broken = self.broken(verdict)
        assert not broken, "\n".join([*map(str, broken), verdict.explain(), self.stage.replicas.tails()])
        assert not (verdict.lost or verdict.doubled or verdict.problems), verdict.explain()
        print(verdict.explain())
        return verdict
