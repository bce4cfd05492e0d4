"""The words of the machine: what it remembers (`State`), what it is told (events), what it asks for (actions).

All of them are frozen and hashable, so that a walk over every reachable state can fold equal ones. Those of one shape
share one dataclass, and are told apart by their class: making a dataclass is what most of our start-up goes into.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from kopf_leader.protocol.record import LeaseRecord, Sight


@dataclass(frozen=True)
class Instant:
    """A moment as this process sees it."""

    at: float
    """Seconds on the local clock that decides (L5)."""
    utc: int
    """Microseconds since 1970 by the wall clock, for the Lease's timestamps only (L2)."""


class Kind(enum.Enum):
    """What a write is for."""

    CREATE = "create"  # POST: the Lease was absent. It starts nothing (L11)
    ACQUIRE = "acquire"  # PUT: begins a new term (L9)
    RENEW = "renew"  # PUT: goes on holding
    RELEASE = "release"  # PUT: gives it back (L14)
    ASK = "ask"  # PUT: asks the holder for its place, and leaves the record as it is


@dataclass(frozen=True, kw_only=True)
class Write:
    """One write, in flight or sent: each has a renewTime of its own, so that it is known again when seen (L2)."""

    kind: Kind
    record: LeaseRecord
    base: Sight | None
    """What it replaces; None for a POST."""
    over: int
    """The newest version seen when it was decided."""
    sent_at: float
    """The moment of the step that decided it, in seconds: everything counts from here (L6)."""


@dataclass(frozen=True, kw_only=True)
class Tenure:
    """Somebody's hold of a Lease, from its first write on: renewals leave it as it is."""

    uid: str
    """Of the Lease."""
    holder: str
    transitions: int


@dataclass(frozen=True, kw_only=True)
class Hold:
    """The Lease says that this process holds it: by a write of its own, as last confirmed (L10)."""

    write: Write
    uid: str
    """The uid of the object: a Lease deleted and made anew, with the same content, is another one."""
    start_at: float = -inf
    """When a term may start on it: after the wait of L11 where it goes back to a POST."""
    token: int | None = None
    """The term that was started on it, if any: it is never started again (L9)."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A hold that was followed from a write of its holder's own on: nothing else has stood there since (L6)."""

    tenure: Tenure
    version: int
    """Up to which version of the Lease."""


def tenure_of(sight: Sight) -> Tenure:
    """The hold that this look at the Lease shows."""
    return Tenure(uid=sight.uid, holder=sight.record.holder, transitions=sight.record.transitions)


class Reason(enum.Enum):
    """Why a term ends."""

    RENEW_DEADLINE = "the Lease could not be renewed in time"
    RIVAL = "somebody else holds the Lease"
    DELETED = "the Lease was deleted"
    DENIED = "the API server refuses the credentials or the rights"
    LOCKED_OUT = "the API server's fence refuses its writes"
    RESIGNED = "asked to step down"
    ASKED = "asked by the Lease to let somebody else lead, or nobody"
    LEAVING = "the process is shutting down"


@dataclass(frozen=True, kw_only=True)
class Reign:
    """The running term, as the machine keeps it."""

    token: int
    t0: float
    """`sent_at` of the last accepted renewal, in seconds."""
    revoked: bool = False
    """Somebody else was seen: the claim is void whatever the clock says (L8)."""
    lapsed: bool = False
    """Somebody has found the claim run out, before this machine has: it stays so (L9)."""


@dataclass(frozen=True, kw_only=True)
class Closing:
    """The gate is closed and handlers may still run; the points are fixed, and only ever come nearer (L12)."""

    reason: Reason
    cancel_at: float
    exit_at: float
    exited: bool = False


class Wish(enum.Enum):
    """What the process wants from the election."""

    STAND = "stand"  # be a candidate
    RESIGN = "resign"  # give it back, stand again later (L20)
    LEAVE = "leave"  # give it back, and that is all


class Phase(enum.Enum):
    """Where a candidate is, in one word: derived from the state, for tables, logs and diagrams."""

    UNKNOWN = "unknown"  # nothing has been read yet
    STANDBY = "standby"  # somebody else's turn, or nobody's yet
    ACQUIRING = "acquiring"  # a write that takes the Lease is under way
    HOLDING = "holding"  # holds the Lease without a term (L9, L11)
    LEADING = "leading"  # the gate is open
    CLOSING = "closing"  # the gate is closed, handlers may still run (L12)
    RELEASING = "releasing"  # nothing runs any more, the Lease is given back
    OVER = "over"  # not a candidate any more


