"""The settings of one election, checked in one place before anything starts (L18)."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from kopf_leader.errors import SettingsError
from kopf_leader.protocol.record import MAX_DURATION

# client-go `tools/leaderelection/leaderelection.go`, `JitterFactor`: the rule between deadline and period uses it.
JITTER_FACTOR = 1.2
MAX_NAME = 253  # Kubernetes' bound for object names; we hold identities to it, too

Takeover = Literal["expiry", "evidence"]
TAKEOVERS = ("expiry", "evidence")
OWN_IDENTITY = (
    "The takeover is 'evidence' and an identity is given: leave one of them out, for proofs of death need the identity "
    "that is made here, anew for each process."
)

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_IDENTITY = re.compile(r"[!-~]+")  # visible ASCII: it is shown in logs, tables and events


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one candidate of one Lease goes by. All times are in seconds.

    Raises `SettingsError` with a sentence for each violated rule (L18). All candidates of a Lease should share
    `lease_duration` (L6).
    """

    name: str
    """The Lease's name, as in `--leader-election-id`."""
    namespace: str
    """The Lease's namespace."""
    identity: str
    """Who this process is: unique per process (L10), `<pod or host name>_<random>` by convention."""
    lease_duration: float = 15.0
    """How long a silent holder is waited for."""
    renew_deadline: float = 10.0
    """How long after the sending of its last accepted renewal a leader starts handlers."""
    retry_period: float = 2.0
    """The pause between two renewals, and between two attempts."""
    request_timeout: float | None = None
    """The longest that one request may take; None: half of the renew deadline, at least one second."""
    drain_timeout: float = 10.0
    """How long running handlers may go on after the gate has closed, before they are cancelled (L12)."""
    takeover: Takeover = "expiry"
    """What a holder that fell silent is taken over on: its expiry only, or a proof of its death as well (L6)."""
    priority: int = 0
    """Who shall lead: a candidate asks a holder of lower priority for the lead; equal ones leave each other alone."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Labels to put on the Lease; other labels are left alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))
        sentences = [*_check_names(self), *_check_numbers(self)]
        if not sentences:  # the inequalities mean something only between positive numbers
            sentences = [*_check_inequalities(self)]
        if sentences:
            raise SettingsError(sentences)

    @property
    def attempt_timeout(self) -> float:
        """The time-out of one request, in seconds (controller-runtime `leader_election.go`: half of the deadline)."""
        return self.request_timeout if self.request_timeout is not None else max(self.renew_deadline / 2, 1.0)

    @property
    def slack(self) -> float:
        """What lies between closing the gate and the earliest moment of anyone else, in seconds."""
        return self.lease_duration - self.renew_deadline

    @property
    def cancel_after(self) -> float:
        """When running handlers are cancelled, counted from T0: half of the slack is gone, in seconds."""
        return self.renew_deadline + self.slack / 2

    @property
    def exit_after(self) -> float:
        """When a process that still runs something exits, counted from T0: four fifths of the slack, in seconds."""
        return self.renew_deadline + self.slack * 4 / 5

    @property
    def last_grace(self) -> float:
        """What a stuck handler gets at most once somebody else may be at work (L8), in seconds."""
        return min(1.0, self.slack / 5)


def _check_names(settings: Settings) -> Iterator[str]:
    if not settings.name:
        yield "The leader election id is empty: name the Lease, with --leader-election-id for example."
    elif len(settings.name) > MAX_NAME or not _SUBDOMAIN.fullmatch(settings.name):
        yield (
            f"The leader election id {settings.name!r} is no valid name of a Lease: use at most {MAX_NAME} lower-case "
            "letters, digits, '-' and '.', beginning and ending with a letter or digit (DNS-1123)."
        )
    if not settings.namespace:
        yield "The leader election namespace is empty: pass --leader-election-namespace."
    elif not _LABEL.fullmatch(settings.namespace):
        yield (
            f"The leader election namespace {settings.namespace!r} is no valid name of a namespace: use at most 63 "
            "lower-case letters, digits and '-', beginning and ending with a letter or digit (DNS-1123)."
        )
    if not settings.identity:
        yield "The identity is empty: give each process one of its own, or leave it out to have one made."
    elif len(settings.identity) > MAX_NAME or not _IDENTITY.fullmatch(settings.identity):
        yield (
            f"The identity {settings.identity[:80]!r} cannot be used: at most {MAX_NAME} visible ASCII characters "
            "without spaces are allowed."
        )
    if settings.takeover not in TAKEOVERS:
        yield f"The takeover is {settings.takeover!r}: write 'expiry' or 'evidence'."


def _check_numbers(settings: Settings) -> Iterator[str]:
    for title, value in (
        ("lease duration", settings.lease_duration),
        ("renew deadline", settings.renew_deadline),
        ("retry period", settings.retry_period),
        ("request time-out", settings.request_timeout),
        ("drain time-out", settings.drain_timeout),
    ):
        if value is None:
            continue  # derived from the others
        if not (math.isfinite(value) and value > 0):
            yield f"The {title} is {value!r}: set it to a positive number of seconds."
        elif value > MAX_DURATION:
            yield f"The {title} is {value:g} s: set it to at most {MAX_DURATION} seconds."


def _check_inequalities(settings: Settings) -> Iterator[str]:
    lease, renew, retry = settings.lease_duration, settings.renew_deadline, settings.retry_period
    if lease < 1:
        yield f"The lease duration of {lease:g} s is below one second, the least that a Lease expresses: raise it."
    if not renew < lease:
        yield (
            f"The renew deadline ({renew:g} s) is not below the lease duration ({lease:g} s): lower the one or raise "
            "the other, or a leader would still be at work when the next one begins."
        )
    if not renew > JITTER_FACTOR * retry:
        yield (
            f"The renew deadline ({renew:g} s) is not above {JITTER_FACTOR:g} × the retry period ({retry:g} s): raise "
            "the one or lower the other, or a leader could not try to renew in time."
        )
    elif not retry + settings.attempt_timeout < renew:
        yield (
            f"The retry period ({retry:g} s) and one request time-out ({settings.attempt_timeout:g} s) leave no room "
            f"for another attempt before the renew deadline ({renew:g} s): lower the retry period or the request "
            "time-out."
        )
