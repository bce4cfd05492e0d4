"""Holds the simulated processes to the claim and to the laws that are the driver's to keep.

What it knows is of its own making: which writes were decided when (from the machine's state), sent how often (at the
client), and landed on which version (at the server). It never asks the machine whether it leads rightly.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from kopf_leader.clients.base import JSON
from kopf_leader.protocol.state import Instant, Kind, State
from kopf_leader.protocol.term import Term

if TYPE_CHECKING:
    from tests.simulation.process import Life
    from tests.simulation.world import World

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
MOST_REQUESTS = 14  # of one process in a second, with every kind of fault beside it (as in tests/protocol/test_asks)
ROUNDING = 1e-6  # seconds


class Violation(AssertionError):  # noqa: N818 (the field's word)
    """A promise was broken; the message has the end of the story."""


@dataclass
class Book:
    """What is known of one life."""

    decided: dict[str, float] = field(default_factory=dict)
    """The local time of the step that decided on a write, by its renewTime."""
    kinds: dict[str, Kind] = field(default_factory=dict)
    landed: dict[int, str] = field(default_factory=dict)
    """Which write made which version."""
    newest: float = -inf
    """The local time at which the latest write that has landed was decided."""
    sent: Counter[str] = field(default_factory=Counter)
    refused_login: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    stamp: str = ""
    recent: list[float] = field(default_factory=list)


class Checker:
    """Attached to a world; raises Violation, or leaves it in `world.violations` where raising would be swallowed."""

    def __init__(self, world: "World", *, starts_only: bool) -> None:
        self.world = world
        self.starts_only = starts_only
        self.books: dict[Life, Book] = {}
        self.tokens: list[int] = []
        self.terms: list[tuple[float, str, int]] = []
        self.specs: list[JSON] = []
        """What has stood in the Lease, for whoever brings some of it back."""
        self.bodies: list[JSON] = []
        """The same with all that stood around it."""

    def follow(self, life: "Life") -> None:
        """A life begins."""
        book = self.books[life] = Book()
        for old in [other for other in self.books if other.dead]:
            if len(self.books) > 12:
                del self.books[old]
        life.client.asked = lambda: self._count(life, book)
        life.client.sending = lambda body: self._sending(life, book, body)
        life.client.landed = lambda body, status: self._landed(life, book, body, status)
        life.client.answered = lambda body, answer: self._answered(book, body, answer)

    def fail(self, law: str, why: str) -> None:
        """Keep a Violation with the story so far; the world raises it."""
        self.world.violations.append(Violation(f"{law}: {why}\n{self.world.story()}"))

    # The claim

    def alone(self) -> None:
        """Nobody starts a handler beside another one's, and nobody runs one beside another one's."""
        lives = self.world.lives
        opened = [life.owner.name for life in lives if life.open]
        if len(opened) > 1:
            self.fail("I1", f"{opened} both start handlers")
        running = [life.owner.name for life in lives if life.running and not life.exempt]
        if len(running) > 1 and not self.starts_only:
            self.fail("I1", f"{running} both run handlers")

    def started(self, life: "Life", term: Term) -> None:
        """A term begins."""
        book = self.books[life]
        kind = book.kinds.get(book.landed.get(term.token, ""))
        if kind is not Kind.ACQUIRE:
            self.fail(
                "L9", f"{life.owner.name} starts the term {term.token}, which no PUT of its own has made ({kind})"
            )
        if self.tokens and term.token <= max(self.tokens):
            self.fail("L9", f"{life.owner.name} starts the term {term.token} after {max(self.tokens)}")
        self.tokens.append(term.token)
        self.terms.append((self.world.now, life.owner.name, term.token))
        self._look_at_claim(life, book)
        self.alone()

    def stepped(self, life: "Life", before: State, after: State, now: Instant) -> None:
        """The machine has made a step."""
        book = self.books[life]
        if after.flight is not None and after.flight is not before.flight:
            stamp = after.flight.record.renew_time or ""
            if after.flight.kind is not Kind.ASK:
                book.decided.setdefault(stamp, now.at)
                book.kinds[stamp] = after.flight.kind
        if after.sight is not before.sight and after.sight is not None:
            self._recognised(life, book, after, now)
        self._look_at_claim(life, book)
        over = after.reign is None or after.reign.revoked
        if over and life.term is not None and life.term.claim.deadline != -inf:
            self.fail("L7", f"the term of {life.owner.name} is over, and its claim is not void")
        self.alone()

    def _look_at_claim(self, life: "Life", book: Book) -> None:
        """The claim ends one renew_deadline after the step that decided the last write that has landed (L4, L6)."""
        term = life.term
        if term is None or term.claim.deadline == -inf:
            return
        latest = book.newest + life.settings.renew_deadline
        if term.claim.deadline > latest + ROUNDING:
            late = term.claim.deadline - latest
            self.fail("L6", f"the claim of {life.owner.name} ends {late:.3f} s later than its last renewal allows")

    def _recognised(self, life: "Life", book: Book, after: State, now: Instant) -> None:
        """Whoever sees its own write takes it for its own, and no stranger's (L4, L10), unless it has run out (L9)."""
        assert after.sight is not None
        stamp = book.landed.get(after.sight.version)
        if stamp is None or after.hold is not None or book.kinds[stamp] in (Kind.RELEASE, Kind.ASK):
            return
        run_out = now.at >= book.decided.get(stamp, -inf) + life.settings.lease_duration
        if after.sight.record.renew_time == stamp and not run_out:
            self.fail("L4", f"{life.owner.name} takes its own write {stamp} for somebody else's")

    def restored(self) -> None:
        """An older database is in use: versions are used a second time, so tokens prove nothing across it."""
        self.tokens.clear()
        for book in self.books.values():
            book.landed.clear()

    # The wire

    def _sending(self, life: "Life", book: Book, body: JSON) -> None:
        name, metadata, spec = life.owner.name, body["metadata"], body["spec"]
        stamp = spec["renewTime"]
        book.in_flight += 1
        if book.in_flight > 1:
            self.fail("L1", f"{name} has two writes in flight")
        if metadata.get("uid") is None and "resourceVersion" in metadata:
            self.fail("L1", f"{name} sends a PUT without uid")
        book.sent[stamp] += 1
        if book.sent[stamp] > 1 + book.refused_login[stamp]:
            self.fail("L4", f"{name} sends {stamp} a second time, and nobody has refused the first copy")
        if not STAMP.fullmatch(stamp) or stamp < book.stamp:
            self.fail("L2", f"{name} writes renewTime {stamp} after {book.stamp}")
        book.stamp = stamp
        kind = book.kinds.get(stamp)
        if kind is Kind.RELEASE and life.running:
            self.fail("L12", f"{name} releases while handlers run")
        over = metadata.get("resourceVersion", "nothing")
        self.world.note(life, "sends", f"{kind.value if kind else '?'} {stamp[17:-1]} over {over}")

    def _answered(self, book: Book, body: JSON | None, answer: Any) -> None:
        if body is None:
            return
        book.in_flight -= 1
        if answer is not None and answer[0] == 401:
            book.refused_login[body["spec"]["renewTime"]] += 1

    def _landed(self, life: "Life", book: Book, body: JSON, status: int) -> None:
        """The server has decided on a write, wherever its sender is by now."""
        stamp, server = body["spec"]["renewTime"], self.world.server
        self.world.note(life, "landed" if status < 300 else "refused", f"{stamp[17:-1]} {status} v{server.version}")
        if status >= 300:
            return
        book.landed[server.version] = stamp
        self.specs = [*self.specs[-20:], body["spec"]]
        self.bodies = [*self.bodies[-20:], body]
        book.newest = max(book.newest, book.decided.get(stamp, -inf))
        server.space()
        if book.kinds.get(stamp) is Kind.RELEASE and not self.starts_only:
            running = [other.owner.name for other in self.world.lives if other.running and not other.exempt]
            if running:
                self.fail("L13", f"{life.owner.name} releases the Lease under {running}")

    def _count(self, life: "Life", book: Book) -> None:
        book.recent = [moment for moment in book.recent if moment > self.world.now - 1] + [self.world.now]
        if len(book.recent) > MOST_REQUESTS:
            self.fail("L17", f"{life.owner.name} sends {len(book.recent)} requests within a second")
