"""One candidate of the small world: it does what the machine asks for, over a link that can fail.

It is the driver and the gate in their shortest form. What matters of both is kept: a write gets exactly one answer, an
abandoned one may land later; a read is repeated until an answer comes; a watch can be slow, deaf or broken; handlers
run from `StartLeading` until they have ended by themselves, were cancelled, or the process is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Protocol

from kopf_leader.protocol.machine import claim_until
from kopf_leader.protocol.record import Sight, sight_of
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import (
    Absent,
    Accepted,
    Action,
    Denied,
    Drained,
    Event,
    Exit,
    Finish,
    Instant,
    Read,
    Rejected,
    Resign,
    Seen,
    Send,
    StartLeading,
    State,
    StopLeading,
    Tick,
    Unknown,
    WakeAt,
    Watch,
    Write,
)
from kopf_leader.testing.clock import Appointment, LocalClock
from kopf_leader.testing.leasestore import Change
from kopf_leader.testing.link import Fate, Link, Work

if TYPE_CHECKING:
    from kopf_leader.testing.world import World

TIMERS, NETWORK = 0, 1  # at one moment, a process looks at its clock before it reads its mail


class _Session:
    """One watch: what it still has to tell, and whether anybody listens."""

    def __init__(self) -> None:
        self.queue: deque[Change] = deque()
        self.open = False
        self.deaf = False
        self.last = -inf
        self.after: int | None = None
        """The version of the Lease that came last, if it was there."""


@dataclass
class _Request:
    write: Write
    answered: bool = False


class Reader(Protocol):
    def __call__(self, sight: Sight | None, sent_at: float, since: int) -> None: ...


class Candidate:
    """A process that stands for the Lease, with its own clock and its own link."""

    def __init__(self, world: World, name: str, settings: Settings, clock: LocalClock) -> None:
        self.world = world
        self.name = name
        self.settings = settings
        self.clock = clock
        self.link = Link()
        self.work = Work()
        self.state = State()
        self.token: int | None = None
        """The term whose handlers run, if any do."""
        self.gate_open = False
        self.alive = False
        self.frozen = False
        self.waking = False
        """Thawed, and has not looked at its clock yet."""
        self.lives = 0
        self.held: list[Callable[[], None]] = []
        self._backlog: list[Callable[[], None]] = []
        self._wake: Appointment | None = None
        self._end: Appointment | None = None
        self._session = _Session()
        self._last = -inf
        world.store.listeners.append(self._changed)

    @property
    def open(self) -> bool:
        """Whether a handler would be started now: by the gate, and by the clock (L7)."""
        claimed = self._local() < claim_until(self.settings, self.state)
        return self.alive and self.gate_open and claimed and not self.frozen

    @property
    def running(self) -> bool:
        """Whether handlers run now."""
        return self.alive and self.token is not None and not self.frozen

    # What happens to it

    def start(self) -> None:
        """The process starts."""
        self.alive = True
        self.feed(Tick())

    def crash(self, why: str = "crash") -> None:
        """The process is gone at once; what is on the wire arrives all the same."""
        self.alive = self.frozen = self.waking = self.gate_open = False
        self.token = None
        self.lives += 1
        self._backlog.clear()
        self._session = _Session()
        self.world.note(self, "gone", why)

    def restart(self) -> None:
        """A new process in its place, with an identity of its own (L10)."""
        if self.alive:
            self.crash("restart")
        self.state = State()
        self.settings = replace(self.settings, identity=f"{self.name}_{self.lives}")
        self.start()

    def freeze(self) -> None:
        """The operating system stops it (SIGSTOP, a paused VM)."""
        if self.alive:
            self.frozen = True
            self.world.note(self, "frozen")

    def thaw(self, *, after: float = 0.005, mail_first: bool = False) -> None:
        """It goes on, and looks at its clock (or at its mail) `after` true seconds."""
        if not self.frozen:
            return
        self.frozen, self.waking = False, True
        self.world.note(self, "thawed")
        life = self.lives
        self.world.clock.after(after, lambda: self._woken(life, mail_first=mail_first), rank=TIMERS)

    def resign(self, *, leave: bool = False, away: float = 0.0) -> None:
        """SIGTERM (`leave`), or a request to step down."""
        self._guarded(lambda: self.feed(Resign(leave=leave, away=away)))()

    def deafen(self) -> None:
        """Its watch stays open and says nothing more, until it is opened anew."""
        self._session.deaf = True

    def break_watch(self) -> None:
        """Its watch ends, and cannot be opened until `heal`."""
        self.link.broken = True
        self._open_watch()

    def deliver(self) -> None:
        """Everything that was held in the network arrives now."""
        held, self.held = self.held, []
        for arrive in held:
            arrive()

    def heal(self, *, link: Link | None = None) -> None:
        """The link works again; a watch that was quiet tells what it has missed."""
        self.link = link or Link()
        self.deliver()
        for _ in self._session.queue:
            self.world.clock.after(self._lag(self.link.event), self._pump(self._session), rank=NETWORK)

    # What it does

    def feed(self, event: Event) -> None:
        """One step of the machine, and what it asks for."""
        if not self.alive:
            return
        self._last = max(self._last, self._local())
        now = Instant(at=self._last, utc=self.clock.utc())
        self.world.note(self, "event", event)
        self.state, actions = self.world.step(self.settings, self.state, now, event)
        self.waking = False
        for action in actions:
            if self.alive:
                self._do(action)
        self.world.note(self, "stepped")

    def _do(self, action: Action) -> None:
        if not isinstance(action, WakeAt):
            self.world.note(self, "action", action)
        match action:
            case Send():
                self._send(action)
            case Read():
                self._read(self._seen)
            case Watch():
                self._open_watch()
            case StartLeading(token=token):
                self.token, self.gate_open = token, True
            case StopLeading():
                self._close(action)
            case Exit():
                self.crash("exit")
            case Finish():
                self.crash("finished")
            case WakeAt(at=at):
                self._alarm(at)

    def _alarm(self, at: float) -> None:
        if self._wake is not None:
            self._wake.cancel()
        if at < inf:

            def ring() -> None:
                self._last = max(self._last, at)  # the float next to it would be too early for ever
                self.feed(Tick())

            self._wake = self.world.clock.at(self.clock.true(at), self._guarded(ring), rank=TIMERS)

    def _close(self, stop: StopLeading) -> None:
        self.gate_open = False
        if self._end is not None:
            self._end.cancel()
        if self.token is None:
            return
        end = min(self._last + self.work.finish, max(stop.cancel_at, self._last) + self.work.obey)

        def ended() -> None:
            token, self.token, self._end = self.token, None, None
            if token is not None:
                self.world.note(self, "ended", token)
                self.feed(Drained(token))

        if end < inf:
            self._end = self.world.clock.at(self.clock.true(end), self._guarded(ended), rank=TIMERS)

    def _send(self, send: Send) -> None:
        link, request = self.link, _Request(send.write)
        fate = link.fates.popleft() if link.fates else Fate(self._lag(link.request), self._lag(link.reply), link.status)

        def answer(event: Event) -> None:
            if not request.answered:
                request.answered = True
                self.feed(event)

        def arrive() -> None:
            event = self._landed(send, fate)
            if fate.reply is not None:
                self.world.clock.after(fate.reply, self._unless_lost(lambda: answer(event)), rank=NETWORK)

        give_up = self._guarded(lambda: answer(Unknown(send.write)))
        self.world.clock.after(self.settings.attempt_timeout / self.clock.rate, give_up, rank=TIMERS)
        if link.hold:
            self.held.append(arrive)
        elif not link.lose_requests and fate.request is not None:
            self.world.clock.after(fate.request, arrive, rank=NETWORK)

    def _landed(self, send: Send, fate: Fate) -> Event:
        if fate.status is not None:
            if fate.status in (401, 403):
                return Denied(send.write)
            return Unknown(send.write) if fate.status >= 500 else Rejected(send.write)
        store = self.world.store
        status, lease = (store.create if send.write.base is None else store.replace)(send.body)
        self.world.note(self, "landed", (status, send))
        return Rejected(send.write) if lease is None else Accepted(send.write, sight_of(lease))

    def _seen(self, sight: Sight | None, sent_at: float, since: int) -> None:  # noqa: ARG002 (see Reader)
        self.feed(Absent(sent_at=sent_at) if sight is None else Seen(sight, sent_at=sent_at))

    def _read(self, then: Reader, session: _Session | None = None) -> None:
        """GET, repeated every retry_period until an answer comes."""
        self._last = sent_at = max(self._last, self._local())
        answered = False
        store, clock, link = self.world.store, self.world.clock, self.link

        def again() -> None:
            if not answered and (session is None or session is self._session):
                self._read(then, session)

        def arrive() -> None:
            lease, since = store.lease, store.version

            def reply() -> None:
                nonlocal answered
                if not answered and (session is None or session is self._session):
                    answered = True
                    then(None if lease is None else sight_of(lease), sent_at, since)

            clock.after(self._lag(link.reply), self._unless_lost(reply), rank=NETWORK)

        pause = max(self.settings.attempt_timeout, self.settings.retry_period) / self.clock.rate
        clock.after(pause, self._guarded(again), rank=TIMERS)
        if not link.lose_requests:
            clock.after(self._lag(link.request), arrive, rank=NETWORK)

    def _open_watch(self) -> None:
        """One watch at a time: read, then listen from the version read; poll as long as it cannot be had."""
        session = self._session = _Session()

        def listen(sight: Sight | None, sent_at: float, since: int) -> None:
            if self.link.broken:
                pause = self.settings.retry_period / self.clock.rate * self.world.rng.uniform(0.9, 1.1)
                self.world.clock.after(pause, self._guarded(again), rank=TIMERS)
            else:
                session.open = True
                session.after = self._origin(sight)
                for change in self.world.store.changes:
                    if change.version > (since if session.after is None else session.after):
                        self._queue(session, change)
            self._seen(sight, sent_at, since)

        def again() -> None:
            if session is self._session:
                self._read(listen, session)

        self._read(listen, session)

    def _origin(self, sight: Sight | None) -> int | None:
        """Where the watch begins: at what was read, or before the holder's write, as the driver's does (L6)."""
        if sight is None:
            return None
        known = sight.over is not None and self.world.store.compacted <= sight.over < sight.version
        return sight.over if known and self.settings.takeover == "evidence" else sight.version

    def _changed(self, change: Change) -> None:
        if self._session.open:
            self._queue(self._session, change)

    def _queue(self, session: _Session, change: Change) -> None:
        session.queue.append(change)
        session.last = max(session.last, self.world.now + self._lag(self.link.event))
        self.world.clock.at(session.last, self._pump(session), rank=NETWORK)

    def _pump(self, session: _Session) -> Callable[[], None]:
        def tell() -> None:
            if self.link.quiet or not session.queue:
                return
            change = session.queue.popleft()
            if session is self._session and not session.deaf:
                event = Absent(version=change.version) if change.deleted else self._news(session, change)
                session.after = None if change.deleted else change.version
                self._guarded(lambda: self.feed(event))()

        return tell

    def _news(self, session: _Session, change: Change) -> Seen:
        return Seen(sight_of(change.lease), after=session.after)

    def _woken(self, life: int, *, mail_first: bool) -> None:
        if life != self.lives or not self.waking:
            return
        backlog, self._backlog = self._backlog, []
        self.waking = False
        self.feed(Tick()) if not mail_first else None
        for happen in backlog:
            self._guarded(happen)()
        self.feed(Tick())

    def _guarded(self, happen: Callable[[], None]) -> Callable[[], None]:
        """Not for a process that is gone; and later for one that is frozen."""
        life = self.lives

        def happen_here() -> None:
            if life != self.lives or not self.alive:
                return
            if self.frozen or self.waking:
                self._backlog.append(happen_here)
            else:
                happen()

        return happen_here

    def _unless_lost(self, reply: Callable[[], None]) -> Callable[[], None]:
        arrive = self._guarded(reply)
        return lambda: None if self.link.lose_replies else arrive()

    def _lag(self, seconds: float) -> float:
        return seconds + self.world.rng.random() * self.link.jitter if self.link.jitter else seconds

    def _local(self) -> float:
        return self.clock.time()
