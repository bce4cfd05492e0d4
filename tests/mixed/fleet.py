"""A fleet: candidates of several kinds for the same Leases, each a process and a user of its own, and one history."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from kopf_leader.testing.history import check
from kopf_leader.testing.processes import Replica, ReplicaSet
from kopf_leader.testing.proxy import Proxy
from tests.controlplane.api import APIError
from tests.controlplane.server import RealControlPlane
from tests.mixed import programs
from tests.mixed.judge import Judgement, judge, only
from tests.mixed.programs import ROOT, Kind
from tests.mixed.watchman import Sight, Watchman

# Short, so that a test takes seconds; client-go's own proportions would be 15, 10 and 2.
LEASE, RENEW, RETRY = 6, 4, 1
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


class MissingError(Exception):
    """A candidate that cannot be had here; the message says what to do."""


class Fleet:
    """A namespace, Leases that were never held, candidates, a watchman. A context manager that kills what is left."""

    def __init__(self, control_plane: RealControlPlane, folder: Path, leases: Sequence[str] = ("fleet",)) -> None:
        self.control_plane = control_plane
        self.folder = folder
        self.leases = tuple(leases)
        self.namespace = control_plane.namespace("mixed")
        self.proxies: dict[str, Proxy] = {}
        self.kinds: dict[str, Kind] = {}
        self.lives: dict[str, list[Replica]] = defaultdict(list)
        self.notes: list[str] = []
        self._starts: dict[str, Callable[[], None]] = {}
        for lease in self.leases:
            self.make(lease, {})
        self.replicas = ReplicaSet(["nothing"], folder / "replicas", environment={"PYTHONPATH": str(ROOT)}, cwd=ROOT)
        self._watchman = Watchman(control_plane.admin, self.namespace)

    def __enter__(self) -> Self:
        self._watchman.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.replicas.close()
        for proxy in self.proxies.values():
            proxy.stop()
        self._watchman.__exit__()

    # Candidates

    def start(
        self,
        kind: Kind,
        name: str,
        *more: str,
        lease: str = "",
        proxied: bool = False,
        durations: tuple[int, int, int] = (LEASE, RENEW, RETRY),
    ) -> Replica:
        """Start a candidate for ``lease`` (all, if empty); raises `MissingError`. ``more`` are arguments of its own."""
        program = programs.command(kind)
        if program is None:
            raise MissingError(programs.missing(kind))
        user, leases = f"{self.namespace}-{name}", [lease] if lease else self.leases
        for one in leases:
            self.control_plane.grant_lease_rights(user, self.namespace, one)
        config = self._kubeconfig(name, user, proxied=proxied)
        arguments = [f"--namespace={self.namespace}", f"--stand={','.join(leases)}"]
        if kind != "ours":
            arguments.append(f"--identity={name}_{secrets.token_hex(5)}")
        if kind == "client-go":
            arguments.append(f"--kubeconfig={config}")
        unit = "s" if kind == "client-go" else ""
        for flag, seconds in zip(("lease-duration", "renew-deadline", "retry-period"), durations, strict=True):
            arguments.append(f"--{flag}={seconds}{unit}")

        def begin() -> None:
            self.replicas.command[:] = program
            one = self.replicas.start(
                name, kubeconfig=config, arguments=[*arguments, *more], environment={"POD_NAME": name}
            )
            self.lives[name].append(one)

        self.kinds[name], self._starts[name] = kind, begin
        begin()
        return self.replicas[name]

    def _kubeconfig(self, name: str, user: str, *, proxied: bool) -> Path:
        url = None
        if proxied:
            address = urlsplit(self.control_plane.url)
            self.proxies[name] = Proxy(address.hostname or "", address.port or 0).start()
            url = f"https://127.0.0.1:{self.proxies[name].port}"
        path, token = self.folder / f"{name}.kubeconfig", self.control_plane.user(user)
        return self.control_plane.kubeconfig(path, token=token, namespace=self.namespace, url=url)

    def revive(self) -> None:
        """Start again, as a kubelet would, whoever has ended with an error."""
        for name, begin in self._starts.items():
            if self.replicas[name].exit_code not in (None, 0):
                begin()

    def ended(self, name: str) -> bool:
        """Whether a process of this name has ended with an error."""
        return any(one.exit_code not in (None, 0) for one in self.lives[name])

    # What to wait for

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until it holds."""
        self.replicas.wait_until(condition, what=what)

    def wait_leader(self, *names: str, lease: str = "") -> str:
        """Until one of these holds the Lease and is at work; its name."""
        lease = lease or self.leases[0]
        self.wait(lambda: self.leader(lease) in names, f"leader among {', '.join(names)} of {lease}")
        return self.leader(lease)

    def leader(self, lease: str) -> str:
        """Who holds the Lease and is at work, or an empty text."""
        sights = self._watchman.sights(lease)
        holder = sights[-1].holder if sights else ""
        return holder if holder in self.at_work(lease) else ""

    def at_work(self, lease: str) -> set[str]:
        """Whose work lasts."""
        verdict = check(only(self.replicas.history(), lease))
        return {run.process.replica for run in verdict.executions if run.outcome == "open"}

    def wait_standby(self, name: str) -> None:
        """Until it has read each of its Leases."""
        user = f"{self.namespace}-{name}"
        self.wait(
            lambda: self.control_plane.requests(user, resource="leases", namespace=self.namespace)["get"],
            f"first look of {name}",
        )

    # The Leases

    def make(self, lease: str, spec: dict[str, Any], **metadata: Any) -> None:
        """Create it."""
        body = {"metadata": {"name": lease, **metadata}, "spec": spec}
        self.control_plane.admin.create(LEASES.format(self.namespace), body)

    def read(self, lease: str = "") -> dict[str, Any]:
        """As it is now; empty when there is none."""
        try:
            path = f"{LEASES.format(self.namespace)}/{lease or self.leases[0]}"
            return dict(self.control_plane.admin.get(path))
        except APIError as error:
            if error.status != 404:
                raise
            return {}

    def delete(self, lease: str = "") -> None:
        """Delete it."""
        self.control_plane.admin.delete(f"{LEASES.format(self.namespace)}/{lease or self.leases[0]}")

    def sights(self, lease: str = "") -> list[Sight]:
        """Its versions so far."""
        return self._watchman.sights(lease or self.leases[0])

    # The verdict

    def judge(self) -> list[Judgement]:
        """Of each Lease."""
        history = self.replicas.history()
        return [
            judge(history, lease, self.sights(lease), lease_duration=LEASE, kinds=self.kinds) for lease in self.leases
        ]
