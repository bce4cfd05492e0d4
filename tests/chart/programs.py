"""What the chart's tests run beside Helm 3: found, or made before the tests by `python -m tests.chart.programs`.

Helm 4 is built with Go, three minutes at first. Prometheus and promtool are Debian's, unpacked into the cache: nothing
is installed on the machine or started. Both are bounded in time, and made inside no test's time-out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

_Program = TypeVar("_Program")

HELM_4 = "v4.3.1"
PROMETHEUS = "KOPF_LEADER_REQUIRE_PROMETHEUS"
"""Set to 1: a missing Prometheus fails the tests. Else they say that they did not run, as not every machine has apt."""
REAL = "KOPF_LEADER_REQUIRE_REAL"
BUILD, DOWNLOAD = 1200, 180
"""Seconds after which a build, and a step of a download, is given up."""


@dataclass(frozen=True)
class Prometheus:
    """The server and its tool."""

    server: Path
    promtool: Path


def _cache(name: str) -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "kopf-leader" / name


def helm_4() -> Path | None:
    """Helm 4, if it has been built. Builds nothing."""
    program = _cache("helm") / HELM_4 / "helm"
    return program if program.exists() else None


def prometheus() -> Prometheus | None:
    """Prometheus in PATH, or in the cache. Downloads nothing."""
    for folder in (None, str(_cache("prometheus") / "usr" / "bin")):
        server, promtool = (shutil.which(name, path=folder) for name in ("prometheus", "promtool"))
        if server and promtool:
            return Prometheus(Path(server), Path(promtool))
    return None


def helm_4_or_skip() -> Path:
    """Helm 4. Skips without it; KOPF_LEADER_REQUIRE_REAL=1 makes that fail."""
    return _or_skip(helm_4(), f"no Helm {HELM_4}: install Go, and run `python -m tests.chart.programs`", REAL)


def prometheus_or_skip() -> Prometheus:
    """Prometheus. Skips without it; KOPF_LEADER_REQUIRE_PROMETHEUS=1 makes that fail."""
    what = "no Prometheus: install it, or run `python -m tests.chart.programs` where apt-get is"
    return _or_skip(prometheus(), what, PROMETHEUS)


def _or_skip(found: _Program | None, what: str, variable: str) -> _Program:
    if found is None:
        if os.environ.get(variable) == "1":
            pytest.fail(f"{variable} is set and there is {what}", pytrace=False)
        pytest.skip(what)
    return found


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder that gets the target's name when it is complete: two runs may make it at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unfinished-") as folder:
        made = Path(folder) / "made"
        made.mkdir()
        yield made
        if not target.exists():
            made.rename(target)


def build_helm_4() -> None:
    """Build it into the cache, unless it is there. Raises `LookupError` or what `subprocess.run` raises."""
    if helm_4() is not None:
        return
    go = shutil.which("go")
    if go is None:
        raise LookupError("there is no Go to build Helm 4 with")
    print(f"building Helm {HELM_4} ...", file=sys.stderr, flush=True)
    flags = f"-s -w -X helm.sh/helm/v4/internal/version.version={HELM_4}"
    with _whole(_cache("helm") / HELM_4) as folder:
        command = [go, "install", "-trimpath", "-ldflags", flags, f"helm.sh/helm/v4/cmd/helm@{HELM_4}"]
        environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder)}
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=BUILD)


def unpack_prometheus() -> None:
    """Unpack Debian's package into the cache, unless there is one. Raises as `build_helm_4()`."""
    if prometheus() is not None:
        return
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise LookupError("there is no apt-get to have Prometheus from")
    print("fetching Debian's prometheus ...", file=sys.stderr, flush=True)
    with _whole(_cache("prometheus")) as folder, tempfile.TemporaryDirectory() as place:
        own = ["-o", f"Dir::State::lists={place}/lists", "-o", f"Dir::Cache={place}"]  # the machine's stay as they are
        download = ["download", "prometheus"]
        try:
            _apt(download, place)
        except subprocess.CalledProcessError:  # where the machine has no lists of packages
            Path(place, "lists", "partial").mkdir(parents=True)
            _apt([*own, "update"], place)
            _apt([*own, *download], place)
        (package,) = Path(place).glob("prometheus_*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True, timeout=DOWNLOAD)


def _apt(arguments: list[str], folder: str) -> None:
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=", *arguments]
    subprocess.run(command, cwd=folder, check=True, timeout=DOWNLOAD, stdin=subprocess.DEVNULL)


def main() -> int:
    """Make what is not there; say what cannot be had. Never fails: the tests say what they lack."""
    steps: tuple[Callable[[], None], ...] = (build_helm_4, unpack_prometheus)
    for step in steps:
        try:
            step()
        except (LookupError, OSError, subprocess.SubprocessError) as error:
            print(f"The chart's tests run without it: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
