"""Events in their two shapes: ``v1`` and ``events.k8s.io/v1`` show the same stored objects under different names.

The rules follow kubernetes ``pkg/apis/core/validation/events.go``.
"""

from __future__ import annotations

from kopf_leader.testing.apiserver.statuses import Body, Problem, invalid, required
from kopf_leader.testing.apiserver.validation import micro_time, plain_time, qualified_name

# core/v1 name -> events.k8s.io/v1 name
NAMES = {
    "involvedObject": "regarding",
    "reportingComponent": "reportingController",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
SAME = ("metadata", "reason", "type", "eventTime", "series", "action", "related", "reportingInstance")


def to_core(body: Body) -> Body:
    """From ``events.k8s.io/v1`` to what is stored."""
    back = {new: old for old, new in NAMES.items()}
    return {back.get(name, name): value for name, value in body.items()}


def from_core(body: Body) -> Body:
    """From what is stored to ``events.k8s.io/v1``."""
    return {NAMES.get(name, name): value for name, value in body.items()}


def check_core(body: Body) -> Body:
    """Decode a ``v1`` Event."""
    return _check(body, known=(*SAME, *NAMES), times=("firstTimestamp", "lastTimestamp"))


def check_new(body: Body) -> Body:
    """Decode an ``events.k8s.io/v1`` Event."""
    times = ("deprecatedFirstTimestamp", "deprecatedLastTimestamp")
    return _check(body, known=(*SAME, *NAMES.values()), times=times)


def _check(body: Body, *, known: tuple[str, ...], times: tuple[str, ...]) -> Body:
    kept = {name: body[name] for name in known if body.get(name) not in (None, "")}
    for name in times:
        # Go's time parser takes a fraction where its layout has none: isoformat() passes.
        kept[name] = plain_time(kept[name]) if name in kept else None
    source = next(name for name in ("source", "deprecatedSource") if name in known)
    kept.setdefault(source, {})
    kept["eventTime"] = micro_time(kept["eventTime"]) if "eventTime" in kept else None
    return kept


def validate_core(body: Body) -> list[Problem]:
    """The old, lenient rules."""
    return _validate(body, component="reportingComponent")


def validate_new(body: Body) -> list[Problem]:
    """The new rules, on top of the lenient ones."""
    problems = _validate(body, component="reportingController")
    if body["eventTime"] is None:
        problems.append(required("eventTime"))
    if body.get("type") not in {"Normal", "Warning"}:
        problems.append(invalid("type", "", f"has invalid value: {body.get('type', '')}"))
    for name in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if body.get(name):
            problems.append(invalid(name, "", "needs to be unset"))
    return problems


def _validate(body: Body, *, component: str) -> list[Problem]:
    namespace = body["metadata"]["namespace"]
    involved = body.get("involvedObject", {}).get("namespace", "")
    elsewhere = invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if body["eventTime"] is None:
        fits = namespace == (involved or "default")
        return [] if fits else [elsewhere]
    problems = []
    if not involved and namespace not in {"default", "kube-system"}:
        problems.append(elsewhere)
    controller = body.get("reportingComponent", "")
    problems += [invalid(component, controller, told) for told in qualified_name(controller)]
    for name, limit in (("reportingInstance", 128), ("action", 128), ("reason", 128)):
        if not body.get(name):
            problems.append(required(name))
        elif len(body[name]) > limit:
            problems.append(invalid(name, "", f"can have at most {limit} characters"))
    if len(body.get("message", "")) > 1024:
        problems.append(invalid("message", "", "can have at most 1024 characters"))
    return problems


def selectable(body: Body) -> dict[str, str]:
    """The fields that a field selector may name (on what is stored)."""
    involved = body.get("involvedObject", {})
    names = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    fields = {f"involvedObject.{name}": str(involved.get(name, "")) for name in names}
    component = body.get("reportingComponent", "")
    return {
        **fields,
        "reason": body.get("reason", ""),
        "reportingComponent": component,
        "source": (body.get("source") or {}).get("component", "") or component,
        "type": body.get("type", ""),
    }
