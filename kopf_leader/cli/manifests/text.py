"""YAML with comments: written line by line, as no library keeps comments and order at once."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

RBAC = "rbac.authorization.k8s.io"
_PLAIN = re.compile(r"[a-z][-a-z0-9.]*(/[a-z0-9][-a-z0-9.]*)?")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


@dataclass(frozen=True)
class Subject:
    """Who gets a Role: a ServiceAccount with its namespace, a User or a Group."""

    kind: str
    name: str
    namespace: str | None = None


def scalar(text: str) -> str:
    """A text in YAML, in quotes where some parser might take it for something else (`on`, `1e5`)."""
    plain = _PLAIN.fullmatch(text) and text not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def names(texts: Iterable[str]) -> str:
    """A list of texts in one line; in quotes all of them, as people write RBAC."""
    return f"[{', '.join(json.dumps(text, ensure_ascii=False) for text in texts)}]"


def head(api_version: str, kind: str, name: str, namespace: str | None, labels: Mapping[str, str]) -> list[str]:
    """The lines of an object up to its metadata; `namespace` None: an object of the whole cluster."""
    lines = [f"apiVersion: {api_version}", f"kind: {kind}", "metadata:", f"  name: {scalar(name)}"]
    if namespace is not None:
        lines.append(f"  namespace: {scalar(namespace)}")
    if labels:
        lines += ["  labels:", *(f"    {scalar(key)}: {scalar(value)}" for key, value in sorted(labels.items()))]
    return lines


def rule(*why: str, groups: str, resources: str, verbs: Iterable[str], only: str | None = None) -> list[str]:
    """The lines of one rule of a Role, below the reasons for it."""
    lines = [f"  # {line}" for line in why]
    lines += [f"  - apiGroups: {names([groups])}", f"    resources: {names([resources])}"]
    if only is not None:
        lines.append(f"    resourceNames: {names([only])}")
    return [*lines, f"    verbs: {names(verbs)}"]


def binding(name: str, namespace: str, labels: Mapping[str, str], subjects: Iterable[Subject]) -> list[str]:
    """A RoleBinding to the Role of the same name."""
    lines = head(f"{RBAC}/v1", "RoleBinding", name, namespace, labels)
    lines += ["roleRef:", f"  apiGroup: {RBAC}", "  kind: Role", f"  name: {scalar(name)}", "subjects:"]
    for subject in subjects:
        lines.append(f"  - kind: {subject.kind}")
        if subject.namespace is None:
            lines.append(f"    apiGroup: {RBAC}")
        lines.append(f"    name: {scalar(subject.name)}")
        if subject.namespace is not None:
            lines.append(f"    namespace: {scalar(subject.namespace)}")
    return lines


def documents(parts: Iterable[list[str]]) -> str:
    """The objects as one stream."""
    return "---\n".join("\n".join(lines) + "\n" for lines in parts)
