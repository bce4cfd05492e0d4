"""One Lease as the API server keeps it, in memory: what decides between two writers, and nothing else.

Measured on kube-apiserver v1.37: one growing version; a PUT of a deleted Lease *without* a uid creates it anew (201),
with one it is refused (409); so is a stale resourceVersion; a PUT of what is stored already moves no version;
durations below 1 and malformed times are a 422, transitions beyond an int32 are a 400.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_INT32 = 2_147_483_647
_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")

Lease = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One event of the watch: `deleted`, and the Lease with the version of the change."""

    version: int
    deleted: bool
    lease: Lease


class LeaseStore:
    """The Lease, its history, and who listens to it. Objects that were handed out are never changed afterwards."""

    def __init__(self, *, version: int = 100) -> None:
        self.version = version
        self.compacted = 0
        """Up to which version no watch can begin any more."""
        self.lease: Lease | None = None
        self.changes: list[Change] = []
        self.listeners: list[Callable[[Change], None]] = []
        self._uids = 0

    def create(self, body: Mapping[str, Any]) -> tuple[int, Lease | None]:
        """POST: the status, and the Lease as stored."""
        if self.lease is not None:
            return 409, None
        if (status := invalid(body)) is not None:
            return status, None
        self._uids += 1
        metadata = {**body.get("metadata", {}), "uid": f"uid-{self._uids}"}
        return 201, self._store({**body, "metadata": metadata})

    def replace(self, body: Mapping[str, Any]) -> tuple[int, Lease | None]:
        """PUT: the status, and the Lease as stored."""
        metadata = body.get("metadata", {})
        if self.lease is None:
            return (409, None) if metadata.get("uid") else self.create(body)
        current = self.lease["metadata"]
        if metadata.get("uid") not in (None, "", current["uid"]):
            return 409, None
        if not metadata.get("resourceVersion"):
            return 422, None
        if metadata["resourceVersion"] != current["resourceVersion"]:
            return 409, None
        if (status := invalid(body)) is not None:
            return status, None
        body = {**body, "metadata": {**metadata, "uid": current["uid"]}}
        return 200, self.lease if body == self.lease else self._store(body)

    def delete(self) -> None:
        """DELETE by somebody; nothing happens where there is no Lease."""
        if self.lease is None:
            return
        self.version += 1
        metadata = {**self.lease["metadata"], "resourceVersion": str(self.version)}
        gone, self.lease = {**self.lease, "metadata": metadata}, None
        self._tell(Change(self.version, deleted=True, lease=gone))

    def edit(self, *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> None:
        """`kubectl edit` by somebody: fields of the spec, and of the metadata; None removes a field of the spec."""
        if self.lease is None:
            return
        fields = {**(self.lease.get("spec") or {}), **spec}
        edited = {name: value for name, value in fields.items() if value is not None}
        self._store({**self.lease, "metadata": {**self.lease["metadata"], **(metadata or {})}, "spec": edited})

    def restore(self, spec: Mapping[str, Any], *, annotations: Mapping[str, str] | None = None) -> None:
        """`kubectl apply` or a backup: a Lease with this spec, created where there is none, replaced where there is.

        The annotations stay as they are, or become these.
        """
        metadata: dict[str, Any] = {} if annotations is None else {"annotations": dict(annotations)}
        if self.lease is None:
            self.create({"metadata": {"name": "election", "namespace": "tests", **metadata}, "spec": dict(spec)})
        else:
            self._store({**self.lease, "metadata": {**self.lease["metadata"], **metadata}, "spec": dict(spec)})

    @property
    def holder(self) -> str:
        """Who is named in the Lease now; empty for nobody."""
        spec = (self.lease or {}).get("spec") or {}
        return str(spec.get("holderIdentity") or "")

    def _store(self, lease: Mapping[str, Any]) -> Lease:
        self.version += 1
        metadata = {**lease["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**lease, "metadata": metadata}
        self._tell(Change(self.version, deleted=False, lease=self.lease))
        return self.lease

    def _tell(self, change: Change) -> None:
        self.changes.append(change)
        for listener in self.listeners:
            listener(change)


def invalid(body: Mapping[str, Any]) -> int | None:
    """The status with which the API server refuses this spec, or None for a good one."""
    spec = body.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if (duration is not None and duration > MAX_INT32) or (transitions is not None and transitions > MAX_INT32):
        return 400
    times = [spec[field] for field in ("acquireTime", "renewTime") if spec.get(field) is not None]
    if not all(isinstance(time, str) and _MICRO_TIME.fullmatch(time) for time in times):
        return 400
    if (duration is not None and duration < 1) or (transitions is not None and transitions < 0):
        return 422
    return None
