"""What the rest of the house sees of an election: whom it tells, and what can be said to it."""

from typing import Protocol

from kopf_leader.elector.clock import Clock
from kopf_leader.protocol.state import Exit, StopLeading
from kopf_leader.protocol.term import Term


class Follower(Protocol):
    """Who acts on the decisions: the gate, for example.

    Called in the election's thread, in order. Each method returns at once (a few microseconds, no locks that others
    hold for long) and does not raise.
    """

    def start_leading(self, term: Term) -> None:
        """A term begins: handlers may start while `term.valid`."""
        ...

    def stop_leading(self, stop: StopLeading) -> None:
        """Nothing may start any more from this call on. May come again with nearer points. Ends with `drained()`."""
        ...

    def exit_process(self, exit_: Exit) -> None:
        """The exit point has come and `drained()` has not: log what is stuck, and end the process (L12)."""
        ...

    def new_leader(self, holder: str) -> None:
        """Somebody else was seen as the holder ('' when nobody is)."""
        ...


class Election(Protocol):
    """A running candidate. Every method may be called from any thread and returns at once, but `join`."""

    @property
    def clock(self) -> Clock:
        """The clock of all times that are told."""
        ...

    @property
    def identity(self) -> str:
        """Who this candidate is on the Lease."""
        ...

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        ...

    def start(self) -> None:
        """Stand as a candidate."""
        ...

    def resign(self, *, leave: bool, away: float = 0.0) -> None:
        """Give the leadership back, if held: the gate closes, drains, and the Lease is released.

        `leave`: for good; `away`: seconds for which it does not stand again, whoever leads, as it was locked out (L20).
        """
        ...

    def drained(self, token: int) -> None:
        """Say that nothing of this term runs any more."""
        ...

    def join(self, timeout: float | None = None) -> bool:
        """Wait (seconds; None: for ever) until a resigned candidate is done. Whether it is."""
        ...
