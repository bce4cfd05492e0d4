"""Helm, run on the chart of this project, and what it renders as objects."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "kopf-operator"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
LEAST = {"image": {"repository": "example.org/operator"}, "operator": {"useImageCommand": True}}
"""The least that has to be said."""


class _OneOfEach(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, where PyYAML takes the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"keys stand twice: {keys}{node.start_mark}"
        return super().construct_mapping(node, deep)


Values = Mapping[str, Any]
Objects = list[dict[str, Any]]


class Refused(Exception):  # noqa: N818 (it reads so)
    """Helm's error, as it prints it."""


_used: list[Path] = []
"""What `using()` says, the last one on top."""


@contextmanager
def using(program: Path) -> Iterator[None]:
    """`helm()` runs this program meanwhile, and not Helm 3."""
    _used.append(program)
    try:
        yield
    finally:
        _used.pop()


def helm_3() -> Path:
    """Helm 3 of this environment, which `make` installs."""
    found = shutil.which("helm", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert found is not None, "there is no helm: run `make lint` once, which sets the environment up"
    return Path(found)


def helm(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run helm; its output. Raises `Refused`."""
    done = subprocess.run(
        [_used[-1] if _used else helm_3(), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def render(
    values: Values | Path = LEAST, *flags: str, release: str = "op", namespace: str = "apps", also: Values | None = None
) -> Objects:
    """The objects of a release, in Helm's order; `also` is laid over the values. Raises `Refused`."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, layer in enumerate((values, also or {})):
            path = layer if isinstance(layer, Path) else Path(folder) / f"{number}.yaml"
            if not isinstance(layer, Path):
                path.write_text(json.dumps(dict(layer)))  # which is YAML, and means one thing to all readers
            files += ["-f", str(path)]
        text = helm("template", release, str(CHART), "--namespace", namespace, *files, *flags)
    return [object_ for object_ in yaml.load_all(text, _OneOfEach) if object_]


def of_kind(objects: Objects, kind: str) -> Objects:
    """The objects of this kind."""
    return [object_ for object_ in objects if object_["kind"] == kind]


def the(objects: Objects, kind: str, name: str | None = None) -> dict[str, Any]:
    """The only object of this kind (and name)."""
    found = [object_ for object_ in of_kind(objects, kind) if name in (None, object_["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects of the kind {kind}"
    return found[0]


def pod(objects: Objects) -> dict[str, Any]:
    """The spec of the operator's pods."""
    return the(objects, "Deployment")["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def container(objects: Objects) -> dict[str, Any]:
    """The operator's container."""
    return pod(objects)["containers"][0]  # type: ignore[no-any-return]


def environment(objects: Objects) -> dict[str, str]:
    """The operator's variables with a plain value."""
    return {entry["name"]: entry["value"] for entry in container(objects)["env"] if "value" in entry}
