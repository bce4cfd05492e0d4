"""The commands for people on a real API server: a person moves the lead, holds it and lets it go on."""

import os
import subprocess
import sys

from tests.e2e.stage import ROOT, Stage, Workload


class Person:
    """Somebody with the documented rights on the Lease, and no others: pods may not be read."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        user = f"{stage.namespace}-person"
        stage.grant("person")
        self.kubeconfig = stage.control_plane.kubeconfig(
            stage.folder / "person.kubeconfig", token=stage.control_plane.user(user), namespace=stage.namespace
        )

    def run(self, command: str, *arguments: str, status: int = 0) -> str:
        """A command, as it is typed."""
        done = subprocess.run(
            [sys.executable, "-m", "kopf_leader", command, self.stage.lease, *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{done}\n{self.stage.replicas.tails()}"
        return done.stdout + done.stderr


def test_a_person_leads_the_leaders(stage: Stage) -> None:
    """Step down, transfer, hold, resume, `--dev`, under load: as asked for, nothing lost, nothing at once."""
    person = Person(stage)
    stage.start("a", "b", "c")
    with Workload(stage, seconds=0.1, daemon=True):
        first = stage.leader()
        stage.standby(first)
        assert f"{first.name}_" in person.run("status", "--wait", "-o", "wide")
        person.run("step-down")
        second = stage.leader(other_than=first)

        said = person.run("transfer", "--to", first.name)
        assert "not checked" in said
        assert f"{first.name}_" in said
        assert stage.leader(other_than=second) is first

        person.run("hold", "--reason", "an upgrade")
        assert "hold: an upgrade" in person.run("status", status=1)
        stage.replicas.wait_until(lambda: not any(map(stage.at_work, stage.replicas)), what="the end of all work")
        person.run("resume")
        stage.leader()

        stage.start("dev", arguments=["--dev"])
        person.run("status", "--wait", "--for=holder=dev", "--timeout=100s")
        dev = stage.replicas["dev"]
        assert stage.leader() is dev
        assert "priority 666" in person.run("transfer", "--to", "a", "--no-wait")
    stage.conclude()
