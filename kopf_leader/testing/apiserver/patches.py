"""PATCH bodies: JSON merge patches (RFC 7386) and JSON patches (RFC 6902, through the library ``jsonpatch``)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
import jsonpointer

from kopf_leader.testing.apiserver.statuses import Body, Refused, bad_request, unsupported_media

Apply = Callable[[Body], Any]

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, objects are merged, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def parse(content_type: str, raw: bytes, *, custom: bool) -> Apply:
    """The patch as a function from the shown object to the wanted one; refused (400, 415) when it is none.

    A strategic merge patch is taken for a merge patch (lists are replaced as a whole), for built-in resources only:
    for custom resources the real API server refuses it too. Server-side apply is refused.
    """
    if content_type == JSON:
        return _json_patch(raw)
    if content_type == MERGE or (content_type == STRATEGIC and not custom):
        return _merge_patch(raw)
    accepted = (JSON, MERGE, APPLY) if custom else (JSON, MERGE, STRATEGIC, APPLY)
    if custom or content_type == APPLY:
        raise unsupported_media(accepted)
    raise Refused(415, "415: Unsupported Media Type", reason="UnsupportedMediaType", details={})


def _merge_patch(raw: bytes) -> Apply:
    try:
        patch = json.loads(raw)
    except ValueError:
        raise bad_request("invalid JSON patch") from None
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
    return lambda shown: merge(shown, patch)


def _json_patch(raw: bytes) -> Apply:
    try:
        operations = json.loads(raw)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if not isinstance(operations, list) or not all(isinstance(item, dict) for item in operations):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type []handlers.jsonPatchOp")

    def apply(shown: Body) -> Any:
        try:
            return jsonpatch.apply_patch(shown, operations)
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError, IndexError):
            message = "the server rejected our request due to an error in our request"
            raise Refused(422, message, reason="Invalid", details={}) from None

    return apply
