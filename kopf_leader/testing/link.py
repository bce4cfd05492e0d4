"""The way between a candidate of the small world and its API server, and how its handlers behave."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fate:
    """What becomes of one write: seconds to the server and back; None: it never arrives."""

    request: float | None = 0.005
    reply: float | None = 0.005
    status: int | None = None
    """An answer that the server gives without looking at the write: 401, 403, 429, 500."""


@dataclass
class Link:
    """The way between one candidate and the API server. Times are true seconds."""

    request: float = 0.005
    reply: float = 0.005
    event: float = 0.005
    jitter: float = 0.0
    """Up to how much more each of the three takes."""
    lose_requests: bool = False
    lose_replies: bool = False
    quiet: bool = False
    """Watch events wait, and arrive when it ends (a half-open connection that recovers)."""
    broken: bool = False
    """No watch can be held open: the driver polls."""
    hold: bool = False
    """Writes stay in the network until `Candidate.deliver`, however long ago they were given up."""
    status: int | None = None
    """What the server answers to every write."""
    fates: deque[Fate] = field(default_factory=deque)
    """What becomes of the next writes, before the rules above apply again."""

    def cut(self) -> None:
        """Half-open: nothing passes in either direction, and nobody is told."""
        self.lose_requests = self.lose_replies = self.quiet = True


@dataclass(frozen=True)
class Work:
    """How handlers behave once the gate is closed. Times are local seconds."""

    finish: float = 0.0
    """How long they need to end by themselves."""
    obey: float = 0.0
    """How long they need to end when cancelled; inf: they are stuck."""
