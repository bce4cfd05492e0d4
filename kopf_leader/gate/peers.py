"""What stands in an object of kopf's peering: who is there, who still lives, and what our own record says. Pure.

kopf keeps a record for each operator in the object's status, under the operator's identity:
`{priority, lifetime, lastseen}` (kopf `engines/peering.py`, `Peer`). It takes a record for dead when `lastseen` +
`lifetime` has passed by the clock of whoever looks. Here a record counts as live until that has passed *and* it has
not changed for `lifetime` seconds of our own monotonic time, so that clocks which differ make us wait, never start.

All replicas of one Lease share one record, under the Lease's name: the Lease sees to it that they do not overlap among
themselves, so the next holder takes the record over as it is. Beside kopf's fields it has two of ours: `holder`, the
identity of who wrote it, and `state`:

- `waiting`: it holds off others, and handlers do not run yet;
- `working`: handlers run, or have run until the record was last refreshed. Such a record that is still fresh proves to
  the next holder that no other operator can have been at work since.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from kopf_leader.protocol.plain import plain

TOP_PRIORITY = 2147483647  # whatever the others' priorities are: kopf yields to equal ones and higher ones only
PARTING = 10  # seconds for which the record of a holder that leaves goes on holding off others
DEFAULT_LIFETIME = 60  # kopf `configuration.py`, `PeeringSettings.lifetime`

State = Literal["waiting", "working"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """Somebody else's record that counts as live."""

    identity: str
    priority: float

    def __str__(self) -> str:
        return f"{plain(self.identity)} (priority {self.priority:g})"


class Sights:
    """Which records have been seen, and since when each has been as it is."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[object, float]] = {}

    def live(self, where: str, status: object, *, own: str, now: float, wall: float) -> list[Peer]:
        """The live records of others in this status.

        `where` tells the objects apart; `now` is monotonic, `wall` the time of day, both in seconds. What cannot be
        read counts as live: kopf takes it for live as well, or fails over it.
        """
        records = {name: record for name, record in records_of(status).items() if name != own}
        before, self._seen = self._seen, {key: seen for key, seen in self._seen.items() if key[0] != where}
        peers = []
        for identity, record in records.items():
            content, since = before.get((where, identity), (None, now))
            if content != record:
                since = now
            self._seen[where, identity] = (record, since)
            if _lives(record, quiet=now - since, wall=wall):
                peers.append(Peer(identity=identity, priority=_number(_field(record, "priority"), 0)))
        return peers


def records_of(status: object) -> dict[str, object]:
    """The records in a status, by identity."""
    found = status if isinstance(status, Mapping) else {}
    return {str(identity): record for identity, record in found.items() if record is not None}


def record(*, holder: str, state: State, lifetime: int) -> dict[str, Any]:
    """Our record, as of now."""
    return {
        "priority": TOP_PRIORITY,
        "lifetime": lifetime,
        "lastseen": datetime.now(UTC).isoformat(),
        "holder": holder,
        "state": state,
    }


def holder_of(record: object) -> str | None:
    """Who wrote our record; None where there is none."""
    return None if record is None else str(_field(record, "holder"))


def proves(record: object, *, wall: float) -> bool:
    """Whether our record shows that its holders have been at work until just now.

    For half of its lifetime: then neither a slow clock nor a fast one has let others take it for dead.
    """
    seen, lifetime = _moment(_field(record, "lastseen")), _number(_field(record, "lifetime"), 0)
    return _field(record, "state") == "working" and seen is not None and abs(wall - seen) <= lifetime / 2


def listed(peers: Iterable[Peer]) -> str:
    """The peers, in words."""
    return ", ".join(sorted({str(peer) for peer in peers}))


def _lives(record: object, *, quiet: float, wall: float) -> bool:
    seen = _moment(_field(record, "lastseen"))
    lifetime = _number(_field(record, "lifetime"), DEFAULT_LIFETIME)
    return seen is None or wall < seen + lifetime or quiet < lifetime


def _field(record: object, name: str) -> object:
    return record.get(name) if isinstance(record, Mapping) else None


def _number(value: object, default: float) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else default
    except ValueError:
        return default


def _moment(value: object) -> float | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
