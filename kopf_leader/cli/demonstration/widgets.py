"""What the demo puts into a cluster: one CustomResourceDefinition, and widgets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GROUP, VERSION, PLURAL, KIND = "demo.kopf-leader.example", "v1", "widgets", "Widget"
DEFINITION = f"{PLURAL}.{GROUP}"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TENDED = "tended"
"""The label of widgets that are looked after for ever; see `example/handlers.py`."""
OURS = {"app.kubernetes.io/managed-by": "kopf-leader-demo"}
"""The labels of what the demo made, and so may remove."""


@dataclass(frozen=True, kw_only=True)
class Widget:
    """One object as the API server shows it."""

    uid: str
    name: str
    made_by: str = ""
    """The replica that says in the status that it made it; empty while nobody does."""
    tended: bool = False

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Widget":
        """Read the object."""
        metadata, status = body["metadata"], body.get("status") or {}
        return cls(
            uid=metadata["uid"],
            name=metadata["name"],
            made_by=str(status.get("madeBy") or ""),
            tended=TENDED in (metadata.get("labels") or {}),
        )


def path(namespace: str) -> str:
    """Where the widgets of a namespace are."""
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"


def widget(number: int, *, tended: bool = False) -> dict[str, Any]:
    """A widget to be created."""
    labels = {**OURS, **({TENDED: "yes"} if tended else {})}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": f"widget-{number:04}", "labels": labels},
        "spec": {},
    }


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": DEFINITION, "labels": OURS},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": KIND, "listKind": f"{KIND}List", "plural": PLURAL, "singular": KIND.lower()},
            "versions": [version],
        },
    }
