"""The election in Prometheus' terms: Go's two metrics under Go's names, and ours under `kopf_leader_`.

What happens is counted when the election tells of it; what is (a claim's rest, an age, who leads) is computed by the
clock when the metrics are read, so that it is true even if the election has died. Each HELP text says what to do.

Imports prometheus-client: the extra `metrics`. See `operations/site.py` for who imports this, and when.
"""

import platform
import threading
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple, Protocol

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from kopf_leader.elector.observer import Observer, Request, WatchEnd
from kopf_leader.operations.view import View
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Instant, Kind, Reason, State, StopLeading
from kopf_leader.protocol.term import Term

RENEWALS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
HANDOVERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30)
_OUTCOMES = {True: "refused", False: "unknown"}


class Figures(Protocol):
    """What the gate counts."""

    events_dropped: int
    handlers_cancelled: int
    starts_refused: int
    writes_refused: int
    writes_fenced: int


class _Counts:
    """What is counted as it happens. All of them are per Lease (`name`), as in Go."""

    def __init__(self) -> None:
        self.slowpath = Counter(
            "leader_election_slowpath",
            "Renewals that needed a read first, because the write before had no clear success (as in client-go). A few "
            "are harmless; when they rise, look at kopf_leader_api_errors_total and at who else edits the Lease.",
            ["name"],
            registry=None,
        )
        self.transitions = Counter(
            "kopf_leader_transitions",
            "Terms begun (to=leader, reason=acquired) and ended (to=standby, with the reason) by this process. Alert "
            "on renew_deadline, rival, deleted, denied and locked_out; resigned, asked and leaving are orderly.",
            ["name", "to", "reason"],
            registry=None,
        )
        self.renewals = Histogram(
            "kopf_leader_renew_duration_seconds",
            "From the decision to renew the Lease to the answer, by outcome. If the 99th percentile comes near to the "
            "request time-out, the API server is too slow for these timings: raise lease duration and renew deadline.",
            ["name", "outcome"],
            buckets=RENEWALS,
            registry=None,
        )
        self.handovers = Histogram(
            "kopf_leader_handover_seconds",
            "From the sight of a released Lease to open handlers here. Above a second: look at the latency of the API "
            "server, at slow hooks of started_leading, and for what blocks the operator's event loop on a standby.",
            ["name"],
            buckets=HANDOVERS,
            registry=None,
        )
        self.unknown = Counter(
            "kopf_leader_unknown_outcomes",
            "Writes of the Lease of which nobody knows whether they landed (time-outs, broken connections, 5xx). They "
            "are resolved by reading; when they rise, look at the network and the load balancer before the API server.",
            ["name", "verb"],
            registry=None,
        )
        self.watches = Counter(
            "kopf_leader_watch_restarts",
            "Watches on the Lease opened anew, by reason. 'orderly' every five minutes is normal; 'broken' and 'deaf' "
            "mean slower takeovers: look at proxies and load balancers that cut or hold back idle connections.",
            ["name", "reason"],
            registry=None,
        )
        self.errors = Counter(
            "kopf_leader_api_errors",
            "Failed requests for the Lease, by verb and HTTP status ('timeout', 'none' for no answer). 409 on update "
            "is part of the game; 401 and 403 call for credentials and RBAC, 429 and 5xx for a look at the API server.",
            ["name", "verb", "code"],
            registry=None,
        )
        self.all = (
            self.slowpath, self.transitions, self.renewals, self.handovers, self.unknown, self.watches, self.errors,
        )  # fmt: skip


