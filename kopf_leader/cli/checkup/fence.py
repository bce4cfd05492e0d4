"""Fencing (docs/fencing.md): is there a policy that goes by this Lease, or one that was meant to?

Only who may list policies' bindings can be told: people, as a rule, and not the operator's own account.
"""

from collections.abc import Mapping
from typing import Any

from kopf_leader.cli.checkup.finding import Finding, ok, warn
from kopf_leader.cli.lease.command import Reached
from kopf_leader.clients.base import leases_path
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import sight_of

BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
MARK = "fencing"
"""What the names of our policies end in, by the manifest and by the chart."""


async def look(reached: Reached) -> list[Finding]:
    """One finding; none where there is no fence, or nothing can be known. Raises `LeaseAPIError` for a 401."""
    place = reached.place
    try:
        found = await reached.client.exchange("GET", BINDINGS)
    except LeaseAPIError as error:
        if error.status == 401:
            raise
        return []
    leases = dict(_fences(found, place.namespace))
    if place.name in leases:
        return [ok("fence", f"the policy {leases[place.name]} goes by this Lease")]
    for lease, policy in sorted(leases.items()):
        if await _forsaken(reached, lease):
            change = f"make it anew: kopf-leader manifest {place.name} -n {place.namespace} --fence …"
            other = f"{place.namespace}/{lease}, which nobody has ever held"
            why = f"the policy {policy} goes by the Lease {other}, and none goes by this one"
            return [warn("fence", f"{why}: the operator whom it fences may write nothing", change)]
    return []


def _fences(answer: Mapping[str, Any], namespace: str) -> "list[tuple[str, str]]":
    """The Leases of this namespace that policies of ours go by, and the policies' names."""
    found = []
    for binding in answer.get("items") or ():
        spec = binding.get("spec") or {}
        by, policy = spec.get("paramRef") or {}, str(spec.get("policyName"))
        if policy.endswith(MARK) and by.get("namespace") == namespace and by.get("name"):
            found.append((str(by["name"]), policy))
    return found


async def _forsaken(reached: Reached, lease: str) -> bool:
    """Whether it is not there, or was never held."""
    path = leases_path(reached.place.namespace, lease)
    try:
        return sight_of(await reached.client.exchange("GET", path)).record.empty
    except LeaseAPIError as error:
        return error.status == 404
