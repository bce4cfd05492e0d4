"""What all rows stand on: one control plane, fresh namespaces, users with rights, and processes that end with us."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kopf_leader.testing.reaper import Reaper
from tests.clientgo import build as golang
from tests.controlplane.binaries import pinned
from tests.controlplane.server import RealControlPlane

ROOT = Path(__file__).parents[1]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


@dataclass
class Ground:
    """Everything that a row needs."""

    control_plane: RealControlPlane
    clientgo: Path | None
    full: bool
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="kopf-leader-bench-")))
    reaper: Reaper = field(default_factory=Reaper)

    def __post_init__(self) -> None:
        self.reaper.add_folder(self.folder)

    def close(self) -> None:
        """End what is left, and remove the folder."""
        self.reaper.close()

    def pick(self, full: int, short: int) -> int:
        """How many trials."""
        return full if self.full else short

    def say(self, text: str) -> None:
        """Progress, for the person who waits."""
        print(f"{dt.datetime.now():%H:%M:%S}  {text}", file=sys.stderr, flush=True)  # noqa: DTZ005 (a person's)

    def leases(self, namespace: str, prefix: str, count: int) -> list[str]:
        """Create Leases that were never held: the first candidate takes them at once."""
        names = [f"{prefix}-{number}" for number in range(count)]
        for name in names:
            body: dict[str, Any] = {"metadata": {"name": name}, "spec": {}}
            self.control_plane.admin.create(LEASES.format(namespace), body)
        return names


def place() -> dict[str, str]:
    """Where and with what: rows of one page have all of it in common."""
    server, store = pinned("k8s.io/kubernetes"), pinned("go.etcd.io/etcd/server/v3")
    libraries = [
        f"{name} {importlib.metadata.version(name)}" for name in ("kopf", "aiohttp", "kubernetes", "pykube-ng")
    ]
    return {
        "versions": ", ".join([*libraries, f"client-go {golang.version()}", f"Python {platform.python_version()}"]),
        "API server": f"kube-apiserver {server} and etcd {store} (no fsync), on the same machine",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
