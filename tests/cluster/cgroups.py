"""The cgroups of a run: the only thing that its namespaces do not take with them. One tree per node, named after us."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
PREFIX = "kopf-leader-"
NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")


def hierarchies() -> list[Path]:
    """Where a tree has to be made: each controller's hierarchy. Raises `RuntimeError` with a sentence."""
    if (MOUNT / "cgroup.controllers").exists():
        raise RuntimeError("this machine has cgroups of version 2 alone, for which nothing was tried here")
    missing = [name for name in NEEDED if not (MOUNT / name / "tasks").exists()]
    if missing:
        raise RuntimeError(f"a kubelet needs the cgroup controllers {', '.join(missing)}, which are not mounted here")
    return [path for path in sorted(MOUNT.iterdir()) if (path / "tasks").exists() and not path.is_symlink()]


def make(name: str) -> None:
    """A tree of this name in every hierarchy."""
    for hierarchy in hierarchies():
        folder = hierarchy / name
        folder.mkdir()
        for file in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset has neither
            if (hierarchy / file).exists():
                (folder / file).write_text((hierarchy / file).read_text())


def ours(owner: str = "") -> list[Path]:
    """The roots of the trees of runs, or of this run."""
    return sorted(MOUNT.glob(f"*/{PREFIX}{owner}*"))


def abandoned() -> list[Path]:
    """Trees of runs whose process is gone."""
    return [path for path in ours() if not _lives(path.name.removeprefix(PREFIX).partition("-")[0])]


def remove(roots: list[Path], *, timeout: float = 30.0) -> None:
    """Remove trees, the innermost first; processes in them are ending. Raises `RuntimeError` for what stays."""
    deadline = time.monotonic() + timeout
    while left := [path for path in roots if path.exists()]:
        for root in left:
            for folder in _innermost_first(root):
                with contextlib.suppress(OSError):  # busy until its last process is gone
                    folder.rmdir()
        if time.monotonic() > deadline:
            raise RuntimeError(f"these cgroups have processes that do not end: {' '.join(map(str, left))}")
        time.sleep(0.05)


def _innermost_first(root: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(root, topdown=False):
        yield Path(folder)


def _lives(pid: str) -> bool:
    return Path("/proc", pid).exists()
