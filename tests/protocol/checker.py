"""Holds a small world to the safety claim, at every step of every candidate."""

import re
from typing import Any

from kopf_leader.protocol.state import Accepted, Denied, Kind, Rejected, Send, StartLeading, StopLeading, Unknown
from kopf_leader.testing.candidate import Candidate
from kopf_leader.testing.world import World
from tests.protocol.rival import Rival

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Violation(AssertionError):  # noqa: N818 (the field's word)
    """A law was broken; the message has the end of the story."""


class Checker:
    """Attach it to a world before anything happens in it.

    `starts_only` holds two candidates to the weaker half of the claim, for clocks whose rates differ by more than
    15/14: nobody *starts* a handler beside another's. After a freeze, what was running is exempt until the process
    has looked at its clock, and then for the blink that the machine leaves it to show that nothing runs.
    """

    def __init__(self, world: World, *, starts_only: bool = False) -> None:
        self.world = world
        self.starts_only = starts_only
        self.rivals: list[Rival] = []
        self.tokens: list[int] = []
        self.terms: list[tuple[float, str, int]] = []
        self.stops: list[tuple[float, str, StopLeading]] = []
        self.stamps: dict[str, str] = {}
        self.flights: dict[str, Send] = {}
        self.woken: dict[str, float] = {}
        world.observers.append(self)

    def __call__(self, candidate: Candidate, what: str, detail: Any) -> None:
        match what:
            case "action" if isinstance(detail, Send):
                self._sent(candidate, detail)
            case "action" if isinstance(detail, StartLeading):
                self._started(candidate, detail.token)
            case "action" if isinstance(detail, StopLeading):
                self.stops.append((self.world.now, candidate.name, detail))
            case "event" if isinstance(detail, Accepted | Rejected | Unknown | Denied):
                self.flights.pop(candidate.name, None)
            case "landed":
                self._landed(candidate, *detail)
            case "gone":
                self.flights.pop(candidate.name, None)
                self.stamps.pop(candidate.name, None)
                self.woken.pop(candidate.name, None)
            case "thawed":
                self.woken[candidate.name] = float("inf")
            case "stepped":
                self._looked(candidate)
                self._alone()
            case "ended":
                self._alone()

    def fail(self, law: str, why: str) -> None:
        """Raise a Violation with the story so far."""
        raise Violation(f"{law}: {why}\n{self.world.story()}")

    def _looked(self, candidate: Candidate) -> None:
        if candidate.name in self.woken:
            closing = candidate.state.closing
            self.woken[candidate.name] = -1.0 if closing is None else candidate.clock.true(closing.exit_at)

    def _everyone(self) -> list[Candidate | Rival]:
        return [*self.world.candidates.values(), *self.rivals]

    def _exempt(self, candidate: Candidate | Rival) -> bool:
        return candidate.waking or self.world.now < self.woken.get(candidate.name, -1.0)

    def _alone(self) -> None:
        everyone = self._everyone()
        opened = [one.name for one in everyone if one.open]
        if len(opened) > 1:
            self.fail("I1", f"{opened} both start handlers")
        running = [one.name for one in everyone if one.running and not self._exempt(one)]
        if len(running) > 1 and not self.starts_only:
            self.fail("I1", f"{running} both run handlers")

    def _started(self, candidate: Candidate, token: int) -> None:
        if self.tokens and token <= max(self.tokens):
            self.fail("L9", f"{candidate.name} starts term {token} after {max(self.tokens)}")
        self.tokens.append(token)
        self.terms.append((self.world.now, candidate.name, token))

    def _sent(self, candidate: Candidate, send: Send) -> None:
        name, write, body = candidate.name, send.write, send.body
        if name in self.flights:
            self.fail("L1", f"{name} has two writes in flight")
        self.flights[name] = send
        if write.base is not None and not (body["metadata"].get("uid") and body["metadata"].get("resourceVersion")):
            self.fail("L1", f"{name} sends a PUT without uid or resourceVersion")
        stamp = body["spec"]["renewTime"]
        if not _STAMP.fullmatch(stamp) or stamp <= self.stamps.get(name, ""):
            self.fail("L2", f"{name} writes renewTime {stamp} after {self.stamps.get(name)}")
        self.stamps[name] = stamp
        if write.base is None and candidate.gate_open:
            self.fail("L8", f"{name} creates the Lease and has not closed its gate")
        if write.kind is Kind.RELEASE and candidate.running:
            self.fail("L12", f"{name} releases while handlers run")

    def _landed(self, candidate: Candidate, status: int, send: Send) -> None:
        if send.write.kind is not Kind.RELEASE or status != 200:
            return
        running = [one.name for one in self._everyone() if one.running and not self._exempt(one)]
        if running and not self.starts_only:
            self.fail("L13", f"{candidate.name} releases the Lease under {running}")
