"""The objects of kopf's peering, by kopf's credentials: read and patched for a migration from peering to the election.

One read, or one merge-patch of the status on the version that was read, as the election writes its Lease (L1): what was
timed out can land only while nobody has written since.
"""

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from kopf_leader.clients import answers
from kopf_leader.clients.answers import Asked
from kopf_leader.clients.base import JSON
from kopf_leader.clients.credentials import Credentials
from kopf_leader.clients.kopf import KopfLeaseClient


@dataclass(frozen=True, kw_only=True)
class PeeringObject:
    """One KopfPeering or ClusterKopfPeering: where it is."""

    group: str
    version: str
    plural: str
    namespace: str | None
    """None for one of the cluster."""
    name: str
    has_status: bool
    """Whether its status is a resource of its own."""

    def __str__(self) -> str:
        where = "" if self.namespace is None else f"{self.namespace}/"
        return f"{self.plural}.{self.group} {where}{self.name}"

    @property
    def path(self) -> str:
        """Where the API server has it."""
        where = "" if self.namespace is None else f"namespaces/{quote(self.namespace)}/"
        return f"/apis/{self.group}/{self.version}/{where}{self.plural}/{quote(self.name)}"

    @property
    def rule(self) -> str:
        """The rule of RBAC that the migration needs."""
        status = f', "{self.plural}/status"' if self.has_status else ""
        rule = f'apiGroups: ["{self.group}"], resources: ["{self.plural}"{status}], verbs: ["get", "patch"]'
        where = "a ClusterRole" if self.namespace is None else f"a Role in the namespace {self.namespace}"
        return f"{{{rule}}} in {where}"


class PeeringClient(KopfLeaseClient):
    """The objects of peering, for the candidate of one Lease. Raises `LeaseAPIError` and nothing else."""

    async def read_peering(self, peering: PeeringObject) -> JSON:
        """GET the object. 404 is a `LeaseAPIError` as well."""
        return await self._call(_asked(self._asked("GET", "get"), peering), peering.path, read=answers.object_of)

    async def patch_status(self, peering: PeeringObject, version: str, status: JSON) -> JSON:
        """Merge this into the status, if the object's version is still this one: else a `LeaseAPIError` with 409."""
        path = f"{peering.path}/status" if peering.has_status else peering.path
        body = {"metadata": {"resourceVersion": version}, "status": status}
        return await self._call(_asked(self._asked("PATCH", "patch"), peering), path, body, read=answers.object_of)

    def _options(self, credentials: Credentials, body: JSON | None = None) -> dict[str, Any]:
        options = super()._options(credentials, body)
        if body is not None:
            options["headers"]["Content-Type"] = "application/merge-patch+json"
        return options


def _asked(asked: Asked, peering: PeeringObject) -> Asked:
    return replace(asked, name=peering.name, subject=str(peering), rule=peering.rule)
