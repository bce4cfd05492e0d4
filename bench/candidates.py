"""Candidates as processes, driven in the same way: ours (`ours.py`), and by their own code others'.

client-go's are in `tests/clientgo`, those of the `kubernetes` library in `electors.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, Self

from bench.ground import ROOT, Ground
from tests.clientgo import build as golang
from tests.controlplane.rbac import grant

Kind = Literal[
    "ours", "ours-kubernetes", "ours-kubernetes.aio", "ours-pykube", "client-go", "kubernetes", "kubernetes.aio"
]
OTHER_CLIENTS: tuple[Kind, ...] = ("ours-kubernetes", "ours-kubernetes.aio", "ours-pykube")
ELECTORS: tuple[Kind, ...] = ("kubernetes", "kubernetes.aio")
PATIENCE = 90.0  # seconds; nothing is decided by it but when a benchmark gives up


def title(kind: Kind) -> str:
    """What a table calls it."""
    if kind == "client-go":
        return f"client-go {golang.version()}"
    if kind in ELECTORS:
        return f"kubernetes {metadata.version('kubernetes')}, {'aio' if kind == 'kubernetes.aio' else 'sync'} elector"
    client = kind.removeprefix("ours").removeprefix("-")
    return f'ours with client="{client}"' if client else "ours"


def peers(ground: Ground) -> list[Kind]:
    """Who resigns and releases beside ours: client-go, where there is Go."""
    return [] if ground.clientgo is None else ["client-go"]


@dataclass(frozen=True)
class Fact:
    """What a candidate told: `sent` and `accepted` of a write, `read`, `leading`; `t` in ns of CLOCK_BOOTTIME."""

    t: int
    kind: str
    lease: str
    holder: str
    by: str


class Candidate:
    """One process, of any number of Leases."""

    def __init__(self, troupe: Troupe, identity: str, command: list[str], kubeconfig: Path) -> None:
        self.identity = identity
        self._troupe = troupe
        self._log = troupe.ground.folder / f"{troupe.namespace}-{identity}.log"
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            )
        troupe.ground.reaper.add(self._process.pid)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def tail(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"--- {self.identity} (pid {self.pid}, status {self._process.poll()})", *lines])

    def stand(self, lease: str) -> None:
        """Become a candidate of this Lease."""
        self._tell(f"stand {lease}")

    def resign(self, lease: str) -> None:
        """Leave it: release it if held."""
        self._tell(f"resign {lease}")

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        self._troupe.ground.reaper.forget(self._process.pid)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            fact = json.loads(line)
            self._troupe.take(Fact(fact["t"], fact["kind"], fact["lease"], fact["holder"], self.identity))


class Troupe:
    """Candidates of one kind, and all that they told, by Lease. A context manager that kills them."""

    def __init__(self, ground: Ground, kind: Kind, namespace: str, names: list[str]) -> None:
        self.ground = ground
        self.kind = kind
        self.namespace = namespace
        self._facts: dict[str, list[Fact]] = {}
        self._changed = threading.Condition()
        self.candidates = [self._start(name) for name in names]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for candidate in self.candidates:
            candidate.kill()

    def __getitem__(self, identity: str) -> Candidate:
        return next(one for one in self.candidates if one.identity == identity)

    def _start(self, name: str) -> Candidate:
        control_plane, user = self.ground.control_plane, f"{self.namespace}-{name}"
        rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "watch", "update"]}]
        username = self.user(name)
        grant(control_plane.admin, username, f"{username}-bench", rules, namespace=self.namespace)
        kubeconfig = control_plane.kubeconfig(
            self.ground.folder / f"{user}.kubeconfig", token=control_plane.user(user), namespace=self.namespace
        )
        identity = f"{name}_{self.kind}"
        flags = ["--kubeconfig", str(kubeconfig), "--namespace", self.namespace, "--identity", identity]
        return Candidate(self, identity, [*self._program(), *flags], kubeconfig)

    def _program(self) -> list[str]:
        if self.kind == "client-go":
            return [str(self.ground.clientgo)]
        if self.kind in ELECTORS:
            return [sys.executable, "-m", "bench.electors", self.kind]
        client = self.kind.removeprefix("ours").removeprefix("-")
        return [sys.executable, "-m", "bench.ours", *([f"--client={client}"] if client else [])]

    def user(self, name: str) -> str:
        """What the API server calls the candidate of this name."""
        return self.ground.control_plane.username(f"{self.namespace}-{name}")

    def take(self, fact: Fact) -> None:
        """A candidate told something."""
        with self._changed:
            self._facts.setdefault(fact.lease, []).append(fact)
            self._changed.notify_all()

    def mark(self, lease: str) -> int:
        """How much was told so far."""
        with self._changed:
            return len(self._facts.get(lease, ()))

    def wait_for(self, lease: str, condition: Callable[[Fact], bool], *, since: int = 0, what: str) -> Fact:
        """The first fact of this Lease, from the mark `since` on, that meets the condition."""
        deadline, seen = time.monotonic() + PATIENCE, since
        with self._changed:
            while True:
                told = self._facts.get(lease, [])
                for fact in told[seen:]:
                    if condition(fact):
                        return fact
                seen = len(told)
                if not self._changed.wait(deadline - time.monotonic()):
                    tails = "\n".join(candidate.tail() for candidate in self.candidates)
                    raise TimeoutError(f"waited {PATIENCE:g} s in vain for {what} of {self.kind} on {lease}\n{tails}")

    def wait_for_leader(self, lease: str, *, since: int = 0, other_than: str = "") -> Fact:
        """The acquiring write of somebody (else), accepted."""
        return self.wait_for(
            lease,
            lambda fact: fact.kind == "accepted" and fact.holder == fact.by != other_than,
            since=since,
            what="an acquiring write",
        )
