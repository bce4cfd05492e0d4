"""A candidate of client-go, for the benchmarks and the mixed fleets: built once into the cache, again when it changes.

`locate()` only looks; `build()` takes half a minute, and belongs inside no test's time-out.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent


def version() -> str:
    """Of client-go, as pinned."""
    match = re.search(r"k8s.io/client-go (v\S+)", (SOURCE / "go.mod").read_text())
    assert match is not None, "tests/clientgo/go.mod names no client-go"
    return match[1]


def place() -> Path:
    """Where the program of this very source is, built or not."""
    sources = [*sorted(SOURCE.glob("*.go")), SOURCE / "go.mod", SOURCE / "go.sum"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "kopf-leader" / "clientgo" / digest.hexdigest()[:16]


def locate() -> Path | None:
    """The program, if it has been built."""
    return place() if place().exists() else None


def build() -> Path | None:
    """The program; None where there is no Go, and then the comparisons are left out."""
    target = place()
    if target.exists():
        return target
    go = shutil.which("go")
    if go is None:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"building {target} ...", file=sys.stderr, flush=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")  # renamed when whole: two runs may build at once
    command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", str(unfinished), "."]
    try:
        subprocess.run(command, cwd=SOURCE, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target
