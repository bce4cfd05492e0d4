"""Object metadata: what is kept of a client's, what the server fills in, and what an update may not change.

The order of checks and the wording follow apimachinery ``pkg/api/validation/objectmeta.go`` and apiserver
``pkg/registry/rest/{create,update}.go``.
"""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from typing import Any

from kopf_leader.testing.apiserver.resources import Resource
from kopf_leader.testing.apiserver.statuses import (
    Body,
    Problem,
    bad_request,
    forbidden_field,
    invalid,
    required,
)
from kopf_leader.testing.apiserver.validation import label_value, mismatch, plain_time, qualified_name

TEXTS = ("name", "generateName", "namespace", "uid", "resourceVersion")
TIMES = ("creationTimestamp", "deletionTimestamp")
NUMBERS = ("generation", "deletionGracePeriodSeconds")
MAPS = ("labels", "annotations")
SIGNS = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes generates names of


def now() -> str:
    """The time as metadata carries it: UTC, whole seconds."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decode(metadata: object, *, struct: str) -> Body:
    """The known fields of a client's metadata, without null and empty ones; TypeError for wrong types (a 400)."""
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise mismatch(metadata, struct=struct, path="metadata", wanted="v1.ObjectMeta")
    kept: Body = {}
    for name, value in metadata.items():
        if value is not None:
            known = _decode_field(name, value)
            if known not in ("", {}, [], None):
                kept[name] = known
    if kept.get("generation") == 0:
        del kept["generation"]
    return kept


def _decode_field(name: str, value: object) -> object:
    if name in TEXTS or name in TIMES:
        if not isinstance(value, str):
            raise mismatch(value, struct="ObjectMeta", path=f"metadata.{name}", wanted="string")
        return plain_time(value) if name in TIMES and value else value
    if name in NUMBERS:
        if not isinstance(value, int) or isinstance(value, bool):
            raise mismatch(value, struct="ObjectMeta", path=f"metadata.{name}", wanted="int64")
        return value
    if name in MAPS:
        return _texts(name, value)
    if name == "finalizers":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise mismatch(value, struct="ObjectMeta", path="metadata.finalizers", wanted="[]string")
        return value
    if name == "ownerReferences":
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise mismatch(value, struct="ObjectMeta", path=f"metadata.{name}", wanted="[]v1.OwnerReference")
        return value
    return None  # unknown, or managedFields: not kept


def _texts(name: str, value: object) -> Body:
    if not isinstance(value, dict):
        raise mismatch(value, struct="ObjectMeta", path=f"metadata.{name}", wanted="map[string]string")
    for item in value.values():
        if item is not None and not isinstance(item, str):
            raise mismatch(item, struct="ObjectMeta", path=f"metadata.{name}", wanted="string")
    return {key: item or "" for key, item in value.items()}


def fit_namespace(metadata: Body, *, resource: Resource, namespace: str) -> None:
    """An object without a namespace gets the request's; another one is a 400."""
    expected = namespace if resource.namespaced else ""
    if metadata.get("namespace", "") not in ("", expected):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if expected:
        metadata["namespace"] = expected
    else:
        metadata.pop("namespace", None)


def fit_name(metadata: Body, name: str) -> None:
    """The body of a PUT and the outcome of a PATCH must carry the name of the URL."""
    found = metadata.get("name", "")
    if not found:
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if found != name:
        raise bad_request(f"the name of the object ({found}) does not match the name on the URL ({name})")


def initialise(metadata: Body, *, generation: bool) -> None:
    """What the server decides for a new object: uid, time of creation, name, generation."""
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    if generation:
        metadata["generation"] = 1
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"][:58] + "".join(secrets.choice(SIGNS) for _ in range(5))


def carry_over(metadata: Body, old: Body) -> None:
    """What an update cannot change, whatever it says; called before the checks."""
    metadata.setdefault("uid", old["uid"])
    metadata["creationTimestamp"] = old["creationTimestamp"]
    _same("generation", metadata, old)
    if "deletionTimestamp" in old:
        metadata["deletionTimestamp"] = old["deletionTimestamp"]
        metadata.setdefault("deletionGracePeriodSeconds", old.get("deletionGracePeriodSeconds"))
        if metadata["deletionGracePeriodSeconds"] is None:
            del metadata["deletionGracePeriodSeconds"]


def _same(name: str, metadata: Body, old: Body) -> None:
    if name in old:
        metadata[name] = old[name]
    else:
        metadata.pop(name, None)


def check(metadata: Body, resource: Resource) -> list[Problem]:
    """The problems of a new object's metadata, or of an update's beside what may not change."""
    problems: list[Problem] = []
    name = metadata.get("name", "")
    if not name:
        problems.append(required("metadata.name", "name or generateName is required"))
    else:
        problems += [invalid("metadata.name", name, told) for told in resource.name_rule(name)]
    return problems + _check_maps(metadata)


def _check_maps(metadata: Body) -> list[Problem]:
    problems: list[Problem] = []
    labels: dict[str, Any] = metadata.get("labels", {})
    for key, value in labels.items():
        problems += [invalid("metadata.labels", key, told) for told in qualified_name(key)]
        problems += [invalid("metadata.labels", value, told) for told in label_value(value)]
    for key in metadata.get("annotations", {}):
        problems += [invalid("metadata.annotations", key, told) for told in qualified_name(key.lower())]
    for finalizer in metadata.get("finalizers", []):
        problems += [invalid("metadata.finalizers", finalizer, told) for told in qualified_name(finalizer)]
    return problems


def check_update(metadata: Body, old: Body) -> list[Problem]:
    """The problems of an update: new finalizers while it is deleted, and fields that never change."""
    problems: list[Problem] = []
    if "deletionTimestamp" in old:
        extra = sorted(set(metadata.get("finalizers", [])) - set(old.get("finalizers", [])))
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            told = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            problems.append(forbidden_field("metadata.finalizers", told))
    fixed = ("name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds")
    return problems + [
        invalid(f"metadata.{name}", metadata.get(name), "field is immutable")
        for name in fixed
        if metadata.get(name) != old.get(name)
    ]
