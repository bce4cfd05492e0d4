"""The seam, continued: kopf's peering, for a migration from it."""

from collections.abc import Callable
from typing import Any, TypeVar

from kopf_leader.gate.seam_parts import Parts, get

Found = TypeVar("Found")

_REACTOR = "kopf._core.reactor"
# As in `seam`, which checks them when a migration is asked for: module, attribute, and the keywords that we expect.
NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (f"{_REACTOR}.orchestration", "orchestrator", ("insights",)),
    ("kopf._cogs.structs.references", "Backbone.__contains__", ()),
    ("kopf._cogs.structs.references", "CLUSTER_PEERINGS_K", ()),
    ("kopf._cogs.structs.references", "CLUSTER_PEERINGS_Z", ()),
    ("kopf._cogs.structs.references", "NAMESPACED_PEERINGS_K", ()),
    ("kopf._cogs.structs.references", "NAMESPACED_PEERINGS_Z", ()),
)


def peering_wanted(settings: Any) -> bool:
    """Whether the operator was asked to use kopf's peering, as opposed to using it where it happens to be there."""
    peering = settings.peering
    return not peering.standalone and (peering.mandatory or peering.name != "default")


def peering_objects(parts: Parts, make: Callable[..., Found]) -> Callable[[], list[Found]]:
    """Give what finds the objects of the operator's peering, from any thread; none while kopf explores the cluster.

    Each is made by `make`, from the fields of a `PeeringObject`.

    As kopf does: in each of the two API groups that has the definition, and in each namespace that is served.
    """
    insights, settings = parts.insights, parts.settings.peering
    scope = "CLUSTER" if settings.clusterwide else "NAMESPACED"
    selectors = [get("kopf._cogs.structs.references", f"{scope}_PEERINGS_{group}") for group in "KZ"]

    def find() -> list[Found]:
        if not (insights.ready_namespaces.is_set() and insights.ready_resources.is_set()):
            return []
        resources = [insights.backbone[one] for one in selectors if one in insights.backbone]
        return [
            make(
                group=resource.group,
                version=resource.version,
                plural=resource.plural,
                namespace=namespace,
                name=settings.name,
                has_status="status" in resource.subresources,
            )
            for resource in resources
            for namespace in ([*insights.namespaces] if resource.namespaced else [None])
        ]

    return find
