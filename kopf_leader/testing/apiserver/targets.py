"""From a request to what it is about: verb, resource, namespace, name; what kube-apiserver calls request info."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from kopf_leader.testing.apiserver.auth import Attributes

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request is about. ``plural`` is empty for a plain path, such as discovery's."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    misplaced: bool = False  # deeper than any resource is

    def attributes(self, *, selected: str = "") -> Attributes:
        """For the authoriser; ``selected`` is the one name that a field selector narrows a list to."""
        whose = self.name if self.plural == "namespaces" and not self.namespace else self.namespace
        return Attributes(
            verb=self.verb,
            path=self.path,
            group=self.group,
            resource=self.plural,
            subresource=self.subresource,
            namespace=whose,
            name=self.name or selected,
        )


def target_of(request: web.BaseRequest) -> Target:
    """Parse the path and the verb; any path has a target."""
    path = request.path
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Target(verb=request.method.lower(), path=path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *deeper = (*rest, "", "")[: max(len(rest), 3)]
    return Target(
        verb=_verb(request, named=bool(name)),
        path=path,
        group=group,
        version=version,
        plural=plural,
        subresource=subresource,
        namespace=namespace,
        name=name,
        misplaced=bool(deeper),
    )


def _verb(request: web.BaseRequest, *, named: bool) -> str:
    if request.method == "DELETE":
        return "delete" if named else "deletecollection"
    if request.method in {"GET", "HEAD"}:
        if named:
            return "get"
        return "watch" if request.query.get("watch", "") in {"true", "1"} else "list"
    return VERBS.get(request.method, request.method.lower())
