"""Replicas of an operator: `kopf-leader run`, kopf's own peering, or stock `kopf run` by itself."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import yaml

from bench.connection import Connection
from bench.ground import LEASES, ROOT, Ground
from kopf_leader.testing.history import Verdict, check
from kopf_leader.testing.processes import Replica, ReplicaSet
from tests.controlplane.audit import AuditLog
from tests.controlplane.rbac import grant

OPERATOR = ROOT / "tests" / "e2e" / "operator"
OBJECTS = "/apis/kopf.dev/v1/namespaces/{}/kopfexamples"
PEERINGS = "/apis/kopf.dev/v1/namespaces/{}/kopfpeerings"
LEASE = "operator-0"
PADDING = "x" * 500
PEERING: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "kopfpeerings.kopf.dev"},
    "spec": {
        "group": "kopf.dev",
        "scope": "Namespaced",
        "names": {"kind": "KopfPeering", "plural": "kopfpeerings", "singular": "kopfpeering"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
}


class Operators:
    """The replicas of one operator in a namespace of its own; a context manager that kills what is left."""

    def __init__(
        self, ground: Ground, *, peering: bool = False, arguments: tuple[str, ...] = (), handlers: Path | None = None
    ) -> None:
        self.plane = ground.control_plane
        self.namespace = self.plane.namespace("bench")
        self.peering = peering
        self._arguments = arguments
        self._handlers = handlers or OPERATOR / "handlers.py"
        self._folder = ground.folder / self.namespace
        self._audit = AuditLog(self.plane.audit_log.path)  # a reader of our own: it is not for several threads
        self._numbers = itertools.count()
        self._starting = threading.Lock()
        self.began: dict[int, int] = {}  # by pid, in ns of CLOCK_MONOTONIC, when the process was started
        self.plane.install(yaml.safe_load((OPERATOR / "crd.yaml").read_text()))
        self.replicas = ReplicaSet(["python"], self._folder, environment={"PYTHONPATH": str(ROOT)})
        if peering:
            self.plane.install(PEERING)
            body = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": LEASE}}
            self.plane.admin.create(PEERINGS.format(self.namespace), body)
        else:
            ground.leases(self.namespace, "operator", 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.replicas.close()

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        plain: bool = False,
        stock: bool = False,
        handlers: Path | None = None,
    ) -> Replica:
        """Start one more replica; or, `plain`, a stock `kopf run` that knows of no other.

        `stock` is `kopf run` with the rights on the Lease; the environment is to tell it of the election.
        """
        number = next(self._numbers)
        name, user = f"replica-{number}", f"{self.namespace}-{number}"
        self.plane.grant_operator(user)
        if self.peering:
            rules = [
                {"apiGroups": ["kopf.dev"], "resources": ["kopfpeerings"], "verbs": ["get", "list", "watch", "patch"]}
            ]
            username = self.plane.username(user)
            grant(self.plane.admin, username, f"{username}-peering", rules, namespace=self.namespace)
            # Each newcomer below all others, or it would take over as it comes.
            flags = [f"--peering={LEASE}", f"--priority={1000 - number}"]
        elif plain:
            flags = ["--standalone", *arguments]
        else:
            self.plane.grant_lease_rights(user, self.namespace, LEASE)
            flags = ["--enable-leader-election", f"--leader-election-id={LEASE}"]
            flags += [f"--leader-election-namespace={self.namespace}", *self._arguments, *arguments]
            if stock:
                flags = []
        kubeconfig = self.plane.kubeconfig(
            self._folder / f"{name}.kubeconfig", token=self.plane.user(user), namespace=self.namespace
        )
        module = "kopf" if self.peering or plain or stock else "kopf_leader"
        with self._starting:
            self.replicas.command[1:] = ["-m", module, "run"]
            began = time.monotonic_ns()
            replica = self.replicas.start(
                name,
                kubeconfig=kubeconfig,
                arguments=[*flags, "-n", self.namespace, str(handlers or self._handlers)],
                environment={"POD_NAME": name, **(environment or {})},
            )
        self.began[replica.pid] = began
        return replica

    def user(self, replica: Replica) -> str:
        """What the API server calls it."""
        return self.plane.username(f"{self.namespace}-{replica.name.removeprefix('replica-')}")

    def wait_for_standby(self, replica: Replica) -> None:
        """Wait until it knows that another one leads, and would notice its end."""
        self.replicas.wait_until(lambda: self._stands_by(replica), what=f"{replica.name} to stand by", interval=0.2)

    def wait_for_watch(self, replica: Replica) -> None:
        """Wait until it watches the objects, and so has listed them."""
        self.replicas.wait_until(
            lambda: self._audit.count(self.user(replica), resource="kopfexamples")["watch"] > 0,
            what=f"{replica.name} to watch",
            interval=0.2,
        )

    def _stands_by(self, replica: Replica) -> bool:
        if self.peering:  # it is among the peers: from the start it takes itself to be paused, until it has seen them
            number = int(replica.name.removeprefix("replica-"))
            peers = self.plane.admin.get(f"{PEERINGS.format(self.namespace)}/{LEASE}").get("status", {})
            return 1000 - number in [peer["priority"] for peer in peers.values()]
        return self._audit.count(self.user(replica), resource="leases")["watch"] > 0

    def lease(self) -> dict[str, Any]:
        """The Lease's spec."""
        spec: dict[str, Any] = self.plane.admin.get(f"{LEASES.format(self.namespace)}/{LEASE}")["spec"]
        return spec

    def create(self, name: str, **spec: Any) -> None:
        """Create an object."""
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name}, "spec": spec}
        self.plane.admin.create(OBJECTS.format(self.namespace), body)

    def create_many(self, count: int, *, daemons: int, seconds: float) -> list[str]:
        """Create objects, some of them with a daemon; each change of one takes so many seconds to handle."""
        names = [f"object-{number}" for number in range(count)]
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(lambda pair: self.create(pair[1], daemon=pair[0] < daemons, seconds=seconds), enumerate(names))
            )
        return names

    def handled_by(self, replica: Replica) -> set[str]:
        """The names of the objects of which this replica has ended a handler."""
        runs = self.verdict().executions
        return {run.name for run in runs if run.process.pid == replica.pid and run.outcome == "end"}

    def wait_for_work(self, replica: Replica, names: list[str]) -> None:
        """Wait until this replica has ended a handler of each of these objects."""
        self.replicas.wait_until(
            lambda: set(names) <= self.handled_by(replica), what=f"{replica.name} to be through", interval=0.4
        )

    def verdict(self) -> Verdict:
        """What the handlers' history shows."""
        return check(self.replicas.history())


def create_handled(operators: Operators, count: int, *, handled: bool = True) -> list[str]:
    """Create objects of about a kilobyte, which look as if kopf had handled them already, or had never seen them."""
    annotations = {"kopf.zalando.org/last-handled-configuration": json.dumps({"spec": {"padding": PADDING}}) + "\n"}
    names = [f"object-{number:05d}" for number in range(count)]

    def create(share: int) -> None:
        with Connection(operators.plane.admin) as connection:
            for name in names[share::4]:
                metadata = {"name": name, "annotations": annotations if handled else {}}
                body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": metadata}
                connection.send("POST", OBJECTS.format(operators.namespace), {**body, "spec": {"padding": PADDING}})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(4)))
    return names


class Changes:
    """Changes one object after the other, ten times a second."""

    def __init__(self, operators: Operators, names: list[str]) -> None:
        self._operators = operators
        self._names = itertools.cycle(names)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        path = OBJECTS.format(self._operators.namespace)
        for number in itertools.count():
            if self._done.wait(0.1):
                return
            self._operators.plane.admin.patch(f"{path}/{next(self._names)}", {"spec": {"seen": number}})
