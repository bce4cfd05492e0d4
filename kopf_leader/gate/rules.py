"""What the gate goes by, and the points in time that follow from it."""

import math
from dataclasses import dataclass
from typing import Literal

from kopf_leader.protocol.state import Reason, StopLeading
from kopf_leader.protocol.term import Term


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the gate goes by; times in seconds."""

    drain_timeout: float
    """How long running handlers may go on when the operator stops."""
    stuck_timeout: float
    """How long a leader's event loop may be blocked before the process is ended; inf for ever."""
    slack: float = 5.0
    """Lease duration minus renew deadline; needed only if the election itself dies while leading (L7)."""
    renew_deadline: float = 10.0
    """How long a leader goes on that cannot renew, or that the API server's fence lets write nothing."""
    on_lost: Literal["standby", "exit"] = "standby"
    """What a lost term (not a resigned one) means: `"exit"`: the operator stops."""
    warm_standby: bool = True
    """Whether streams stay open on a standby, so that its indices are filled and its promotion is quick."""
    from_peering: float | None = None
    """The grace of a migration from kopf's peering; None where there is none."""

    def stop_by_clock(self, term: Term, *, deadline: float, now: float) -> StopLeading:
        """The end of a term of which the election says nothing; its claim was last seen to end at `deadline` (L12)."""
        budget = now + self.drain_timeout
        return StopLeading(
            term.token,
            Reason.LEAVING if term.valid else Reason.RENEW_DEADLINE,
            min(deadline + self.slack / 2, budget),
            min(deadline + self.slack * 4 / 5, budget + self.slack / 5),
        )

    def time_for_release(self, stop: StopLeading | None, now: float) -> float:
        """Until the exit point: the election ends when the release is confirmed, or when it cannot be."""
        if stop is None or not math.isfinite(stop.exit_at):
            return self.slack
        return max(stop.exit_at - now, self.slack / 5)
