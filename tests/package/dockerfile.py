"""The project's Dockerfile: read, its build stage run in a folder where no engine is, and what its last stage says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from tests.package.places import ROOT, run


def instructions() -> list[tuple[str, str]]:
    """The instructions in order, comments and line breaks taken out."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def build(folder: Path) -> Path:
    """The build stage, step by step, in a folder instead of an image; the virtual environment that it makes."""
    source, venv = folder / "src", folder / "venv"
    source.mkdir()
    for word, rest in stages()[0]:
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                place = source / target / (name if target == "./" else "")
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, place)
        elif word == "RUN":
            run("sh", "-c", rest.replace("/venv", str(venv)), cwd=source)
    return venv


def config(path: str = "/usr/local/bin:/usr/bin:/bin") -> dict[str, Any]:
    """The last stage's settings as an image carries them; ``path`` is the base image's PATH."""
    last = dict(stages()[-1])  # each of these words stands there once
    env = dict(pair.split("=", 1) for pair in last["ENV"].split())
    return {
        "Env": [f"{name}={value.replace('${PATH}', path)}" for name, value in env.items()],
        "WorkingDir": last["WORKDIR"],
        "User": last["USER"],
        "Entrypoint": json.loads(last["ENTRYPOINT"]),
        "Cmd": json.loads(last["CMD"]),
    }