class Metrics(Observer):
    """An observer of the election and a collector for a registry of prometheus-client."""

    def __init__(self) -> None:
        self.figures: Figures | None = None
        self._counts = _Counts()
        self._name: str | None = None
        self._view: View | None = None
        self._lock = threading.Lock()
        self._released_at: float | None = None  # by time.monotonic(): the gate opens on another thread
        self._slow = False
        self._stopped: int | None = None

    def attend(self, settings: Settings, view: View) -> None:
        """Begin: the series exist from now on, at 0, so that their first increase is not missed."""
        self._name, self._view = settings.name, view
        name, counts = settings.name, self._counts
        counts.slowpath.labels(name)
        counts.transitions.labels(name, "leader", "acquired")
        for reason in Reason:
            counts.transitions.labels(name, "standby", reason.name.lower())
        counts.renewals.labels(name, "accepted")
        counts.handovers.labels(name)
        for verb in ("create", "update"):
            counts.unknown.labels(name, verb)
        for end in WatchEnd:
            counts.watches.labels(name, end.name.lower())

    # What happens.

    def stepped(self, before: State, after: State, now: Instant) -> None:  # noqa: ARG002 (the observer's shape)
        self._look_for_release(before, after)
        if after.reign is None or after.closing is not None:
            self._slow = False
        elif before.read_after is None and after.read_after is not None:
            self._slow = True
        flight = after.flight
        if self._slow and flight is not None and flight is not before.flight and flight.kind is Kind.RENEW:
            self._slow = False
            self._counts.slowpath.labels(self._name).inc()

    def started(self, term: Term) -> None:  # noqa: ARG002 (likewise)
        self._counts.transitions.labels(self._name, "leader", "acquired").inc()

    def stopped(self, stop: StopLeading, state: State, now: Instant) -> None:  # noqa: ARG002 (likewise)
        if stop.token != self._stopped:  # else it is the same end, for a worse reason
            self._stopped = stop.token
            self._counts.transitions.labels(self._name, "standby", stop.reason.name.lower()).inc()

    def requested(self, request: Request) -> None:
        error, kind = request.error, request.kind
        refused = bool(getattr(error, "refused", False))
        if kind is Kind.RENEW:
            outcome = "accepted" if error is None else _OUTCOMES[refused]
            self._counts.renewals.labels(self._name, outcome).observe(request.seconds)
        if error is None or request.absent:
            return
        if kind is not None and not refused:
            self._counts.unknown.labels(self._name, request.verb).inc()
        self._counts.errors.labels(self._name, request.verb, request.code).inc()

    def watch_ended(self, end: WatchEnd, error: Exception | None = None) -> None:
        self._counts.watches.labels(self._name, end.name.lower()).inc()
        if end is WatchEnd.BROKEN and error is not None:
            code = Request(verb="watch", kind=None, seconds=0.0, error=error).code
            self._counts.errors.labels(self._name, "watch", code).inc()

    def opened(self) -> None:
        """The gate lets handlers start: the end of a handover, if the Lease was released for it. In any thread."""
        with self._lock:
            since, self._released_at = self._released_at, None
        if since is not None and self._name is not None:
            self._counts.handovers.labels(self._name).observe(time.monotonic() - since)

    def _look_for_release(self, before: State, after: State) -> None:
        if after.sight is before.sight:
            return
        released = after.sight is not None and after.sight.record.released
        if released and before.hold is None:  # somebody else's: one's own release hands nothing over to oneself
            self._released_at = time.monotonic()
        elif after.hold is None:
            self._released_at = None  # somebody else was faster

    # What is.

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield _build_info()
        if self._name is not None and self._view is not None:
            yield from self._gauges(self._name, self._view)
            for metric in self._counts.all:
                yield from metric.collect()
        yield from self._gate_counters()

    def describe(self) -> Iterable[Metric]:
        """For the registry: all names that ever come."""
        gauges = [gauge.family() for gauge in (_MASTER, _CLAIM, _AGE)]
        counted = [described for metric in self._counts.all for described in metric.describe()]
        return [_build_info(), *gauges, *counted, *self._gate_counters()]

    def _gauges(self, name: str, view: View) -> Iterator[Metric]:
        left = view.claim_left
        yield _MASTER.family(name, 1.0 if left > 0 else 0.0)
        yield _CLAIM.family(name, left)
        age = view.last_renewal_age
        yield _AGE.family(name, age) if age is not None else _AGE.family()

    def _gate_counters(self) -> Iterator[Metric]:
        figures = self.figures
        for attribute, text in _GATE.items():
            family = CounterMetricFamily(f"kopf_leader_{attribute}", text, labels=["name"])
            if figures is not None:
                family.add_metric([self._name or ""], getattr(figures, attribute))
            yield family


class _Gauge(NamedTuple):
    name: str
    help: str

    def family(self, lease: str | None = None, value: float = 0.0) -> GaugeMetricFamily:
        """With the value for one Lease, or without any."""
        family = GaugeMetricFamily(self.name, self.help, labels=["name"])
        if lease is not None:
            family.add_metric([lease], value)
        return family


_MASTER = _Gauge(
    "leader_election_master_status",
    "Whether this process is the leader of the Lease (1) or stands by (0), by its clock; group by name. A sum of 0 for "
    "longer than 1.5 lease durations: nobody leads, look at the candidates' logs. Scrapes of two processes that "
    "add up to 2 were made at different moments.",
)
_CLAIM = _Gauge(
    "kopf_leader_claim_remaining_seconds",
    "For how long handlers may start here without another renewal; 0 while standing by. A leader that comes below half "
    "of its renew deadline is about to step down: look at kopf_leader_api_errors_total.",
)
_AGE = _Gauge(
    "kopf_leader_last_renewal_age_seconds",
    "Seconds since this process sent its last accepted renewal; absent while it does not hold the Lease. Above two "
    "retry periods renewals fail: look at kopf_leader_api_errors_total and kopf_leader_renew_duration_seconds.",
)
_GATE = {
    "events_dropped": "Events that kopf had queued when the gate was closed; the next leader lists all objects anew, "
    "so nothing is to be done. Many of them mean that takeovers happen under load.",
    "handlers_cancelled": "Handlers cut off as a term ended; the next leader runs them again. If it rises with each "
    "update, raise the drain time-out (and the pod's grace period), or make the handlers shorter.",
    "starts_refused": "Handlers that were due when the term was over and did not start; the next leader runs them. If "
    "it rises without a handover, something blocks the event loop: see which handler.",
    "writes_refused": "Requests of kopf that were not sent because their term was over. If it rises, handlers outlive "
    "their terms: have them obey cancellation, and check kopf_leader.current_term() before slow side effects.",
    "writes_fenced": "Writes that the API server's fence (docs/fencing.md) refused to the leader here, seen in the "
    "answers to kopf and in what handlers raise. A few as a term begins are harmless; if it rises on, the leader is "
    "locked out: its log says why.",
}


def _build_info() -> InfoMetricFamily:
    text = "The versions at work, for comparing replicas: during an update two of them are normal, afterwards one is."
    labels = {
        "version": _version_of("kopf-leader"),
        "kopf_version": _version_of("kopf"),
        "python_version": platform.python_version(),
    }
    return InfoMetricFamily("kopf_leader_build", text, labels)


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # used without having been installed
        return "unknown"
