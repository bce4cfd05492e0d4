"""The project's own image, packed without an engine: the Dockerfile's steps, an interpreter, and a tar of tars.

The base image is what an engine would have to fetch. Its place takes the interpreter that runs this, at its own path,
with the standard library and every shared library that any of it is linked to: all that a kopf operator needs.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.package import dockerfile

SKIPPED = {"site-packages", "test", "tests", "idlelib", "tkinter", "lib2to3", "ensurepip", "__pycache__"}
"""What of the standard library no operator imports, and what weighs most."""
PAUSE = "import signal; signal.pause()"


def pack(folder: Path, *, name: str, pause: str, added: Mapping[str, Path]) -> Path:
    """An archive with two images, for ``ctr images import``; ``added`` is a layer on top, as a user's COPY makes one.

    ``pause`` is the image that holds a pod's namespaces open: the same files, and a process that waits.
    """
    venv = dockerfile.build(folder)
    base, project, top = folder / "base.tar", folder / "project.tar", folder / "added.tar"
    with tarfile.open(base, "w") as tar:
        _add_interpreter(tar, venv)
    with tarfile.open(project, "w") as tar:
        _add_environment(tar, venv)
    with tarfile.open(top, "w") as tar:
        for target, source in added.items():
            tar.add(source, target.lstrip("/"), filter=_plain)
    config = dockerfile.config()
    waiting = {**config, "Entrypoint": ["/venv/bin/python", "-I", "-S", "-c", PAUSE], "Cmd": []}
    archive = folder / "images.tar"
    with tarfile.open(archive, "w") as tar:
        for layer in (base, project, top):
            tar.add(layer, layer.name)
        manifest = [
            _image(tar, name, config, [base, project, top]),
            _image(tar, pause, waiting, [base, project]),
        ]
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
    return archive


def _image(tar: tarfile.TarFile, name: str, config: Mapping[str, Any], layers: Iterable[Path]) -> dict[str, Any]:
    digests = [f"sha256:{_digest(layer)}" for layer in layers]
    body = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": [{"created_by": layer.stem} for layer in layers],
    }
    content = json.dumps(body).encode()
    place = hashlib.sha256(content).hexdigest() + ".json"
    _add_bytes(tar, place, content)
    return {"Config": place, "RepoTags": [name], "Layers": [layer.name for layer in layers]}


def _add_interpreter(tar: tarfile.TarFile, venv: Path) -> None:
    for name, mode in (
        ("tmp", 0o1777),
        ("app", 0o755),
        ("proc", 0o755),
        ("dev", 0o755),
        ("sys", 0o755),
        ("etc", 0o755),
    ):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        tar.addfile(entry)
    base = Path(sys.base_prefix)
    library = base / "lib" / f"python3.{sys.version_info.minor}"
    program = (venv / "bin" / "python").resolve()
    names = ("python3", f"python3.{sys.version_info.minor}")  # the environment's link may lead through these
    for path in dict.fromkeys((program, *(base / "bin" / name for name in names))):
        if path.exists():
            tar.add(path, str(path).lstrip("/"), filter=_plain)

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        name = Path(entry.name).name
        return None if name in SKIPPED or name.startswith(("config-", "_tkinter.")) else _plain(entry)

    tar.add(library, str(library).lstrip("/"), filter=wanted)
    for path in _libraries(
        [program, *library.glob("lib-dynload/[!_]*.so"), *library.glob("lib-dynload/_[!t]*.so"), *venv.rglob("*.so*")]
    ):
        tar.add(path.resolve(), str(path).lstrip("/"), filter=_plain)


def _add_environment(tar: tarfile.TarFile, venv: Path) -> None:
    """The environment as /venv: its scripts and its configuration name the folder that it was made in."""
    tar.add(venv, "venv", filter=lambda entry: None if entry.name == "venv/bin" else _plain(entry))
    for path in sorted((venv / "bin").iterdir()):
        if path.is_symlink():
            tar.add(path, f"venv/bin/{path.name}", filter=_plain)
        else:
            _add_bytes(tar, f"venv/bin/{path.name}", path.read_bytes().replace(bytes(venv), b"/venv"), mode=0o755)


def _libraries(linked: Iterable[Path]) -> list[Path]:
    """Shared libraries that any of these is linked to, at the paths where the linker looks."""
    # A wheel's own libraries lie in the environment, and reach the image with it.
    done = subprocess.run(["ldd", *map(str, linked)], capture_output=True, text=True, check=False)
    found = dict.fromkeys(Path(path) for path in re.findall(r"(?:=>\s+|^\s+)(/\S+) \(0x", done.stdout, re.MULTILINE))
    return [path for path in found if "venv" not in path.parts]


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Root's, and readable by all, whoever built it with whatever mask."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    return entry


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
