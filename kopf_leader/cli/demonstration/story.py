"""What has happened so far, for whoever shows it: the acts, the faults, and lines of text in their order."""

from collections.abc import Callable
from dataclasses import dataclass, field

from kopf_leader.cli.demonstration.plan import Plan
from kopf_leader.testing import facts

SECOND = 1_000_000_000
TERM, KILL, CUT, LAST = "SIGTERM", "SIGKILL", "cut off", "others left"
"""The faults, as the summary names them."""


@dataclass(frozen=True, kw_only=True)
class Act:
    """One part of the scenario, and what is to be seen in it."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What was done to a leader, and when (nanoseconds on the clock of all facts)."""

    how: str
    replica: str
    pid: int
    at: int


@dataclass(kw_only=True)
class Story:
    """Told by the scenario, read by the picture; `tell` is called with each line of text at once."""

    plan: Plan
    tell: Callable[[str], None] = lambda _: None
    began: int = field(default_factory=facts.now)
    act: Act = Act(title="", text="")
    number: int = 0
    acts: int = 0
    faults: list[Fault] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    """Moments with a short label, for the time line."""

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return (facts.now() - self.began) / SECOND

    def begin(self, act: Act) -> None:
        """Go on to the next act."""
        self.act = act
        self.number += 1
        self.say(f"{act.title}. {act.text}")

    def mark(self, label: str) -> int:
        """Put a label on the time line; the moment."""
        moment = facts.now()
        self.marks.append((moment, label))
        return moment

    def say(self, text: str) -> None:
        """Tell what happened, in a line."""
        self.tell(f"{self.seconds:6.1f} s  {text}")
