"""Where etcd, kube-apiserver and the rest come from: a folder you name, our own cache, or a build with ``go``.

``locate()`` only looks. ``python -m tests.controlplane.binaries`` looks and, when nothing is found, builds into the
cache; the Makefile runs it before pytest, for a build takes about six minutes and belongs inside no test's time-out.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ETCD_PACKAGE = "go.etcd.io/etcd/server/v3"
KUBERNETES_PACKAGE = "k8s.io/kubernetes"
HOW_TO_GET = (
    "no kube-apiserver and etcd: point KUBEBUILDER_ASSETS at a folder that holds both (envtest's), "
    "or run `python -m tests.controlplane.binaries` where Go is installed (builds them once, six minutes)"
)


MORE = ("kube-controller-manager", "kube-scheduler")
"""Programs that only the ring `cluster` needs."""
KUBELET = ("kubelet",)
"""What `make test-cluster` needs beside them, and nothing else."""


@dataclass(frozen=True)
class Binaries:
    """The two programs, and the sentence that says which source won."""

    etcd: Path
    apiserver: Path
    source: str


def pinned(package: str) -> str:
    """The version of ``package`` that go.mod pins, e.g. ``v1.37.2``."""
    match = re.search(rf"^\s*{re.escape(package)} (v\S+)", (HERE / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise LookupError(f"tests/controlplane/go.mod requires no {package}: add it")
    return match[1]


def cache_folder() -> Path:
    """The cache of these very versions: a change of go.mod is a different folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = f"{pinned(KUBERNETES_PACKAGE)}-etcd{pinned(ETCD_PACKAGE).removeprefix('v')}"
    return base / "kopf-leader" / "controlplane" / key


def locate() -> Binaries | None:
    """What can be used at once, or None. Never builds, never waits."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        found = _pair(Path(assets), f"KUBEBUILDER_ASSETS ({assets})")
        if found is not None:
            return found
    folder = cache_folder()
    return _pair(folder, f"our cache ({folder})")


def more(names: Sequence[str] = MORE) -> dict[str, Path] | None:
    """Programs beside the two, or None if one of them is missing."""
    folders = [Path(folder) for folder in [os.environ.get("KUBEBUILDER_ASSETS")] if folder] + [cache_folder()]
    for folder in folders:
        found = {name: folder / name for name in names}
        if all(os.access(path, os.X_OK) for path in found.values()):
            return found
    return None


def build_more(names: Sequence[str] = MORE) -> None:
    """Build programs beside the two into the cache. Raises as `build()` does."""
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(f"no Go to build {' and '.join(names)} with: install it")
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        for name in names:
            _compile(go, f"{KUBERNETES_PACKAGE}/cmd/{name}", folder / name, _stamped())


def build() -> Binaries:
    """Build both programs into the cache, one process at a time.

    Raises ``RuntimeError`` when there is no ``go``, and ``subprocess.CalledProcessError`` when the build fails.
    """
    go = shutil.which("go")
    if go is None:
        raise RuntimeError(HOW_TO_GET)
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        found = _pair(folder, f"our cache ({folder}), built by another run just now")
        if found is not None:
            return found
        _compile(go, ETCD_PACKAGE, folder / "etcd", "-s -w")
        _compile(go, f"{KUBERNETES_PACKAGE}/cmd/kube-apiserver", folder / "kube-apiserver", _stamped())
    built = _pair(folder, f"built with {go} into {folder}")
    if built is None:
        raise RuntimeError(f"go built no usable programs in {folder}: delete the folder and build again")
    return built


def _stamped() -> str:
    """The linker's flags: without a version, /version answers v0.0.0 and clients complain."""
    version = pinned(KUBERNETES_PACKAGE)
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamp = "k8s.io/component-base/version."
    return f"-s -w -X {stamp}gitVersion={version} -X {stamp}gitMajor={major} -X {stamp}gitMinor={minor}"


def _pair(folder: Path, source: str) -> Binaries | None:
    etcd, apiserver = folder / "etcd", folder / "kube-apiserver"
    usable = all(path.is_file() and os.access(path, os.X_OK) for path in (etcd, apiserver))
    return Binaries(etcd, apiserver, source) if usable else None


def _compile(go: str, package: str, target: Path, ldflags: str) -> None:
    if target.exists():
        return
    # A name of this process, then a rename: a run that looks in the meantime never sees half a program.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    print(f"building {package} into {target} ...", file=sys.stderr, flush=True)
    command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", ldflags, "-o", str(unfinished), package]
    try:
        subprocess.run(command, cwd=HERE, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Locate, or build; print the source that won."""
    try:
        found = locate() or build()
        if more() is None:
            build_more()
    except (RuntimeError, subprocess.CalledProcessError) as error:
        print(f"control plane: {error}", file=sys.stderr)
        return 1
    print(f"control plane: {found.source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
