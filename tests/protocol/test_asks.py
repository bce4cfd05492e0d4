"""The nemesis with annotations too: transfers, holds and priorities at random, and a count of requests."""

from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from kopf_leader.protocol.state import Kind, Read, Send, Watch
from kopf_leader.testing.candidate import Candidate
from tests.protocol import nemesis
from tests.protocol.nemesis import Fault, Play

PREFIX = "kopf-leader/"
MOST = 14  # requests of one candidate in a second, with every kind of fault and of edit beside it


def annotate(play: Play, **changed: str | None) -> None:
    """`kubectl annotate`; None takes one away."""
    metadata = (play.world.store.lease or {}).get("metadata") or {}
    have = {
        **metadata.get("annotations", {}),
        **{PREFIX + key.replace("_", "-"): text for key, text in changed.items()},
    }
    play.world.store.edit(metadata={"annotations": {key: text for key, text in have.items() if text is not None}})


def transfer(play: Play, one: Candidate) -> None:
    """To somebody, to anybody, to nobody there is, or not at all any more."""
    names = [each.settings.identity for each in play.world.candidates.values()]
    annotate(play, transfer_to=play.rng.choice([*names, *"abcd", "*", "nobody", "", None]))


def hold(play: Play, one: Candidate) -> None:
    """Nobody shall lead, for a while."""
    annotate(play, hold=play.rng.choice(["", "an upgrade"]))
    play.later(lambda: annotate(play, hold=None))


def priority(play: Play, one: Candidate) -> None:
    """Somebody else's number, nonsense, or none."""
    annotate(play, priority=play.rng.choice(["-5", "3", "1000000000000", "high", None]))


ASKS: list[Fault] = [transfer, transfer, transfer, hold, hold, priority, priority]


class Asking(Play):
    """As its base, with priorities of the candidates and annotations by others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.recent: dict[str, deque[float]] = {}
        self.worst = 0
        self.world.observers.append(self._count)
        self.world.observers.remove(self.checker)
        self.world.observers.append(self._check)

    def _check(self, candidate: Candidate, what: str, detail: Any) -> None:
        """The checker's L2 is about writes of a record; an ASK leaves the record as it is."""
        asks = what == "action" and isinstance(detail, Send) and detail.write.kind is Kind.ASK
        if not asks:
            self.checker(candidate, what, detail)
        elif candidate.running:
            self.checker.fail("L12", f"{candidate.name} asks for the lead while it runs handlers")

    def _count(self, candidate: Candidate, what: str, detail: Any) -> None:
        if what == "action" and isinstance(detail, Send | Read | Watch):
            recent = self.recent.setdefault(candidate.name, deque())
            recent.append(self.world.now)
            while recent[0] <= self.world.now - 1:
                recent.popleft()
            self.worst = max(self.worst, len(recent))
            if len(recent) > MOST:
                self.checker.fail("L17", f"{candidate.name} sends {len(recent)} requests within a second")
        if len(candidate.state.doubtful) > 20:
            self.checker.fail("L4", f"{candidate.name} has {len(candidate.state.doubtful)} doubts")

    def quiet(self) -> None:
        """Also the annotations are gone; priorities have had their time to change the leader."""
        for one in self.world.candidates.values():
            one.thaw()
            one.heal()
            one.work = nemesis.Work(finish=self.rng.random())
        annotate(self, transfer_to=None, hold=None)
        self.world.run_for(2.6 * self.lease_duration)
        annotate(self, transfer_to=None, hold=None)  # those that came late
        self.world.run_for(2.6 * self.lease_duration)
        self.struck_at = self.world.now
        super().quiet()


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(nemesis.PROFILES, "faults", [*nemesis.PROFILES["faults"], *ASKS, *ASKS])


def perform(seed: int) -> Asking:
    play = Asking(seed)
    numbers = [0, 0, 0, 1, 2, -1]
    for one in play.world.candidates.values():
        one.settings = replace(one.settings, priority=play.rng.choice(numbers))
    play.run()
    return play


@pytest.mark.parametrize("batch", range(2))
def test_no_request_on_the_lease_breaks_the_claim(asking: None, batch: int) -> None:
    """Annotations start nothing: never two at once, tokens grow, a leader comes back, nobody spins."""
    worst = 0
    for seed in range(batch * 25, (batch + 1) * 25):
        try:
            worst = max(worst, perform(seed).worst)
        except AssertionError as error:
            raise AssertionError(f"{error}\nseed {seed}") from None
    print(f"at most {worst} requests of one candidate in a second")
    assert worst > 1
