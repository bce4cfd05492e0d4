"""The stage of an end-to-end test: a namespace and a Lease's name of its own, replicas, proxies, objects, a verdict."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from kopf_leader.testing.history import Execution, Expected, Verdict, check
from kopf_leader.testing.processes import Replica, ReplicaSet, TimedOut
from kopf_leader.testing.proxy import Proxy
from tests.controlplane.api import APIError
from tests.controlplane.server import RealControlPlane

ROOT = Path(__file__).parents[2]  # so that the package need not be installed
OPERATOR = Path(__file__).parent / "operator"
# Short, so that a test takes seconds: when renewing fails the gate closes after 4 s, handlers are cancelled at 5 s, the
# process exits at 5.6 s, others may acquire at 6 s.
LEASE, RENEW, RETRY = 6, 4, 1
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}"
OBJECTS = "/apis/kopf.dev/v1/namespaces/{}/kopfexamples"
# After SIGCONT a process runs on until it has looked at the clock: some milliseconds, and 1.1 s where two cores ran
# six test runs. What it must not run on with takes 5 s and more here. The checker reports what it exempts.
WAKE_ALLOWANCE = 3.0


class Stage:
    """Everything that one test needs; leaves no process behind."""

    def __init__(self, control_plane: RealControlPlane, folder: Path) -> None:
        self.control_plane = control_plane
        self.folder = folder
        self.namespace = control_plane.namespace("e2e")
        self.lease = "operator"
        self.proxies: dict[str, Proxy] = {}
        self.expected: list[Expected] = []
        self._long: set[tuple[str, str]] = set()
        self._names = (f"object-{number}" for number in itertools.count())
        control_plane.install(yaml.safe_load((OPERATOR / "crd.yaml").read_text()))
        self.replicas = ReplicaSet(
            ["python", "-m", "kopf_leader", "run"], folder / "replicas", environment={"PYTHONPATH": str(ROOT)}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.replicas.close()
        for proxy in self.proxies.values():
            proxy.stop()
        with contextlib.suppress(OSError, APIError):  # a test may have stopped the API server for good
            self._remove_objects()

    def _remove_objects(self) -> None:
        """So that operators of later tests that serve the whole cluster have nothing to do here."""
        admin, path = self.control_plane.admin, OBJECTS.format(self.namespace)
        admin.delete(path)
        for left in admin.get(path)["items"]:
            admin.patch(f"{path}/{left['metadata']['name']}", {"metadata": {"finalizers": None}})

    # Replicas

    def start(
        self,
        *names: str,
        arguments: Sequence[str] = (),
        elected: bool = True,
        granted: bool = True,
        environment: Mapping[str, str] | None = None,
        scope: Sequence[str] = (),
    ) -> None:
        """Start replicas, each a user with the documented rights, each behind a proxy of its own."""
        for name in names:
            user = f"{self.namespace}-{name}"
            self.control_plane.grant_operator(user)
            if granted:
                self.grant(name)
            if name not in self.proxies:
                self.proxies[name] = Proxy(*self.upstream(name)).start()
            kubeconfig = self.control_plane.kubeconfig(
                self.folder / f"{name}.kubeconfig",
                token=self.control_plane.user(user),
                namespace=self.namespace,
                url=f"https://127.0.0.1:{self.proxies[name].port}",
            )
            flags = self.election_flags() if elected else []
            self.replicas.start(
                name,
                kubeconfig=kubeconfig,
                arguments=[*flags, *arguments, *(scope or ["-n", self.namespace]), str(OPERATOR / "handlers.py")],
                environment={"POD_NAME": name, **(environment or {})},
            )

    def upstream(self, name: str) -> tuple[str, int]:
        """What is behind a replica's proxy: host and port."""
        address = urlsplit(self.control_plane.url)
        return address.hostname or "", address.port or 0

    def grant(self, name: str) -> None:
        """The rights of the election for one replica."""
        self.control_plane.grant_lease_rights(f"{self.namespace}-{name}", self.namespace, self.lease)

    def election_flags(self) -> list[str]:
        """What turns the election on."""
        return [
            "--enable-leader-election",
            f"--leader-election-id={self.lease}",
            f"--leader-election-namespace={self.namespace}",
            f"--leader-election-lease-duration={LEASE}s",
            f"--leader-election-renew-deadline={RENEW}s",
            f"--leader-election-retry-period={RETRY}s",
        ]

    def read_lease(self) -> dict[str, Any] | None:
        """The Lease, None when there is none or nobody to ask."""
        try:
            status, body = self.control_plane.admin.attempt("GET", LEASES.format(self.namespace, self.lease))
        except OSError:
            return None
        return body if status == 200 else None

    def holder(self) -> str:
        """The name of the replica that the Lease says holds it, or an empty text."""
        lease = self.read_lease() or {}
        return ((lease.get("spec") or {}).get("holderIdentity") or "").rpartition("_")[0]

    def leader(self, *, other_than: Replica | None = None) -> Replica:
        """Wait until a replica (``other_than`` this one) holds the Lease and is at work; return it.

        At work: the latest handler that started was its own. Something must be there to handle; each new leader
        resumes every object, so one object is enough.
        """
        found: list[Replica] = []

        def look() -> bool:
            name = self.holder()
            found[:] = [one for one in self.replicas if one.name == name and one is not other_than]
            return bool(found) and self.latest_at_work() == found[0].pid

        what = f"leader other than {other_than.name}" if other_than else "leader"
        self.replicas.wait_until(look, what=what, interval=0.2)
        return found[0]

    def standby(self, leader: Replica) -> Replica:
        """Wait until a replica beside the leader watches the Lease (the audit log says so); return it."""
        found: list[Replica] = []

        def look() -> bool:
            found[:] = [one for one in self.replicas if one is not leader and self._watches(one)]
            return bool(found)

        self.replicas.wait_until(look, what="standby")
        return found[0]

    def _watches(self, replica: Replica) -> bool:
        user = f"{self.namespace}-{replica.name}"
        return self.control_plane.requests(user, resource="leases", namespace=self.namespace)["watch"] > 0

    def latest_at_work(self) -> int:
        """The process whose handler was the latest to start; 0 when none has."""
        starts = [(fact["t"], fact["pid"]) for fact in self.replicas.history().facts if fact["kind"] == "start"]
        return max(starts, default=(0, 0))[1]

    def at_work(self, replica: Replica) -> list[Execution]:
        """What this replica has begun and not ended."""
        return [run for run in self.verdict().executions if run.outcome == "open" and run.process.pid == replica.pid]

    def wait_for_long_handlers(self, replica: Replica) -> None:
        """Wait until it has begun with what only it takes long for (``only``).

        It looks for beginnings alone, which stay in the history: a whole verdict can take longer than such a handler.
        """

        def begun() -> set[tuple[str, str]]:
            facts = self.replicas.history().facts
            return {
                (one["name"], one["handler"]) for one in facts if (one["kind"], one["pid"]) == ("start", replica.pid)
            }

        self.replicas.wait_until(lambda: self._long <= begun(), what=f"long handlers on {replica.name}")

    def proxy(self, replica: Replica) -> Proxy:
        """The network between this replica and the API server."""
        return self.proxies[replica.name]

    # Objects

    def create(self, count: int = 1, *, handlers: Sequence[str] = ("create",), **spec: Any) -> list[str]:
        """Create objects and expect each of ``handlers`` to handle each of them; returns their names."""
        return [self._create_one(handlers, spec) for _ in range(count)]

    def _create_one(self, handlers: Sequence[str], spec: dict[str, Any]) -> str:
        name = next(self._names)
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name}, "spec": spec}
        made = self._persistently(lambda: self._create_or_get(name, body))
        if "only" in spec:
            self._long.add((name, "in_thread" if "thread" in spec else "create"))
        self.expected += [Expected(made["metadata"]["uid"], name, handlers=(handler,)) for handler in handlers]
        return name

    def _create_or_get(self, name: str, body: dict[str, Any]) -> Any:
        path = OBJECTS.format(self.namespace)
        try:
            return self.control_plane.admin.create(path, body)
        except APIError as error:
            if error.status != 409:
                raise
            return self.control_plane.admin.get(f"{path}/{name}")  # an earlier attempt had landed

    def change(self, name: str, **spec: Any) -> None:
        """Change an object's spec and expect the change to be handled (by create, when that had not run yet)."""
        path = f"{OBJECTS.format(self.namespace)}/{name}"
        made = self._persistently(lambda: self.control_plane.admin.patch(path, {"spec": spec}))["metadata"]
        self.expected.append(Expected(made["uid"], name, str(made["generation"]), ("create", "update")))

    def delete(self, name: str) -> None:
        """Delete an object and expect the deletion to be handled."""
        path = f"{OBJECTS.format(self.namespace)}/{name}"
        uid = self._persistently(lambda: self.control_plane.admin.get(path))["metadata"]["uid"]
        self._persistently(lambda: self.control_plane.admin.delete(path))
        self.expected.append(Expected(uid, name, handlers=("delete",)))

    def _persistently(self, action: Callable[[], Any]) -> Any:
        """Over restarts of the API server."""
        result: list[Any] = []

        def attempt() -> bool:
            try:
                result[:] = [action()]
            except OSError:
                return False
            except APIError as error:
                # 404: a custom resource is not served yet, shortly after a start.
                if error.status not in (404, 429, 500, 503, 504):
                    raise
                return False
            return True

        self.replicas.wait_until(attempt, what="the API server to take a test's object", interval=0.2)
        return result[0]

    # The verdict

    def verdict(self, *, wake_allowance: float = 0.0) -> Verdict:
        """What the history shows so far."""
        return check(self.replicas.history(), self.expected, wake_allowance=wake_allowance)

    def wait_until_handled(self) -> None:
        """Wait until nothing is outstanding that is expected by now."""
        expected = list(self.expected)
        verdict = Verdict()

        def look() -> bool:
            nonlocal verdict
            verdict = check(self.replicas.history(), expected)
            return not verdict.lost

        try:
            self.replicas.wait_until(look, timeout=90, what="end of the work on all objects", interval=0.2)
        except TimedOut as error:
            raise TimedOut(f"{verdict.explain()}\n{self._story(verdict.lost[0].name)}\n{error}") from None

    def _story(self, name: str) -> str:
        """What was done to one object, and how it looks now: for a failure's report."""
        runs = [run for run in self.verdict().executions if run.name == name]
        done = [f"  {run.start}-{run.finish} {run.outcome}: {run}" for run in runs]
        status, body = self.control_plane.admin.attempt("GET", f"{OBJECTS.format(self.namespace)}/{name}")
        return "\n".join([f"{name}:", *done, f"  {status} {json.dumps(body)}"])

    def conclude(self, *, wake_allowance: float = 0.0) -> Verdict:
        """Wait until all is handled, stop the replicas, and insist that every promise was kept."""
        self.wait_until_handled()
        self.replicas.stop()
        verdict = self.verdict(wake_allowance=wake_allowance)
        assert verdict.executions, "nothing was handled at all"
        assert verdict.ok, f"{verdict.explain()}\n{self.replicas.tails()}"
        print(verdict.explain())
        return verdict


class Workload:
    """Creates, changes and deletes objects all along, in a thread; each must be handled in the end."""

    def __init__(self, stage: Stage, *, pause: float = 0.1, **spec: Any) -> None:
        self._stage = stage
        self._pause = pause
        self._spec = spec
        self._done = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        recent: list[str] = []
        try:
            for number in itertools.count():
                recent += self._stage.create(**self._spec)
                if number % 4 == 3:
                    self._stage.change(recent[-2], seen=number)
                if number % 8 == 7 and recent[0] not in {lost.name for lost in self._stage.verdict().lost}:
                    # Not before it was handled: an object that kopf has never seen goes without any handler.
                    self._stage.delete(recent.pop(0))
                if self._done.wait(self._pause):
                    return
        except BaseException as error:  # it must not die unseen in its thread
            self._errors.append(error)
