"""A Lease on either API server, candidates in threads, and the commands for people, run in this process."""

import contextlib
import secrets
import types
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import kopf
from click.testing import CliRunner

from kopf_leader.cli.main import main
from kopf_leader.clients.base import WatchEvent
from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.protocol.settings import Settings
from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.apiserver.auth import Rule
from tests.controlplane import rbac
from tests.controlplane.server import RealControlPlane
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
    """The Lease `default/op` on the embedded API server, its candidates, and people who look at it."""

    namespace = "default"

    def __init__(self, server: EmbeddedAPIServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.followers: dict[str, Recorder] = {}
        self.elections: list[ElectionThread] = []
        self.watched = 0
        """How many watches the candidates have begun; those that have ended count as well."""

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

    def pod(self, name: str, *, phase: str = "Running") -> None:
        """A pod beside the Lease."""
        body = {"metadata": {"name": name}, "status": {"phase": phase}}
        self.server.create("pods", body, namespace="default")

    def join(self, *identities: str, **settings: Any) -> None:
        """Candidates that have nothing to drain; the first leads when this returns, and the others watch."""
        for identity in identities:
            follower = self.followers[identity] = Recorder()
            election = ElectionThread(
                settings=Settings(
                    name="op", namespace=self.namespace, identity=identity, lease_duration=6, renew_deadline=4,
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
        result = CliRunner().invoke(main, [*arguments, "--kubeconfig", str(self.kubeconfig(token))])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
        return types.SimpleNamespace(status=result.exit_code, stdout=result.stdout, stderr=result.stderr)

    def kubeconfig(self, token: str | None) -> Path:
        """Of this user, or of one who may do everything."""
        return Path(self.server.write_kubeconfig(self.folder / "person.kubeconfig", token=token))

    def person(self, *verbs: str) -> str:
        """The token of somebody who may do this with the Lease, and nothing else."""
        return self.server.add_user("person", rules=[Rule(verbs=verbs, **RULES)])

    def looked_on(self) -> bool:
        """Whether a person watches, beside the candidates."""
        return self.server.watches > len(self.elections)

    def close(self) -> None:
        for election in self.elections:
            election.resign(leave=True)
        for election in self.elections:
            election.join(30)

    def _connect(self) -> KopfLeaseClient:
        info = self._info()

        async def login() -> kopf.ConnectionInfo:
            return info

        return Counted(self, login)

    def _info(self) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=self.server.url, token=self.server.admin_token)


class Counted(KopfLeaseClient):
    """Tells the cluster when it begins to watch."""

    def __init__(self, cluster: Cluster, login: Any) -> None:
        super().__init__(namespace=cluster.namespace, name="op", login=login, patience=Patience(request=1.0))
        self._cluster = cluster

    async def watch(self, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        self._cluster.watched += 1
        async with contextlib.aclosing(super().watch(version)) as events:
            async for event in events:
                yield event


class RealCluster(Cluster):
    """The same on etcd and kube-apiserver, in a namespace of its own."""

    def __init__(self, plane: RealControlPlane, folder: Path) -> None:
        super().__init__(plane, folder)  # type: ignore[arg-type] # what is asked of it is overridden here
        self.plane = plane
        self._people: list[str] = []
        self.namespace = plane.namespace("commands")
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    def make(self, spec: dict[str, Any] | None = None, **annotations: str) -> None:
        named = {f"kopf-leader/{key.replace('_', '-')}": text for key, text in annotations.items()}
        body = {"metadata": {"name": "op", "annotations": {"of": "others", **named}}, "spec": spec or {}}
        self.plane.admin.create(self._leases, body)

    @property
    def lease(self) -> dict[str, Any]:
        (lease,) = self.plane.admin.get(self._leases)["items"]
        return dict(lease)

    def pod(self, name: str, *, phase: str = "Running") -> None:
        body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "one", "image": "none"}]}}
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        self.plane.admin.create(path, body)
        self.plane.admin.patch(f"{path}/{name}/status", {"status": {"phase": phase}})

    def kubeconfig(self, token: str | None) -> Path:
        path = self.folder / "person.kubeconfig"
        return self.plane.kubeconfig(path, token=token or self.plane.admin_token, namespace=self.namespace)

    def person(self, *verbs: str) -> str:
        user = f"person-{secrets.token_hex(4)}"
        token, name = self.plane.user(user), self.plane.username(user)
        rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["op"]}
        rbac.grant(self.plane.admin, name, name, [{**rule, "verbs": [*verbs]}], namespace=self.namespace)
        ask = {"group": "coordination.k8s.io", "resource": "leases", "namespace": self.namespace, "name": "op"}
        wait_for(lambda: all(rbac.allowed(self.plane.as_user(user), verb=verb, **ask) for verb in verbs))
        self._people.append(user)
        return token

    def looked_on(self) -> bool:
        return any(self.plane.requests(user, resource="leases")["watch"] for user in self._people)

    def _info(self) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=self.plane.url, token=self.plane.admin_token, ca_path=str(self.plane.ca_file))
