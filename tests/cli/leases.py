"""A Lease on the embedded API server, candidates in threads, and the commands for people, run in this process."""

import types
from pathlib import Path
from typing import Any

import kopf
from click.testing import CliRunner

from kopf_leader.cli.main import main
from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.protocol.settings import Settings
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.apiserver.auth import Rule
from tests.elector.memory import Recorder
from tests.elector.test_thread import wait_for

RULES = {"resources": ("leases",), "groups": ("coordination.k8s.io",), "names": ("op",), "namespaces": ("default",)}
HELD = {
    "holderIdentity": "dead_1",
    "leaseDurationSeconds": 1,
    "acquireTime": "2026-01-02T03:04:05.000000Z",
    "renewTime": "2026-01-02T03:04:05.000000Z",
    "leaseTransitions": 3,
}


class Cluster:
    """The Lease `default/op`, its candidates, and people who look at it."""

    def __init__(self, server: EmbeddedAPIServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.followers: dict[str, Recorder] = {}
        self.elections: list[ElectionThread] = []

    def make(self, spec: dict[str, Any] | None = None, **annotations: str) -> None:
        """The Lease, empty unless told: as the chart makes it."""
        named = {f"kopf-leader/{key.replace('_', '-')}": text for key, text in annotations.items()}
        self.server.create(
            "leases",
            {"metadata": {"name": "op", "annotations": {"of": "others", **named}}, "spec": spec or {}},
            namespace="default",
        )

    @property
    def lease(self) -> dict[str, Any]:
        (lease,) = self.server.objects("leases", namespace="default")
        return lease

    @property
    def annotations(self) -> dict[str, str]:
        return dict(self.lease["metadata"].get("annotations", {}))

    @property
    def watched(self) -> int:
        """How many watches have been begun; those that have ended count as well."""
        return sum(count for (_, verb, _), count in self.server.requests.items() if verb == "watch")

    def join(self, *identities: str, **settings: Any) -> None:
        """Candidates that have nothing to drain; the first leads when this returns, and the others watch."""
        for identity in identities:
            follower = self.followers[identity] = Recorder()
            election = ElectionThread(
                settings=Settings(
                    name="op", namespace="default", identity=identity, lease_duration=6, renew_deadline=4,
                    retry_period=0.3, request_timeout=1, **settings,
                ),
                client=self._connect,
                follower=follower,
            )  # fmt: skip
            follower.drained = election.drained
            self.elections.append(election)
            watched = self.watched
            election.start()
            wait_for(lambda before=watched: self.watched > before)
            wait_for(lambda: any(other.leading for other in self.followers.values()) or "hold" in str(self.annotations))

    def leader(self) -> str:
        return next((name for name, follower in self.followers.items() if follower.leading), "")

    def run(self, *arguments: str, token: str | None = None) -> Any:
        """A command, as a user; with all rights unless there is a token."""
        kubeconfig = self.server.write_kubeconfig(self.folder / "person.kubeconfig", token=token)
        result = CliRunner().invoke(main, [*arguments, "--kubeconfig", str(kubeconfig)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return types.SimpleNamespace(status=result.exit_code, stdout=result.stdout, stderr=result.stderr)

    def person(self, *verbs: str) -> str:
        """The token of somebody who may do this with the Lease, and nothing else."""
        return self.server.add_user("person", rules=[Rule(verbs=verbs, **RULES)])

    def close(self) -> None:
        for election in self.elections:
            election.resign(leave=True)
        for election in self.elections:
            election.join(30)

    def _connect(self) -> KopfLeaseClient:
        info = kopf.ConnectionInfo(server=self.server.url, token=self.server.admin_token)

        async def login() -> kopf.ConnectionInfo:
            return info

        return KopfLeaseClient(namespace="default", name="op", login=login, patience=Patience(request=1.0))
