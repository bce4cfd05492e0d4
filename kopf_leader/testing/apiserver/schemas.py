"""CustomResourceDefinitions: their defaults and checks, and what a schema does to custom resources.

Of structural schemas this knows: pruning of unknown fields, defaults, types, required fields, enums and numeric
bounds. No CEL rules, patterns, ``oneOf`` or conversion webhooks: use a real API server for those.
"""

from __future__ import annotations

import copy
from typing import Any

from kopf_leader.testing.apiserver.statuses import Body, Problem, invalid, quoted, required

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
EMBEDDED_FIELDS = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {PRESERVE: True}}


def fill_definition(body: Body) -> Body:
    """Decode a CustomResourceDefinition: the server's defaults for names and conversion; TypeError for wrong types."""
    spec = copy.deepcopy(body.get("spec") or {})
    names = spec.get("names") or {}
    if not isinstance(spec, dict) or not isinstance(names, dict) or not isinstance(spec.get("versions", []), list):
        raise TypeError("json: cannot unmarshal into Go struct field CustomResourceDefinition.spec")
    kind = names.get("kind", "")
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", f"{kind}List")
    spec["names"] = names
    spec.setdefault("conversion", {"strategy": "None"})
    status = copy.deepcopy(body.get("status") or {})
    status.setdefault("conditions", None)
    status.setdefault("acceptedNames", {"plural": "", "kind": ""})
    storage = [version["name"] for version in spec.get("versions", []) if version.get("storage")]
    status["storedVersions"] = list(dict.fromkeys([*(status.get("storedVersions") or []), *storage]))
    return {"metadata": body["metadata"], "spec": spec, "status": status}


def validate_definition(body: Body) -> list[Problem]:
    """The rules for a CustomResourceDefinition that people run into."""
    spec = body["spec"]
    problems = [required(f"spec.{name}") for name in ("group", "scope") if not spec.get(name)]
    problems += [required(f"spec.names.{name}") for name in ("plural", "kind") if not spec["names"].get(name)]
    expected = f"{spec['names'].get('plural')}.{spec.get('group')}"
    name = body["metadata"]["name"]
    if name != expected:
        problems.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    versions = spec.get("versions", [])
    problems += [
        required(f"spec.versions[{index}].schema.openAPIV3Schema")
        for index, version in enumerate(versions)
        if not (version.get("schema") or {}).get("openAPIV3Schema")
    ]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        told = "must have exactly one version marked as storage version"
        problems.append(invalid("spec.versions", [version.get("name") for version in versions], told))
    return problems


def prune(value: Any, schema: Body | None) -> Any:
    """The value without the fields that the schema does not name, and with its defaults; a copy."""
    if schema is None:
        return value
    if isinstance(value, dict):
        return _prune_object(value, schema)
    if isinstance(value, list):
        items = schema.get("items")
        return [prune(item, items) for item in value] if items else value
    return value


def _prune_object(value: Body, schema: Body) -> Body:
    properties: Body = schema.get("properties") or {}
    if schema.get(EMBEDDED):
        properties = {**EMBEDDED_FIELDS, **properties}
    others = schema.get("additionalProperties")
    kept: Body = {}
    for name, item in value.items():
        if name in properties:
            known = properties[name]
            if item is None and "default" in known and not known.get("nullable"):
                continue  # a null where the schema has a default counts as absent
            kept[name] = prune(item, known)
        elif isinstance(others, dict):
            kept[name] = prune(item, others)
        elif others or schema.get(PRESERVE):
            kept[name] = item
    for name, known in properties.items():
        if name not in kept and "default" in known:
            kept[name] = prune(copy.deepcopy(known["default"]), known)
    return kept


TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def problems_of(value: Any, schema: Body, path: str = "") -> list[Problem]:
    """Where a custom resource breaks its schema."""
    if value is None:
        return [] if schema.get("nullable") or not schema.get("type") else [_wrong_type(value, schema, path)]
    if schema.get(INT_OR_STRING):
        fits = isinstance(value, int | str) and not isinstance(value, bool)
        return [] if fits else [_wrong_type(value, schema, path)]
    wanted = TYPES.get(schema.get("type", ""))
    if wanted and not (isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted)):
        return [_wrong_type(value, schema, path)]
    problems = _out_of_bounds(value, schema, path)
    if isinstance(value, dict):
        problems += _object_problems(value, schema, path)
    if isinstance(value, list) and schema.get("items"):
        for index, item in enumerate(value):
            problems += problems_of(item, schema["items"], f"{path}[{index}]")
    return problems


def _object_problems(value: Body, schema: Body, path: str) -> list[Problem]:
    dot = f"{path}." if path else ""
    problems = [required(f"{dot}{name}") for name in schema.get("required", []) if name not in value]
    properties = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    for name, item in value.items():
        known = properties.get(name, others if isinstance(others, dict) else None)
        if known:
            problems += problems_of(item, known, f"{dot}{name}")
    return problems


def _out_of_bounds(value: Any, schema: Body, path: str) -> list[Problem]:
    problems = []
    allowed = schema.get("enum")
    if allowed and value not in allowed:
        listed = ", ".join(quoted(item) for item in allowed)
        sentence = f"Unsupported value: {quoted(value)}: supported values: {listed}"
        problems.append(Problem(path, "FieldValueNotSupported", sentence))
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            told = f"{path} in body should be greater than or equal to {schema['minimum']}"
            problems.append(invalid(path, value, told))
        if value > schema.get("maximum", value):
            told = f"{path} in body should be less than or equal to {schema['maximum']}"
            problems.append(invalid(path, value, told))
    return problems


def _wrong_type(value: Any, schema: Body, path: str) -> Problem:
    wanted = "integer,string" if schema.get(INT_OR_STRING) else schema.get("type", "")
    found = next((name for name, types in TYPES.items() if isinstance(value, types)), "null")
    found = "boolean" if isinstance(value, bool) else found
    sentence = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Problem(path, "FieldValueTypeInvalid", sentence)
