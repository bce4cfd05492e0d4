"""Is this process worth keeping (`/healthz`, `/livez`), and could it take over (`/readyz`)?

Neither depends on who leads: a standby is healthy and ready. If readiness meant leadership, a rolling update would wait
for a new replica to lead while the old one leads until the update has come to it. And an API server that does not
answer is no reason to restart anything: a leader stands by of its own accord then. So liveness fails only for what a
restart would mend: a term that has outlived its Lease, a dead election, a stuck event loop.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kopf_leader.elector.election import Election
from kopf_leader.operations.pulse import Pulse
from kopf_leader.operations.view import View
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.state import Wish

BEAT = 1.0  # seconds between two looks at the loops
ELECTION_BEATS = 20  # unanswered, after which the election's loop counts as stuck; client-go's health check allows 20 s


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check: `failure()` says what is wrong, in a few words that give nothing away, or None."""

    name: str
    failure: Callable[[], str | None]


class Health:
    """The checks of one process; what they look at is filled in as the operator starts. Any thread."""

    def __init__(self, *, stuck_timeout: float) -> None:
        """`stuck_timeout`: seconds for which kopf's event loop may be stuck."""
        self.election: Election | None = None
        self.view: View | None = None
        self.operator_pulse: Pulse | None = None
        self.election_pulse: Pulse | None = None
        self.unwatched: Callable[[], Iterable[str]] = list
        """The resources that the operator tries to watch in vain."""
        self.leaving = False
        self._stuck_timeout = stuck_timeout

    @property
    def live(self) -> tuple[Check, ...]:
        """What `/healthz` and `/livez` ask."""
        return (
            Check(name="ping", failure=lambda: None),
            Check(name="election", failure=self._election),
            Check(name="operator", failure=self._operator),
        )

    @property
    def ready(self) -> tuple[Check, ...]:
        """What `/readyz` asks: whether this process can take over."""
        return (
            *self.live,
            Check(name="startup", failure=lambda: "the operator is starting" if self.election is None else None),
            Check(name="lease", failure=self._lease),
            Check(name="streams", failure=self._streams),
            Check(name="shutdown", failure=lambda: "the operator is stopping" if self._is_leaving() else None),
        )

    def beat(self) -> None:
        """Feel the pulses; once a `BEAT`."""
        for pulse in (self.operator_pulse, self.election_pulse):
            if pulse is not None:
                pulse.beat()

    def _election(self) -> str | None:
        election, view = self.election, self.view
        if election is None or self.leaving:
            return None
        if view is not None and view.overdue > 0:
            return "the Lease is held and cannot be renewed, and its term has not ended in time"
        if not election.alive and not self._is_leaving():
            return "the election has died"
        if self.election_pulse is not None and self.election_pulse.missed >= ELECTION_BEATS:
            return "the election's event loop is stuck"
        return None

    def _operator(self) -> str | None:
        pulse = self.operator_pulse
        if pulse is not None and pulse.missed * BEAT >= self._stuck_timeout:
            return "the operator's event loop is stuck"
        return None

    def _lease(self) -> str | None:
        view = self.view
        if view is None:
            return None
        if not view.picture.state.known:
            return "the Lease has not been seen yet"
        if view.picture.state.denied_since is not None:
            return "the API server refuses to have the Lease written"
        if (away := view.picture.state.away_until - view.clock.time()) > 0:
            return f"locked out by the API server's fence while it led, it does not stand for another {away:.0f} s"
        if view.failing_for > view.settings.lease_duration:
            return f"every request for the Lease has failed for {view.failing_for:.0f} s, see the log"
        return None

    def _streams(self) -> str | None:
        names = ", ".join(self.unwatched())
        return f"what the operator handles cannot be watched, see the log: {names}" if names else None

    def _is_leaving(self) -> bool:
        return self.leaving or (self.view is not None and self.view.picture.state.wish is Wish.LEAVE)


@dataclass(frozen=True)
class Answer:
    """What an endpoint says, in Kubernetes' plain text."""

    healthy: bool
    text: str


def answer(checks: Iterable[Check], *, endpoint: str, verbose: bool = False, exclude: Iterable[str] = ()) -> Answer:
    """Ask the checks, without the excluded ones; the words are those of kube-apiserver's `/livez`.

    Reasons are given, as they have no secrets in them.
    """
    excluded, lines, healthy = set(exclude), [], True
    for check in checks:
        if check.name in excluded:
            excluded.discard(check.name)
            lines.append(f"[+]{check.name} excluded: ok")
        elif (failure := check.failure()) is None:
            lines.append(f"[+]{check.name} ok")
        else:
            healthy = False
            lines.append(f"[-]{check.name} failed: {failure.removesuffix('.')}")
    if excluded:
        names = ", ".join(f'"{plain(name)}"' for name in sorted(excluded))
        lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
    if healthy and not verbose:
        return Answer(healthy, "ok")
    lines.append(f"{endpoint} check {'passed' if healthy else 'failed'}")
    return Answer(healthy, "\n".join(lines) + "\n")
