"""The blocks of code of every page, and what each kind of them is held to."""

import importlib.util
import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import kopf.cli
import kubernetes_validate
import yaml

from kopf_leader.cli.main import main
from tests.chart.helm import CHART, LEAST, render
from tests.docs.messages import quoted
from tests.docs.reference import metrics

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md"), *CHART.glob("*.md")])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
KUBERNETES = "1.37.0"
OTHERS = {"kubectl", "helm", "curl", "export", "cat", "openssl", "sed"}
"""Commands that are not of this project."""
POD = {"KOPF_RUN_LEADER_ELECTION_ID": "my-operator"}
"""What a command in the operator's pod finds there."""
WRITES = {**LEAST, "rbac": {"rules": [{"apiGroups": ["kopf.dev"], "resources": ["kopfexamples"], "verbs": ["patch"]}]}}
PEERING_RECORD = "kopf-leader/ns/my-operator"
_NAMES = {*re.findall(r"^\| `(\w+)` \|", metrics(), re.MULTILINE)}
_PROBES = {"livenessProbe", "readinessProbe", "startupProbe"}


@dataclass(frozen=True)
class Block:
    """One block of code on a page."""

    page: Path
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}-{self.number}-{self.kind}"


def blocks() -> Iterator[Block]:
    """All of them."""
    for page in PAGES:
        for number, (indent, kind, text) in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            yield Block(page, number, kind, re.sub(f"^{indent}", "", text, flags=re.MULTILINE))


# Consoles: every command exists, with every option and argument as they stand.


def commands(text: str) -> list[str]:
    """The command lines: those behind a prompt, or all where there is none."""
    lines = text.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return prompted if prompted or lines[0].startswith("# terminal") else lines


def added(text: str) -> list[str]:
    """The command lines that a diff brings."""
    lines = [line.removeprefix("+").strip() for line in text.splitlines() if line.startswith("+")]
    return [line for line in lines if re.match("kopf(-leader)? ", line)]


def check_command(line: str) -> None:
    """Raises for a command that is not as it is written."""
    for part in line.split(" | "):
        words = shlex.split(part.removeprefix(".venv/bin/"), comments=True)
        while words and "=" in words[0]:
            words.pop(0)
        if words[0] == "kubectl" and "--" in words:
            with patch.dict(os.environ, POD):
                _check_words(words[words.index("--") + 1 :])
        else:
            _check_words(words)


def _check_words(words: list[str]) -> None:
    match words:
        case ["kopf-leader", name, *arguments]:
            command = main.get_command(click.Context(main), name)
            assert command is not None, f"there is no kopf-leader {name}"
            command.make_context(name, list(arguments))
        case ["kopf", name, *arguments]:
            kopf.cli.main.commands[name].make_context(name, list(arguments))
        case ["make", target]:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert re.search(f"^{target}:", makefile, re.MULTILINE), f"there is no target {target}"
        case ["pip", "install", what]:
            check_extra(what)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module) is not None, f"there is no module {module}"
        case ["python", script]:
            assert [*ROOT.glob(f"examples/*/{script}")], f"there is no {script}"
        case [first, *_]:
            assert first in OTHERS, f"unknown: {first}"


def check_extra(what: str) -> None:
    """`kopf-leader[extra]` has an extra that exists."""
    match = re.fullmatch(r"kopf-leader(?:\[(\w+)\])?", what)
    assert match is not None, f"that is not this project: {what}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert match[1] is None or match[1] in project["optional-dependencies"], f"no such extra: {what}"


# YAML: what it is part of is completed, and validated as a whole.


def check_yaml(text: str) -> None:
    """Raises for what no Kubernetes, no chart and no Prometheus of ours takes."""
    chart = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for content in yaml.safe_load_all(text):
        match content:
            case {"apiVersion": _, "kind": _}:
                kubernetes_validate.validate(content, KUBERNETES, strict=True)
            case [{"apiGroups": _}, *_]:
                kubernetes_validate.validate(_role(content), KUBERNETES, strict=True)
            case [{"alert": _}, *_]:
                for rule in content:
                    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
                    check_query(rule["expr"])
            case {"status": status}:
                assert set(status) == {PEERING_RECORD}  # kopf's own object; tests/gate/test_peering.py has its fields
            case dict() if set(content) <= _PROBES:
                kubernetes_validate.validate(_pod(content), KUBERNETES, strict=True)
            case dict() if set(content) <= set(chart):
                render(WRITES, also=content)  # the schema is strict: an unknown key is refused
            case _:
                raise AssertionError(f"nobody knows what this is: {content}")


def _role(rules: list[Any]) -> Mapping[str, Any]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "any"}, "rules": rules}


def _pod(probes: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = {"containers": [{"name": "operator", "image": "any", **probes}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": spec}


def check_query(text: str) -> None:
    """Each metric of a query is one of ours."""
    asked = re.findall(r"\b(?:kopf_leader|leader_election)_\w+", text)
    assert asked
    for name in asked:
        assert re.sub("_bucket$", "", name) in _NAMES, f"there is no metric {name}"


def check_text(text: str) -> None:
    """A quoted line is one that the code says."""
    assert quoted(text.strip()), text
