"""The way to one Lease: which one, by whose credentials. As kubectl does it: the kubeconfig, else the pod's own."""

import asyncio
import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from kopf_leader.cli.lease.kubeconfig import Access, read_merged
from kopf_leader.cli.refused import Refused
from kopf_leader.clients import answers
from kopf_leader.clients.answers import Asked
from kopf_leader.clients.base import JSON
from kopf_leader.clients.connection import Connection
from kopf_leader.clients.direct import DirectLeaseClient, Patience
from kopf_leader.clients.kubeconfig import KubeconfigError
from kopf_leader.clients.local import connection_of, server_of_pod
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.settings import Settings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PATIENCE = Patience(request=10.0)


@dataclass(frozen=True, kw_only=True)
class Where:
    """What the user said about the way to the Lease; None: nothing."""

    lease_id: str
    namespace: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    service_account: Path = SERVICE_ACCOUNT
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The Lease, found."""

    name: str
    namespace: str
    where: Where
    access: Access

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def find(where: Where) -> Place:
    """Find the Lease's namespace and the credentials. Raises `Refused` or `SettingsError`; sends nothing."""
    access = _access(where)
    namespace = access.namespace if where.namespace is None else where.namespace
    Settings(name=where.lease_id, namespace=namespace, identity="anybody")  # checks the names
    return Place(name=where.lease_id, namespace=namespace, where=where, access=access)


class PersonsClient(DirectLeaseClient):
    """The election's client, with a person's credentials; and a look at the pods."""

    def __init__(self, place: Place) -> None:
        self._access: Access | None = place.access
        self._place = place
        super().__init__(
            namespace=place.namespace,
            name=place.name,
            login=self._resolve,
            patience=PATIENCE,
            user_agent="kopf-leader-cli",
            token_file=str(place.where.service_account / "token"),
        )

    async def pod(self, name: str) -> Literal["there", "absent", "ending", "unknown"]:
        """Whether there is such a pod in the Lease's namespace, and whether it can still take over."""
        path = f"/api/v1/namespaces/{quote(self._place.namespace)}/pods/{quote(name, safe='')}"
        try:
            found = await self.exchange("GET", path)
        except LeaseAPIError as error:
            return "absent" if error.status == 404 else "unknown"
        status = found.get("status")
        phase = status.get("phase") if isinstance(status, Mapping) else None
        metadata = found.get("metadata")
        deleted = isinstance(metadata, Mapping) and bool(metadata.get("deletionTimestamp"))
        return "ending" if deleted or phase in ("Succeeded", "Failed") else "there"

    async def exchange(self, method: str, path: str, body: JSON | None = None) -> JSON:
        """Ask the API server for something else than the Lease; the object that it answers with.

        Raises `LeaseAPIError`, whose text speaks of the Lease: go by its `status`.
        """
        return await self._call(self._asked(method, method.lower()), path, body, read=_object)

    @property
    def path(self) -> str:
        """Where the Lease is, below the server's address."""
        return f"{self._path}/{quote(self._name)}"

    async def _resolve(self) -> Connection:
        """What was read before; on a new log-in it is read again, as credentials of plugins are short-lived."""
        access, self._access = self._access, None
        try:
            if access is None:
                access = await asyncio.to_thread(_access, self._place.where)
            return connection_of(access, remedy="use a context without it")
        except (Refused, KubeconfigError) as refused:
            raise LeaseAPIError(str(refused)) from refused


def _object(asked: Asked, status: int, headers: Mapping[str, str], content: bytes) -> JSON:
    if status not in (200, 201):
        raise answers.refusal(asked, status, headers, content)
    try:
        found = json.loads(content)
    except ValueError as error:
        raise answers.nonsense(asked, status, content) from error
    if not isinstance(found, dict):
        raise answers.nonsense(asked, status, content)
    return found


def _access(where: Where) -> Access:
    """The kubeconfig that was named, else those of the environment, else the pod's service account."""
    if where.kubeconfig is not None:
        return read_merged([where.kubeconfig], where.context)
    named = [Path(part).expanduser() for part in where.environ.get("KUBECONFIG", "").split(os.pathsep) if part.strip()]
    home = where.environ.get("HOME")
    usual = [Path(home) / ".kube" / "config"] if home else []
    present = [path for path in named or usual if path.exists()]
    if present:
        return read_merged(present, where.context)
    if where.context is None and (where.service_account / "token").is_file():
        return _in_cluster(where)
    looked = ", ".join(str(path) for path in named or usual) or "no file"
    raise Refused(f"There is no kubeconfig ({looked}) and no service account: pass the path of one with --kubeconfig.")


def _in_cluster(where: Where) -> Access:
    server = server_of_pod(where.environ)
    if server is None:
        raise Refused(
            "There is a service account but no KUBERNETES_SERVICE_HOST in the environment: pass --kubeconfig."
        )
    try:
        token = (where.service_account / "token").read_text().strip()
        ca = (where.service_account / "ca.crt").read_bytes()
        namespace = (where.service_account / "namespace").read_text().strip()
    except OSError as error:
        raise Refused(f"The service account's files cannot be read ({error}): pass --kubeconfig.") from error
    return Access(
        server=server,
        ca_data=base64.b64encode(ca).decode(),
        token=token,
        namespace=namespace or "default",
    )
