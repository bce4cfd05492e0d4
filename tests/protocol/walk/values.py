"""The world as a value, and the plan of a walk. Everything that is large stands in the book, and here by number."""

from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from kopf_leader.protocol.record import Asks, LeaseRecord, Sight
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Write


class Broken(AssertionError):  # noqa: N818 (as `Violation` in the checker)
    """A law does not hold; `law` names it, the message tells how it came to that."""

    def __init__(self, law: str, why: str) -> None:
        super().__init__(f"{law}: {why}")
        self.law, self.why = law, why


@dataclass(frozen=True)
class Parcel:
    """A write on the wire: what the API server reads of its body."""

    write: Write
    uid: str | None
    version: str | None
    record: LeaseRecord
    asks: Asks
    over: int | None = None


class Slow(NamedTuple):
    """An answer that takes its time: it comes at any moment, or is given up at `until` (local), and what follows."""

    event: int
    until: float
    then: int | None
    """The event that takes its place; negative: the read is sent again (`network`)."""


class Ask(NamedTuple):
    """A read that was asked for and not answered."""

    sent_at: float
    watch: bool
    """Whether the watch begins where it ends."""


class Process(NamedTuple):
    """One candidate, and what is under way to it. Numbers without a unit are the book's."""

    state: int
    life: int = 0
    wake_at: float = 0.0
    token: int | None = None
    """The term whose handlers run, if any do."""
    open: bool = False
    cancel_at: float = inf
    stuck: bool = False
    """Its handlers neither end nor obey."""
    alive: bool = True
    frozen: bool = False
    waking: bool = False
    """It was frozen: what runs is exempt until it has looked, and while it shows that nothing runs."""
    excused: bool = False
    """What runs is exempt until it has ended: somebody has told the others that nobody leads."""
    cut: bool = False
    denied: bool = False
    broken: bool = False
    """No watch can be held open."""
    watch: str = "shut"  # shut, opening, pending, open, slow, deaf, polling
    poll_at: float = inf
    asked: tuple[Ask, ...] = ()
    sending: int | None = None
    """A write on its way to the API server."""
    waiting: int | None = None
    """A write whose outcome the machine has not been told."""
    due: float = inf
    """When it is given up."""
    mail: tuple[int, ...] = ()
    """What was answered, in any order."""
    slow: tuple[Slow, ...] = ()
    news: tuple[int, ...] = ()
    """What the watch has to tell, in order."""


class World(NamedTuple):
    """The Lease, the processes, and what may still go wrong."""

    now: float
    lease: int | None
    version: int
    procs: tuple[Process, ...]
    late: tuple[tuple[int, int, int], ...] = ()
    """Requests that arrive at any time, or never: whose (place and life), and which."""
    before: int | None = None
    """The version that this Lease had before the last change, if it was there, and where deaths can be proved."""
    past: tuple[int, ...] = ()
    """What the Lease said before, where a fault may put it back."""
    tokens: int = 0
    faults: int = 0


UNTOUCHED = Sight(version=10, uid="u10", record=LeaseRecord(), lease={"metadata": {}})
GHOST = Sight(
    version=10,
    uid="u10",
    record=LeaseRecord(holder="ghost_1", duration=15, renew_time="long ago", acquire_time="long ago"),
    lease={"metadata": {}},
)
STRANGER = "stranger_1"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One walk: who takes part, what may go wrong, how far."""

    name: str
    why: str = ""
    faults: int = 1
    kinds: frozenset[str] = frozenset()
    """Of `faults.FAULTS`."""
    candidates: int = 2
    lease: Sight | None = UNTOUCHED
    tick: float = 2.5
    """Seconds of true time between two moments at which anything may happen; timers go off in between."""
    calm: int = 0
    """Ticks without a fault at the beginning, in one order: then the first candidate leads already."""
    until: float = inf
    """Ticks from the beginning; inf: until nothing is new."""
    anywhere: bool = True
    """Whether faults also strike, and late things come, while the network is busy, and not only between two moments."""
    starts_only: bool = False
    """Whether clocks may differ by so much that only starts are kept apart."""
    rates: tuple[float, ...] = ()
    """How many local seconds pass in a true one, for each candidate; 1 where it is left out."""
    settings: tuple[dict[str, Any], ...] = ()
    """What differs from the common settings, for each candidate."""
    clientgo: frozenset[int] = frozenset()
    """Which candidates go by client-go's rules."""
    clash: bool = False
    """Whether all processes have one identity, and keep it when they start again."""
    evidence: str = ""
    """Whose death can be proved: "dead", of processes that are dead; "gone", of those as well whose pod object is gone
    or marked Failed while they are cut off or frozen (a source that is wrong); "": of none."""
    restarts: bool = True
    """Whether a process that is gone starts again, at any time."""
    liveness: int = 0
    """One in how many worlds is asked how long it takes to a leader; 0: none."""
    bound: float = 1.5
    """Within how many lease_durations there is one."""
    share: float = inf
    """How many worlds of it CI visits; the rest is walked by hand."""

    def rules(self, who: int, life: int) -> Settings:
        """The settings of the process at a place, in its so-manieth life."""
        common: dict[str, Any]
        name = "x_1" if self.clash else f"{'abc'[who]}_{life + 1}"
        common = {"name": "op", "namespace": "ns", "identity": name, "retry_period": self.tick}
        common |= {"drain_timeout": 2 * self.tick, "takeover": "evidence" if self.evidence else "expiry"}
        return Settings(**{**common, **(self.settings[who] if who < len(self.settings) else {})})

    def rate(self, who: int) -> float:
        """How many local seconds pass in a true one."""
        return self.rates[who] if who < len(self.rates) else 1.0

    @property
    def symmetric(self) -> bool:
        """Whether candidates can be exchanged."""
        return not self.rates and not self.settings and not self.clientgo
