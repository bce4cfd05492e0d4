"""The candidate of client-go: built once into the cache, again when its source changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "clientgo"


def version() -> str:
    """Of client-go, as pinned."""
    match = re.search(r"k8s.io/client-go (v\S+)", (SOURCE / "go.mod").read_text())
    assert match is not None, "bench/clientgo/go.mod names no client-go"
    return match[1]


def build() -> Path | None:
    """The program; None where there is no Go, and then the comparisons are left out."""
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")))
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = base / "kopf-leader" / "bench" / f"clientgo-{digest.hexdigest()[:16]}"
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
