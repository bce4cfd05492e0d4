"""An election that does what the test says, in a thread of its own as the real one."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from kopf_leader.elector.clock import SystemClock
from kopf_leader.elector.election import Follower
from kopf_leader.protocol.state import Exit, Reason, StopLeading
from kopf_leader.protocol.term import Claim, Term


@dataclass
class FakeElection:
    """Implements `Election`. `lead()` and `stop()` are the script; a resignation stops the term as the machine does."""

    follower: Follower
    login: Callable[[], Any]
    drain: float = 30.0
    exits: bool = True
    """Whether the exit point is acted on."""
    answers: bool = True
    """Whether it reacts to a resignation; False for an election that is dead or stuck."""
    clock: SystemClock = field(default_factory=SystemClock)
    alive: bool = True
    identity: str = "me"

    def __post_init__(self) -> None:
        self.calls: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self.log: list[tuple[str, float]] = []
        self.term: Term | None = None
        self.token = 0
        self.started = threading.Event()
        self.released = threading.Event()  # the last term was said to be drained
        self.released.set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, name="fake election", daemon=True)
        self.stops: list[StopLeading] = []

    # Election

    def start(self) -> None:
        self.note("start")
        self.thread.start()
        self.started.set()

    def resign(self, *, leave: bool, away: float = 0.0) -> None:
        self.note("leave" if leave else f"away {away:g}" if away else "resign")
        if self.answers and self.alive:
            self.calls.put(lambda: self._resign(leave=leave, away=away))

    def drained(self, token: int) -> None:
        self.note("drained")
        self.calls.put(lambda: self._drained(token))

    def join(self, timeout: float | None = None) -> bool:
        self.note("join")
        return self.ended.wait(timeout)

    # The script

    def lead(self, *, seconds: float = inf) -> Term:
        """Begin a term with a claim for that long."""
        self.token += 1
        claim = Claim(self.clock.time() + seconds)
        self.term = Term(
            lease="test/fake", identity=self.identity, token=self.token, claim=claim, clock=self.clock.time
        )
        self.released.clear()
        term = self.term
        self.calls.put(lambda: self.follower.start_leading(term))
        return term

    def stop(self, reason: Reason = Reason.RESIGNED, *, cancel_in: float = 30.0, exit_in: float = 60.0) -> None:
        """End the term, with these points in seconds from now; a rival voids the claim at once."""
        self.calls.put(lambda: self._stop(reason, cancel_in, exit_in))

    def expire(self) -> None:
        """Let the claim run out without a word, as when the thread hangs."""
        assert self.term is not None
        self.term.claim.deadline = self.clock.time()

    def tell_holder(self, holder: str) -> None:
        """Let it be seen who holds the Lease."""
        self.calls.put(lambda: self.follower.new_leader(holder))

    def note(self, what: str) -> None:
        self.log.append((what, time.monotonic()))

    @property
    def said(self) -> list[str]:
        """What the gate has said, in order."""
        return [what for what, _ in self.log]

    def _run(self) -> None:
        exit_at = inf
        while True:
            try:
                call = self.calls.get(timeout=max(0.0, min(1.0, exit_at - self.clock.time())))
            except queue.Empty:
                if self.exits and self._stopping and self.clock.time() >= exit_at:
                    exit_at = inf
                    self.follower.exit_process(Exit(self.token, self.stops[-1].reason))
                continue
            if call is None:
                return
            call()
            exit_at = self.stops[-1].exit_at if self._stopping else inf
            if self.ended.is_set():
                return

    @property
    def _stopping(self) -> bool:
        return self.term is not None and bool(self.stops) and self.stops[-1].token == self.term.token

    def _stop(self, reason: Reason, cancel_in: float, exit_in: float) -> None:
        if self.term is None:
            return
        now = self.clock.time()
        if reason in (Reason.RIVAL, Reason.DELETED, Reason.DENIED):
            self.term.claim.deadline = -inf
        stop = StopLeading(self.token, reason, now + cancel_in, now + exit_in)
        self.stops.append(stop)
        self.follower.stop_leading(stop)

    def _resign(self, *, leave: bool, away: float) -> None:
        self.leaving = leave
        if self.term is not None:
            why = Reason.LEAVING if leave else Reason.LOCKED_OUT if away else Reason.RESIGNED
            self._stop(why, self.drain, self.drain + 5)
        elif leave:
            self.ended.set()

    def _drained(self, token: int) -> None:
        if self.term is None or token != self.term.token:
            return
        self.term.claim.deadline = -inf
        self.term = None
        self.released.set()
        if getattr(self, "leaving", False):
            self.ended.set()
