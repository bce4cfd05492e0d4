"""containerd, runc and network plugins: Debian's packages, unpacked into our cache. Nothing is installed or started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.binaries import cache_folder

PACKAGES = ("containerd", "runc", "containernetworking-plugins")


@dataclass(frozen=True)
class Runtime:
    """Where the packages are unpacked."""

    root: Path

    @property
    def path(self) -> str:
        """Where containerd and its shims find each other."""
        return os.pathsep.join(
            [f"{self.root}/usr/bin", f"{self.root}/usr/sbin", os.environ["PATH"], "/usr/sbin", "/sbin"]
        )

    @property
    def plugins(self) -> Path:
        """The network plugins."""
        return self.root / "usr" / "lib" / "cni"


def runtime() -> Runtime:
    """From the cache, or downloaded into it. Raises `RuntimeError` with a sentence."""
    root = cache_folder().parent.parent / "containerd"
    if not root.exists():
        _download(root)
    found = Runtime(root)
    for program in ("containerd", "runc"):
        done = subprocess.run(
            [program, "--version"], env={"PATH": found.path}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"Debian's {program} does not run here: {done.stderr.strip()}")
    return found


def _download(root: Path) -> None:
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise RuntimeError(f"containerd comes from Debian's packages, and there is no {tool} here")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as name:
        folder = Path(name)
        _run("apt-get", "download", *PACKAGES, cwd=folder)
        for package in folder.glob("*.deb"):
            _run("dpkg", "-x", str(package), "root", cwd=folder)
        (folder / "root").rename(root)


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed, perhaps for want of `apt-get update`: {done.stderr.strip()}")
