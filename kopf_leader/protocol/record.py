"""What stands in a Lease, and how a write of ours looks (L1, L2, L3, L14).

`LeaseRecord` is the spec as this protocol reads it, hashable and compared with full precision. `Sight` is one look at
the whole object: the record, and what a later write needs to be refused when the object has moved (L1).
"""

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kopf_leader.protocol.plain import plain

API_VERSION = "coordination.k8s.io/v1"
MAX_TRANSITIONS = 2_147_483_647  # int32: one more is refused by the API server for good (L3)
MAX_DURATION = 2_147_483_647  # int32, too
RELEASED_DURATION = 1  # client-go `leaderelection.go`, `release`: holder "", one second (L14)
TRANSFER_TO, HOLD, PRIORITY = "kopf-leader/transfer-to", "kopf-leader/hold", "kopf-leader/priority"
OVER = "kopf-leader/over"
ANYBODY = "*"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class LeaseRecord:
    """The five fields of a Lease's spec that an election is about (client-go `LeaderElectionRecord`)."""

    holder: str = ""
    """Who holds the Lease; empty when nobody is named."""
    duration: int | None = None
    """How long the holder may be silent, in seconds; None when it is not a positive integer."""
    acquire_time: str | None = None
    renew_time: str | None = None
    """Compared for equality only, never with a clock (L5)."""
    transitions: int = 0

    @property
    def empty(self) -> bool:
        """Whether nobody ever filled it: the Lease as the chart or `kopf-leader manifest` creates it (L11)."""
        return self == LeaseRecord()

    @property
    def released(self) -> bool:
        """Whether its last holder gave it back in the one form that is free at once (L14)."""
        return not self.holder and self.duration == RELEASED_DURATION


@dataclass(frozen=True, kw_only=True)
class Asks:
    """What people and candidates ask of the others, by annotations on the Lease; unlike the spec it proves nothing."""

    transfer_to: str = ""
    """Whose turn it shall be: an identity, a pod's name, or `*` for anybody but the holder."""
    hold: str | None = None
    """Why nobody shall lead; None where nobody asks for that."""
    priority: int = 0
    """The holder's, as it has put it there itself."""

    def sends_away(self, identity: str) -> bool:
        """Whether the holder of this identity is asked to step down."""
        return self.hold is not None or bool(self.transfer_to and not self.calls(identity))

    def invites(self, identity: str) -> bool:
        """Whether this candidate need not let somebody else go first."""
        return self.transfer_to in ("", ANYBODY) or self.calls(identity)

    def calls(self, identity: str) -> bool:
        """Whether this candidate is the one whose turn it shall be."""
        return self.transfer_to == identity or bool(self.transfer_to and identity.startswith(f"{self.transfer_to}_"))


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One look at the Lease: by a reply, a read or a watch event."""

    version: int
    """The resourceVersion: of one resource they compare as integers (KEP-5504)."""
    uid: str
    record: LeaseRecord
    asks: Asks = Asks()
    over: int | None = None
    """The version that the holder's write says it was made on (`evidence`): a copy of it tells of an older one."""
    lease: Mapping[str, Any] = field(compare=False, hash=False, repr=False, default_factory=dict)
    """The object as it was sent, for the next PUT (L1)."""


def sight_of(lease: object) -> Sight:
    """Read a Lease object. Raises ValueError, in one sentence, if it is not one (an answer that is nonsense)."""
    metadata = lease.get("metadata") if isinstance(lease, Mapping) else None
    if not isinstance(lease, Mapping) or not isinstance(metadata, Mapping):
        raise ValueError("The API server answered with something that is no Lease.")  # noqa: TRY004 (nonsense, no type)
    uid = metadata.get("uid")
    if not isinstance(uid, str) or not uid:
        raise ValueError("The API server answered with a Lease without a uid.")
    return Sight(
        version=version_of(lease),
        uid=uid,
        lease=lease,
        record=decode(lease.get("spec")),
        asks=asks_of(metadata.get("annotations")),
        over=over_of(metadata.get("annotations")),
    )