@dataclass(frozen=True, kw_only=True)
class State:
    """All that one candidate remembers. `State()` is the beginning. Times are local seconds."""

    sight: Sight | None = None
    """The Lease as last seen; None while it is absent, or before anything was seen (`known`)."""
    known: bool = False
    version: int = 0
    """The newest resourceVersion seen, a deletion's included; what is not newer is ignored (L16)."""
    seen_at: float = -inf
    """When it was seen."""
    changed_at: float = -inf
    """When the record last changed: a rival's time counts from here (L6)."""
    seen_hold: bool = False
    """Whether the Lease was ever seen filled: an empty spec is free only to who never saw it so (L14)."""
    longest: float = 0.0
    """The largest duration recorded by whoever may still be at work, in seconds (L11)."""
    traced: Traced | None = None
    """The hold that was followed last: what was put back cannot be (L6)."""
    dead: Tenure | None = None
    """Whose holder is known to be dead (L6)."""
    dead_since: float = -inf
    """When that was learnt."""
    older_since: float | None = None
    """Since when reads show versions older than what was seen before: the database was restored from a backup."""
    read_after: float | None = None
    """A sight newer than the last one is needed, or a read sent at this time or later (L4)."""
    reading: bool = False
    """Whether a read has been asked for and not been answered yet."""
    flight: Write | None = None
    """The one write in flight (L1)."""
    doubtful: tuple[Write, ...] = ()
    """Writes of unknown outcome: each may have landed, or may still land, until the version has moved past it (L4)."""
    refused: Write | None = None
    """The write that was rejected last: a first copy of it may have landed all the same; the next sight tells (L4)."""
    outrun: int = 0
    """How many races for a released Lease were lost since one was won; counted as far as it matters (L16)."""
    last_write: Write | None = None
    """The last write sent, for the pace (L16) and for renewTime to grow (L2)."""
    stamped: int = 0
    """The last renewTime used, in microseconds (L2)."""
    hold: Hold | None = None
    heir_until: float = -inf
    """Until when a Lease re-created after a deletion needs no wait: it was mine just before (L11)."""
    reign: Reign | None = None
    closing: Closing | None = None
    denied_since: float | None = None
    """Since when the API server has refused credentials or rights for writing (L8)."""
    wish: Wish = Wish.STAND
    leave_by: float = inf
    """When a release that cannot be confirmed is given up (L15)."""
    stand_back: float = -inf
    """Until when this candidate lets others go first (L20)."""
    away_until: float = -inf
    """Until when this candidate does not stand, whoever leads or does not: it was of no use as a leader (L20)."""
    watching: bool = False
    over: bool = False


# Shapes of events and actions.


@dataclass(frozen=True)
class _Bare:
    """Nothing to add to its name."""


@dataclass(frozen=True)
class _OfWrite:
    """Of one write."""

    write: Write


@dataclass(frozen=True)
class _OfTerm:
    """Of the term with this token."""

    token: int


# Events: what the machine is told.


@dataclass(frozen=True)
class Seen:
    """The Lease was seen: by a watch event, or by a read that was sent at `sent_at` (seconds).

    A watch tells of every version, and so which one this Lease had right before, `after`, if it was there.
    """

    sight: Sight
    sent_at: float | None = None
    after: int | None = None


@dataclass(frozen=True)
class Absent:
    """There is no Lease: a read sent at `sent_at` said so, or a DELETED event with its `version`."""

    version: int | None = None
    sent_at: float | None = None


@dataclass(frozen=True)
class Accepted:
    """The API server did it, and this is what it stored."""

    write: Write
    sight: Sight


class Rejected(_OfWrite):
    """The API server answered that it did not do it (409, 404, another 4xx)."""


class Unknown(_OfWrite):
    """Nobody knows: time-out, broken connection, 5xx, or an answer that is nonsense."""


class Denied(_OfWrite):
    """Refused for the credentials, after a new log-in, or for the rights (401, 403)."""


class Tick(_Bare):
    """Time has passed."""


@dataclass(frozen=True)
class Resign:
    """Give the leadership back; with `leave`, do not stand again; with `away`, not for so many seconds."""

    leave: bool = False
    away: float = 0.0


class Drained(_OfTerm):
    """Nothing of the term with this token runs any more, and nothing can start."""


class Lapsed(_OfTerm):
    """Somebody has looked at the clock and found the claim of the term with this token run out."""


@dataclass(frozen=True)
class Dead:
    """The process behind this hold is dead: it does nothing any more, and never will (`evidence`).

    Told only of what was proved, and of the very hold for which it was proved.
    """

    tenure: Tenure


Event = Seen | Absent | Accepted | Rejected | Unknown | Denied | Tick | Resign | Drained | Lapsed | Dead


# Actions: what the machine asks for.


class Read(_Bare):
    """Read the Lease, now, and again every retry_period until an answer comes; tell it with its `sent_at`."""


class Watch(_Bare):
    """Open the watch on the Lease (after a read), closing the one that is open: it is deaf."""


@dataclass(frozen=True)
class Send:
    """Send this write and tell what became of it: exactly one of the four answers, always."""

    write: Write
    body: Mapping[str, Any] = field(compare=False, hash=False, repr=False)


class StartLeading(_OfTerm):
    """A term begins: open the gate."""


@dataclass(frozen=True)
class StopLeading:
    """Close the gate now; cancel what runs at `cancel_at`; be gone at `exit_at` (local seconds). Then say `Drained`.

    It comes again, with nearer points, when matters get worse.
    """

    token: int
    reason: Reason
    cancel_at: float
    exit_at: float


@dataclass(frozen=True)
class Exit:
    """Something still runs at the exit point: log the stacks and end the process without a release (L12)."""

    token: int
    reason: Reason


class Finish(_Bare):
    """The candidate is done: nothing is held, nothing in flight."""


@dataclass(frozen=True)
class WakeAt:
    """Send a `Tick` at this time (local seconds) at the latest; inf: no need."""

    at: float


Action = Read | Watch | Send | StartLeading | StopLeading | Exit | Finish | WakeAt
