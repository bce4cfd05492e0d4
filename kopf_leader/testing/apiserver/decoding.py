"""From a client's JSON to what is stored: kind and version, types, metadata, schema."""

from __future__ import annotations

import json
from typing import Any

from kopf_leader.testing.apiserver import metadata, schemas
from kopf_leader.testing.apiserver.resources import Resource
from kopf_leader.testing.apiserver.statuses import Body, Problem, bad_request, invalid, invalid_object


def whole(text: str) -> float:
    """A number with a fraction; a whole one (``1.0``) is an integer, as it is after a round trip through Go."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def load(resource: Resource, raw: bytes) -> Body:
    """The body of a POST or PUT; refused (400) when it is no JSON object."""
    try:
        body = json.loads(raw, parse_float=whole) if resource.custom else json.loads(raw)
    except ValueError as error:
        body, told = None, str(error)
    else:
        told = "not an object"
    if not isinstance(body, dict):
        shown = raw[:30].decode(errors="replace") or "<empty>"
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): couldn't get version/kind; "
            f"json parse error: {told} ({shown})"
        )
    return body


def decode(resource: Resource, body: Body) -> Body:
    """What to store of the body of a POST or PUT; refused (400) when it is of another kind or type."""
    if resource.custom:
        for name in ("kind", "apiVersion"):
            if not body.get(name):
                shown = json.dumps(body)
                raise bad_request(
                    f"the object provided is unrecognized (must be of type {resource.kind}): "
                    f"Object '{name[0].upper()}{name[1:]}' is missing in '{shown}'"
                )
    try:
        return _decode(resource, body)
    except TypeError as error:
        kind = body.get("kind") or resource.kind
        raise bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
        ) from None


def decode_patched(resource: Resource, body: Any) -> Body:
    """What to store of a patched object; refused (422) when it does not decode any more."""
    try:
        if not isinstance(body, dict):
            raise TypeError("json: cannot unmarshal into Go value of type map[string]interface {}")
        return _decode(resource, body)
    except TypeError as error:
        problem = invalid("patch", json.dumps(body, separators=(",", ":")), str(error))
        raise invalid_object("", "", "", [problem]) from None


def _decode(resource: Resource, body: Body) -> Body:
    kind = body.get("kind") or resource.kind
    api_version = body.get("apiVersion") or resource.api_version
    if resource.custom and api_version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if (kind, api_version) != (resource.kind, resource.api_version):
        raise TypeError(f'no kind "{kind}" is registered for version "{api_version}"')
    meta = metadata.decode(body.get("metadata"), struct=resource.kind)
    rest = {name: value for name, value in body.items() if name not in {"kind", "apiVersion", "metadata"}}
    if not resource.custom:
        rest = {name: value for name, value in rest.items() if value is not None}
    elif resource.schema is not None:
        rest = schemas.prune(rest, resource.schema)
        rest.pop("metadata", None)
    return resource.to_storage(resource.check({"metadata": meta, **rest}))


def problems(resource: Resource, body: Body) -> list[Problem]:
    """What the resource's own rules and its schema find, beside the metadata."""
    found = resource.validate(body)
    if resource.schema is not None:
        rest = {name: value for name, value in body.items() if name != "metadata"}
        found = found + schemas.problems_of(rest, resource.schema)
    return found
