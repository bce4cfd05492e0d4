"""The namespace of the Lease, where nobody passed one. Replicas that disagree on it would not see each other.

The order: what was passed, the service account's namespace file, the kubeconfig's current context. Files are merged as
kubectl does (client-go `clientcmd`): the first file wins, files of `KUBECONFIG` that do not exist are skipped.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from kopf_leader.errors import SettingsError

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def find_namespace(
    *,
    explicit: str | None = None,
    service_account_file: Path = SERVICE_ACCOUNT_NAMESPACE,
    environ: Mapping[str, str] = os.environ,
    remedy: str = "pass --leader-election-namespace, or set KOPF_RUN_LEADER_ELECTION_NAMESPACE",
) -> str:
    """The namespace to elect in. Raises `SettingsError` if there is none to be found, or a file cannot be read.

    `remedy` is what the caller can do instead, for the sentence.
    """
    if explicit:
        return explicit
    try:
        mounted = _read(service_account_file).strip()
        return mounted or _of_kubeconfig(kubeconfigs(environ))
    except _Unfound as unfound:
        raise SettingsError([f"{unfound.what}: {unfound.first}{remedy}."]) from unfound.__cause__


class _Unfound(Exception):  # noqa: N818 (it becomes a `SettingsError`)
    """What is wrong, and what could be done first."""

    def __init__(self, what: str, first: str) -> None:
        super().__init__(what)
        self.what = what
        self.first = first


def kubeconfigs(environ: Mapping[str, str]) -> list[Path]:
    """Where the kubeconfigs are to be, existing or not: those of KUBECONFIG, else the usual one."""
    named = environ.get("KUBECONFIG", "")
    home = environ.get("HOME") or "~"
    paths = [part for part in named.split(os.pathsep) if part.strip()] or [os.path.join(home, ".kube", "config")]  # noqa: PTH118
    return [Path(os.path.expanduser(path.strip())) for path in paths]  # noqa: PTH111


def _of_kubeconfig(paths: list[Path]) -> str:
    names = ", ".join(str(path) for path in paths)
    current: str | None = None
    contexts: dict[str, Mapping[str, Any]] = {}
    for path in paths:
        config = _load(path)
        current = current or config.get("current-context")
        for name, context in _contexts(config):
            contexts.setdefault(name, context)
    if not current:
        raise _Unfound(f"No namespace for the leader election: no service account, no current context in {names}", "")
    if current not in contexts:
        raise _Unfound(f"The current context {current!r} does not exist in {names}", "correct the kubeconfig, or ")
    return str(contexts[current].get("namespace") or "default")


def _load(path: Path) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(_read(path))
    except yaml.YAMLError as exc:
        raise _Unfound(f"The kubeconfig {path} is no YAML", "correct it, or ") from exc
    if config is not None and not isinstance(config, Mapping):
        raise _Unfound(f"The kubeconfig {path} is no mapping", "correct it, or ")
    return config or {}


def _contexts(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    listed = config.get("contexts")
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, Mapping) and isinstance(item.get("name"), str):
            context = item.get("context")
            yield item["name"], context if isinstance(context, Mapping) else {}


def _read(path: Path) -> str:
    """The content; empty if there is no file. One that is there must be readable: guessing would part replicas."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as exc:
        raise _Unfound(f"The file {path} cannot be read ({type(exc).__name__})", "make it readable, or ") from exc
