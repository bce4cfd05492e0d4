"""Between an election and the code that works under it, in a process that is not ours: who was told, who came back.

The election's thread tells (it is the `Follower`), the user's loop or thread asks for the next standing, and a guardian
looks at the clock for both of them. One lock, held for a few instructions; nobody waits for anybody in here.

A term belongs to the user from the moment in which its `Leading` was handed out. From then on it ends in one of two
ways only: the user says that nothing runs any more, or the process ends at the exit point (L12). There is no third way,
such as an exception: a Lease that is not renewed any more expires, and somebody else begins beside the user's code,
which may still run. What was never handed out ends without a word to anybody.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Iterable
from typing import Any, Generic

from kopf_leader.elector.election import Election
from kopf_leader.elector.leave import leave
from kopf_leader.elector.standings import Event, Leading, Standby, Standing, Stopping
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Exit, Reason, StopLeading
from kopf_leader.protocol.term import Term

LOOK = 1.0  # seconds between two looks of the guardian, at most


class Turn(Generic[Event]):
    """One term, and how far its user is with it."""

    def __init__(self, term: Term, ended: Event) -> None:
        self.term = term
        self.leading = Leading(term=term, ended=ended)
        self.deadline = term.claim.deadline
        """Of the claim, when it was last seen valid."""
        self.stop: StopLeading | None = None
        self.taken = False
        """Whether the user has got it: then its code may run."""
        self.warned = False
        """Whether the user has got the `Stopping`."""
        self.over = False
        """Whether nothing runs any more, and nothing will."""

    @property
    def exit_at(self) -> float:
        """When the process is ended; inf while nothing is to stop."""
        return self.stop.exit_at if self.stop is not None else math.inf


class Seat(Generic[Event]):
    """What one elector knows. Every method may be called in any thread.

    - `make_event`: makes what is set when a term has to end; `tell` sets it, from any thread.
    - `changed`: called when there may be news for the user, from any thread.
    - `tasks`: what to show when the process is ended.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        make_event: Callable[[], Event],
        tell: Callable[[Event], None],
        changed: Callable[[], None],
        tasks: Callable[[], Iterable[asyncio.Task[Any]]] = tuple,
    ) -> None:
        self.election: Election
        self.dead = False
        """Whether the election has ended by a defect."""
        self.minded = False
        """Whether `run()` sees to the end of what it has begun, and puts it down."""
        self._settings = settings
        self._make_event = make_event
        self._tell = tell
        self._changed = changed
        self._tasks = tasks
        self._lock = threading.Lock()
        self._turn: Turn[Event] | None = None
        self._holder: str | None = None
        self._leaving = False

    # The election's side.

    def start_leading(self, term: Term) -> None:
        """Have the user get it."""
        turn = Turn(term, self._make_event())
        with self._lock:
            self._turn = turn
        self._changed()

    def stop_leading(self, stop: StopLeading) -> None:
        """Tell the user, if it has got the term."""
        with self._lock:
            turn = self._turn
            ours = turn is not None and turn.term.token == stop.token
            if turn is not None and ours:
                turn.stop = stop
                turn.over = turn.over or not turn.taken
            running = ours and turn is not None and not turn.over
        if not running:
            self.election.drained(stop.token)
        elif turn is not None:
            self._tell(turn.leading.ended)
        self._changed()

    def exit_process(self, exit_: Exit) -> None:
        """End the process, unless the user has come back after all."""
        turn = self._running()
        if turn is not None and turn.term.token == exit_.token:
            self._exit(exit_.reason)

    def new_leader(self, holder: str) -> None:
        """Remember who leads."""
        self._holder = holder
        self._changed()

    # The guardian's side.

    @property
    def period(self) -> float:
        """Seconds between two looks, at most."""
        return min(LOOK, self._settings.slack / 10)

    def look(self) -> None:
        """See to what the election would see to, if it is dead or hangs (L7)."""
        if not self.election.alive and not self.dead and not self._leaving:
            self.dead = True
            self._changed()
        turn = self._running()
        if turn is None:
            return
        if turn.term.valid:
            turn.deadline = turn.term.claim.deadline
        if turn.stop is None and (self.dead or not turn.term.valid):
            self._end_by_clock(turn)
        if self.election.clock.time() >= turn.exit_at and self._running() is turn:
            self._exit(turn.stop.reason if turn.stop is not None else Reason.RENEW_DEADLINE)

    # The user's side.

    def next(self, last: Standing[Event] | None) -> Standing[Event] | None:
        """What is new after `last`, which the user has just come back from; None if nothing is."""
        turn = self._running()
        if turn is not None and turn.warned and isinstance(last, Stopping) and last.term is turn.term:
            self._finish(turn)
        with self._lock:
            return self._newest(last)

    def put_down(self, leading: Leading[Event]) -> bool:
        """Nothing of the user's runs in this term any more, and it needs nobody to come back. Whether it is over.

        One that has to end, or has run out by the clock when this was looked at, is over for good (L9); another one may
        be handed out again.
        """
        with self._lock:
            turn = self._turn
            if turn is None or turn.leading is not leading or turn.over:
                return True
            turn.taken = False
            turn.over = turn.stop is not None or not turn.term.valid
        if turn.over:
            self.election.drained(turn.term.token)
        return turn.over

    def leave(self) -> None:
        """Stand no more; nothing of the user's runs, and nothing will: or `run()` still sees to that (L12)."""
        self._leaving = True
        with self._lock:
            turn = self._turn
            if turn is not None and self.minded and turn.taken and not turn.over:
                turn = None  # told by the election to end, and put down when it has
            stopping = turn is not None and not turn.over and turn.stop is not None
            if turn is not None:
                turn.over = True
        if turn is not None and stopping:
            self.election.drained(turn.term.token)
        self.election.resign(leave=True)

    def stop_of(self, leading: Leading[Event]) -> StopLeading | None:
        """How this term has to end; None while it may go on."""
        turn = self._turn
        return turn.stop if turn is not None and turn.term is leading.term else None

    def _newest(self, last: Standing[Event] | None) -> Standing[Event] | None:
        turn = self._turn
        if turn is not None and not turn.over:
            if turn.taken and turn.stop is not None:
                turn.warned = True
                return Stopping(term=turn.term, reason=turn.stop.reason.value, exit_at=lambda: turn.exit_at)
            if last is turn.leading or turn.stop is not None or not (turn.taken or turn.term.valid):
                return None
            turn.taken = True
            return turn.leading
        if self._holder is None or self._holder == self._settings.identity:
            return None
        standby = Standby(holder=self._holder)
        return standby if standby != last else None

    def _running(self) -> Turn[Event] | None:
        """The term that the user has got and not come back from."""
        with self._lock:
            turn = self._turn
            return turn if turn is not None and turn.taken and not turn.over else None

    def _finish(self, turn: Turn[Event]) -> None:
        with self._lock:
            turn.over = True
        self.election.drained(turn.term.token)

    def _end_by_clock(self, turn: Turn[Event]) -> None:
        now, slack = self.election.clock.time(), self._settings.slack
        blink = self._settings.last_grace / 4  # for who wakes from a freeze, as in the machine
        cancel_at = max(now, turn.deadline + slack / 2)
        exit_at = max(now + blink, turn.deadline + slack * 4 / 5)
        with self._lock:
            if turn.stop is None:
                turn.stop = StopLeading(turn.term.token, Reason.RENEW_DEADLINE, cancel_at, exit_at)
        self._tell(turn.leading.ended)
        self._changed()

    def _exit(self, reason: Reason) -> None:
        try:
            tasks = [*self._tasks()]
        except RuntimeError:  # the set changes while it is looked at
            tasks = []
        leave(f"{reason.value}, and what runs in this term has not come back; see what keeps it.", tasks)