def version_of(thing: Mapping[str, Any]) -> int:
    """The resourceVersion of an object or a bookmark, as an integer. Raises ValueError if it is none."""
    metadata = thing.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, Mapping) else None
    if not (isinstance(version, str) and version.isascii() and version.isdigit()):
        raise ValueError(
            f"The API server answered with the resourceVersion {plain(repr(version))}, which is no integer."
        )
    return int(version)


def decode(spec: object) -> LeaseRecord:
    """Read a Lease's spec; what is not of its type counts as absent (L2: hostile and half-filled Leases occur)."""
    if not isinstance(spec, Mapping):
        return LeaseRecord()
    holder, transitions = spec.get("holderIdentity"), _integer(spec.get("leaseTransitions"))
    duration = _integer(spec.get("leaseDurationSeconds"))
    return LeaseRecord(
        holder=holder if isinstance(holder, str) else "",
        duration=min(duration, MAX_DURATION) if duration is not None and duration > 0 else None,
        acquire_time=_time(spec.get("acquireTime")),
        renew_time=_time(spec.get("renewTime")),
        transitions=min(max(transitions or 0, 0), MAX_TRANSITIONS),
    )


def asks_of(annotations: object) -> Asks:
    """Read our annotations; what is not of its type counts as absent."""
    texts = (
        {key: text for key, text in annotations.items() if isinstance(text, str)}
        if isinstance(annotations, Mapping)
        else {}
    )
    priority = texts.get(PRIORITY, "")
    return Asks(
        transfer_to=texts.get(TRANSFER_TO, ""),
        hold=texts.get(HOLD),
        priority=int(priority) if re.fullmatch(r"-?[0-9]{1,9}", priority) else 0,
    )


def over_of(annotations: object) -> int | None:
    """Which version the last write of a holder was made on; None where it does not say so."""
    text = annotations.get(OVER) if isinstance(annotations, Mapping) else None
    return int(text) if isinstance(text, str) and re.fullmatch(r"[0-9]{1,20}", text) else None


def encode(record: LeaseRecord) -> dict[str, Any]:
    """The five fields of the spec as they are written: all of them, always (L2)."""
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration,
        "acquireTime": record.acquire_time,
        "renewTime": record.renew_time,
        "leaseTransitions": record.transitions,
    }


def replacement(
    base: Sight, record: LeaseRecord, *, labels: Mapping[str, str], asks: Mapping[str, str | None]
) -> dict[str, Any]:
    """The body of a PUT: the object as last seen, with its uid and version, and only our fields changed (L1).

    `asks` has the annotations of ours that change; None takes one away.
    """
    body: dict[str, Any] = copy.deepcopy(dict(base.lease))
    metadata = body["metadata"] = dict(body.get("metadata") or {})
    metadata["uid"], metadata["resourceVersion"] = base.uid, str(base.version)
    if labels:
        have = metadata.get("labels")
        metadata["labels"] = {**(have if isinstance(have, Mapping) else {}), **labels}
    if asks:
        have = metadata.get("annotations")
        changed = {**(have if isinstance(have, Mapping) else {}), **asks}
        metadata["annotations"] = {key: text for key, text in changed.items() if text is not None}
    spec = body.get("spec")
    body["spec"] = {**(spec if isinstance(spec, Mapping) else {}), **encode(record)}
    return body


def creation(
    *, name: str, namespace: str, record: LeaseRecord, labels: Mapping[str, str], priority: int = 0
) -> dict[str, Any]:
    """The body of the POST for a Lease that is absent (L1)."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    if priority:
        metadata["annotations"] = {PRIORITY: str(priority)}
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": encode(record)}


def stamp(micros: int) -> str:
    """Format microseconds since 1970 as the API server wants a MicroTime: exactly six fractional digits (L2)."""
    moment = _EPOCH + micros * _MICROSECOND
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def whole_seconds(duration: float) -> int:
    """A duration for `leaseDurationSeconds`: rounded up, so that it is never 0 (L2; client-go truncates)."""
    return math.ceil(duration)


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _time(value: object) -> str | None:
    """One spelling for one instant, so that records compare by meaning; what cannot be parsed stays as it is."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return stamp((parsed - _EPOCH) // _MICROSECOND) if parsed.tzinfo else value
    except (ValueError, OverflowError):
        return value
