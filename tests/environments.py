"""Python environments of their own, for tests that need other packages than the one they run in.

Made once, in ${XDG_CACHE_HOME:-~/.cache}/kopf-leader/venvs, and made anew when what belongs into them has changed.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path


class PreparationError(RuntimeError):
    """The environment could not be made; the message ends with pip's own."""


def folder(name: str) -> Path:
    """Where the environment of this name is."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "kopf-leader" / "venvs" / name


def made(name: str, *, recipe: Sequence[str]) -> Path | None:
    """The Python of the environment, if it is there and made of this recipe."""
    place = folder(name)
    stamp = place / "made-of"
    return place / "bin" / "python" if stamp.exists() and stamp.read_text() == _digest(name, recipe) else None


def make(name: str, *, recipe: Sequence[str], packages: Sequence[str], constraints: str) -> Path:
    """Make the environment unless it is there; its Python. One process at a time. Raises `PreparationError`."""
    if (python := made(name, recipe=recipe)) is not None:
        return python
    place = folder(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (python := made(name, recipe=recipe)) is not None:
            return python
        return _make(place, name=name, recipe=recipe, packages=packages, constraints=constraints)


def _make(place: Path, *, name: str, recipe: Sequence[str], packages: Sequence[str], constraints: str) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    python, pins = place / "bin" / "python", place / "constraints.txt"
    pins.write_text(constraints)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint", pins]
    done = subprocess.run([*command, *packages], check=False, capture_output=True, text=True)
    if done.returncode:
        raise PreparationError(f"The environment {name} cannot be made: {done.stderr[-2000:]}")
    (place / "made-of").write_text(_digest(name, recipe))
    return python


def _digest(name: str, recipe: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([name, sys.version, *recipe]).encode()).hexdigest()
