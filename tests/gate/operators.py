"""Real kopf operators in threads, against a real API, with an election that does what the test says."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import kopf

from kopf_leader.elector import leave
from kopf_leader.gate.attach import attach, detach
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.rules import Rules
from tests.controlplane.api import Api
from tests.gate.elections import FakeElection

GROUP, VERSION, PLURAL = "gate.kopf-leader.test", "v1", "widgets"
CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": PLURAL, "singular": "widget"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until it holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.01)
    return result


@dataclass(frozen=True)
class Cluster:
    """One namespace of a cluster, for one test."""

    api: Api
    namespace: str

    @property
    def path(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"

    def create(self, name: str, **spec: Any) -> Any:
        return self.api.create(
            self.path,
            {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Widget", "metadata": {"name": name}, "spec": spec},
        )

    def edit(self, name: str, **spec: Any) -> Any:
        return self.api.patch(f"{self.path}/{name}", {"spec": spec})

    def mark(self, name: str, **metadata: Any) -> Any:
        """Change labels, annotations or finalizers."""
        return self.api.patch(f"{self.path}/{name}", {"metadata": metadata})

    def get(self, name: str) -> Any:
        return self.api.get(f"{self.path}/{name}")

    def delete(self, name: str) -> Any:
        return self.api.delete(f"{self.path}/{name}")

    def info(self) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=self.api.url, ca_path=str(self.api.ca_file), token=self.api.token)

    def objects(self) -> list[Any]:
        return self.api.get(self.path)["items"]


class Operator:
    """One operator in a thread of its own. Handlers go into `registry`; `count()` and `counted` are for them."""

    def __init__(self, cluster: Cluster, **options: Any) -> None:
        self.cluster = cluster
        self.registry = kopf.OperatorRegistry()
        self.settings = kopf.OperatorSettings()
        self.settings.posting.enabled = False
        self.counted: Counter[Any] = Counter()
        self.moments: list[tuple[Any, float]] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.failure: BaseException | None = None
        self._election: FakeElection | None = None
        self._made = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._election_options = options.pop("election", {})
        self.namespaces = options.pop("namespaces", None) or [cluster.namespace]
        self._gate_options: dict[str, Any] = {"drain_timeout": 30.0, "stuck_timeout": float("inf"), **options}
        self.gate: Gate | None = None
        kopf.on.login(registry=self.registry)(self._login)
        kopf.on.cleanup(registry=self.registry)(self._ending)

    def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return self.cluster.info()

    def _ending(self, **_: Any) -> None:
        """End the thread of kopf's that waits for the flag: nothing else does, and kopf would give it five seconds."""
        self._stop.set()

    def count(self, what: Any) -> None:
        self.counted[what] += 1
        self.moments.append((what, time.monotonic()))

    @property
    def on(self) -> dict[str, Any]:
        """What every decorator of a handler needs."""
        return {"registry": self.registry}

    @property
    def election(self) -> FakeElection:
        assert self._made.wait(60), "the operator has not come as far as the election"
        assert self._election is not None
        return self._election

    @property
    def conductor(self) -> Any:
        assert self.gate is not None
        return self.gate._conductor

    def held(self) -> dict[str, str]:
        """The versions of the objects that the operator's streams hold, by name."""
        return {
            hold._shelf.body(uid)["metadata"]["name"]: hold.version(uid)
            for hold in [*self.conductor.intake._holds]
            for uid in [*hold._shelf]
        }

    def holds(self, *names: str) -> bool:
        """Whether the streams hold these objects, as they are in the cluster now, and no others."""
        now = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in self.cluster.objects()}
        return self.held() == now and set(now) == set(names)

    def paused(self) -> bool:
        """Whether kopf is paused: the streams are closed."""
        return bool(self.conductor.parts.paused.is_on())

    def make_election(self, follower: Any, login: Any) -> FakeElection:
        self._election = FakeElection(follower, login, **self._election_options)
        self._made.set()
        return self._election

    def start(self) -> Self:
        self.gate = attach(make_election=self.make_election, rules=Rules(**self._gate_options))
        self._thread.start()
        wait_for(
            lambda: (self._made.is_set() and self.election.started.is_set()) or not self._thread.is_alive(),
            "the election to be started",
        )
        return self

    def stop(self, seconds: float = 90.0) -> None:
        """SIGTERM's way: the operator stops by itself, in order; once kopf knows the cluster."""
        self.wait_until_explored()
        self._stop.set()
        self.join(seconds)

    def ask_to_stop(self) -> None:
        """Stop it, wherever it is."""
        self._stop.set()

    def join(self, seconds: float = 90.0) -> None:
        self._thread.join(seconds)
        detach()
        if self._thread.is_alive():
            assert self.loop is not None
            tasks = [*asyncio.all_tasks(self.loop)]
            stacks = "\n".join([*leave._task_stacks(tasks), *leave._thread_stacks()])
            raise AssertionError(f"the operator has not stopped; {self.election.said}\n{stacks}")

    def leave(self) -> None:
        """Whatever the test did: end it."""
        if self._thread.is_alive():
            self.wait_until_explored()
            self._stop.set()
            self._thread.join(60)
        detach()

    def wait_until_explored(self) -> None:
        """Wait while kopf explores the cluster, as it abandons its requests if it is stopped, and waits five seconds.

        Not for longer than those: a test may have seen to it that nothing is ever found.
        """
        deadline = time.monotonic() + 5
        while self._thread.is_alive() and not self._stop.is_set() and time.monotonic() < deadline:
            conductor = self.gate and self.gate._conductor
            if conductor and conductor.parts.insights.ready_resources.is_set():
                return
            time.sleep(0.01)

    def lead(self, **claim: Any) -> Any:
        """Open the gate and wait for it."""
        assert self.gate is not None
        opened = self.gate.counters.opened
        term = self.election.lead(**claim)
        wait_for(lambda: self.gate.counters.opened > opened, "the gate to open")
        return term

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self.failure = error

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        try:
            await kopf.operator(
                registry=self.registry,
                settings=self.settings,
                namespaces=self.namespaces,
                stop_flag=self._stop,
            )
        finally:
            self._stop.set()  # a thread of kopf's waits for it
