"""From a CustomResourceDefinition to what is served: the resources it defines, and its own conditions."""

from __future__ import annotations

import copy
import re

from kopf_leader.testing.apiserver.metadata import now
from kopf_leader.testing.apiserver.resources import Registry, Resource
from kopf_leader.testing.apiserver.statuses import Body

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def _priority(version: str) -> tuple[int, int, int]:
    """Kubernetes' order of versions: v2, v1, v1beta2, v1beta1, v1alpha1; others last."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (9, 0, 0)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0))


def resources_of(definition: Body) -> list[Resource]:
    """The resources, one per served version; the first is the preferred one."""
    spec = definition["spec"]
    names = spec["names"]
    served = sorted((v for v in spec["versions"] if v.get("served")), key=lambda v: _priority(v["name"]))
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            singular=names["singular"],
            list_kind=names["listKind"],
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            namespaced=spec["scope"] == "Namespaced",
            status="status" in (version.get("subresources") or {}),
            custom=True,
            generation=True,
            unconditional_update=False,
            preferred=index == 0,
            schema=version["schema"]["openAPIV3Schema"],
        )
        for index, version in enumerate(served)
    ]


def serve(registry: Registry, definition: Body) -> None:
    """Serve the resources of this definition, instead of what an earlier version of it defined."""
    spec = definition["spec"]
    registry.drop(group=spec["group"], plural=spec["names"]["plural"])
    for resource in resources_of(definition):
        registry.add(resource)


def established(definition: Body) -> Body | None:
    """The definition with its names accepted and established; None when it is already."""
    accepted = definition["spec"]["names"]
    if definition["status"].get("conditions") and definition["status"]["acceptedNames"] == accepted:
        return None
    body = copy.deepcopy(definition)
    moment = now()
    body["status"]["acceptedNames"] = copy.deepcopy(accepted)
    body["status"]["conditions"] = [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", moment),
        _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", moment),
    ]
    return body


def _condition(kind: str, reason: str, message: str, moment: str) -> Body:
    return {"type": kind, "status": "True", "lastTransitionTime": moment, "reason": reason, "message": message}
