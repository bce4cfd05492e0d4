"""The stage of a row: as end to end, and on request an HTTP server between each replica and the API server."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kopf_leader.testing.processes import Replica
from tests.controlplane import rbac
from tests.controlplane.server import RealControlPlane, wait_until
from tests.e2e.stage import LEASES, Stage
from tests.matrix.front import Front, Rule, front_of

LEASE_VERBS = ("get", "watch", "update", "create")
_TROUBLE = re.compile(r"^\[[^\]]*\] (\S+) +\[(?:ERROR|CRITICAL) *\]", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Noise:
    """What one replica's log has of level ERROR and above: in all, from kopf_leader, and tracebacks."""

    errors: int
    ours: int
    tracebacks: int


class Scene(Stage):
    """A `Stage` whose replicas may be behind a `Front` each (replica - proxy of bytes - front - API server)."""

    def __init__(self, control_plane: RealControlPlane, folder: Path, *, fronted: bool) -> None:
        super().__init__(control_plane, folder)
        self._fronted = fronted
        self._first: dict[str, tuple[Rule, ...]] = {}
        self.fronts: dict[str, Front] = {}
        self.environment: dict[str, str] = {}
        """What every replica gets beside its own."""

    def __exit__(self, *exit_: object) -> None:
        super().__exit__(*exit_)
        for front in self.fronts.values():
            front.stop()

    def upstream(self, name: str) -> tuple[str, int]:
        if not self._fronted:
            return super().upstream(name)
        self.fronts[name] = front_of(self.control_plane.url, str(self.control_plane.folder)).start()
        self.fronts[name].rules = self._first.get(name, ())
        return "127.0.0.1", self.fronts[name].port

    def start(self, *names: str, environment: Mapping[str, str] | None = None, **options: Any) -> None:
        super().start(*names, environment={**self.environment, **(environment or {})}, **options)

    # The Lease

    @property
    def lease_path(self) -> str:
        """Where the Lease is."""
        return LEASES.format(self.namespace, self.lease)

    def create_lease(self, **spec: Any) -> None:
        """As the chart does, so that the first replica takes it at once."""
        path = LEASES.format(self.namespace, "").rstrip("/")
        self.control_plane.admin.create(path, {"metadata": {"name": self.lease}, "spec": spec})

    def edit_lease(self, **spec: Any) -> None:
        """Somebody lays hands on it."""
        self.control_plane.admin.patch(self.lease_path, {"spec": spec})

    # Rights and answers

    def allow(self, name: str, *verbs: str) -> None:
        """These verbs on the Lease and no others; returns once it is in force."""
        user = f"{self.namespace}-{name}"
        login = self.control_plane.username(user)
        rules = [
            {**rule, "verbs": [verb for verb in rule["verbs"] if verb in verbs]}
            for rule in rbac.lease_rules(self.lease)
        ]
        kept = [rule for rule in rules if rule["verbs"]]
        rbac.grant(self.control_plane.admin, login, f"{login}-{self.lease}", kept, namespace=self.namespace)
        where = {"group": "coordination.k8s.io", "resource": "leases", "namespace": self.namespace}
        api = self.control_plane.as_user(user)

        def in_force() -> bool:
            return all(
                rbac.allowed(api, verb=verb, name="" if verb == "create" else self.lease, **where) == (verb in verbs)
                for verb in LEASE_VERBS
            )

        wait_until(in_force, what=f"the rights of {name}")

    def rule(self, *rules: Rule, on: Sequence[str] = ()) -> None:
        """These rules at the fronts of ``on`` (of all, when empty); none: everything passes again."""
        for name, front in self.fronts.items():
            if not on or name in on:
                front.rules = rules

    def rule_from_start(self, name: str, *rules: Rule) -> None:
        """These rules at the front of a replica that is still to be started."""
        self._first[name] = rules

    def wait_for_hits(self, name: str, count: int = 1) -> None:
        """Wait until rules have answered that many requests of a replica."""
        front = self.fronts[name]
        self.replicas.wait_until(lambda: len(front.answered) >= count, what=f"{count} requests of {name} to be hit")

    # Waiting

    def wait_for_log(self, replica: Replica, text: str) -> None:
        """Wait until a replica has logged it."""
        self.replicas.wait_until(lambda: text in replica.text(), what=f"{replica.name} to log {text!r}")

    def wait_for_work(self, replica: Replica) -> None:
        """Wait until the latest handler that started is this one's, whatever the Lease says."""
        self.replicas.wait_until(lambda: self.latest_at_work() == replica.pid, what=f"{replica.name} to work")

    def long_work(self, leader: Replica, **spec: float) -> None:
        """Something that takes long on this replica only; wait until it is at it."""
        handlers = ("create", "in_thread") if "thread" in spec else ("create",)
        self.create(only=leader.name, handlers=handlers, **spec)
        self.wait_for_long_handlers(leader)

    def longest_pause(self, since: int) -> float:
        """The longest time, in seconds, in which no handler started anywhere, from ``since`` to the last start."""
        starts = sorted(run.start for run in self.verdict().executions if run.start > since)
        return max((after - before for before, after in zip([since, *starts], starts, strict=False)), default=0) / 1e9

    # What the logs say

    def noise(self) -> dict[str, Noise]:
        """By replica."""
        texts: dict[str, str] = {}
        for log in sorted((self.folder / "replicas").glob("*.log")):
            name = log.stem.rpartition("-")[0]
            texts[name] = texts.get(name, "") + log.read_text(errors="replace")
        return {name: _noise(text) for name, text in texts.items()}

    def ended(self) -> dict[str, int]:
        """The exit status of each replica that has ended by now."""
        everyone = {log.stem.rpartition("-")[0] for log in (self.folder / "replicas").glob("*.log")}
        latest = [self.replicas[name] for name in sorted(everyone)]
        return {one.name: one.exit_code for one in latest if one.exit_code is not None}

    def other(self, leader: Replica) -> Replica:
        """A replica that lives beside this one."""
        return next(one for one in self.replicas if one is not leader)


def _noise(text: str) -> Noise:
    loggers = _TROUBLE.findall(text)
    ours = [name for name in loggers if name.startswith("kopf_leader")]
    return Noise(len(loggers), len(ours), text.count(_TRACEBACK))


def pause(seconds: float) -> None:
    """A fault lasts; nothing is asserted about how long exactly."""
    time.sleep(seconds)
