"""What can be said about an operator's election: every option once, with its names and how it is read."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from kopf_leader.clients.choose import client_for
from kopf_leader.errors import SettingsError
from kopf_leader.operations.address import Address, parse_address
from kopf_leader.protocol.durations import parse_duration

# The words that click takes for booleans in environment variables; an empty variable counts as absent there and here.
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})
MAX_PRIORITY = 999_999_999  # nine digits: what is read back from the Lease (`protocol/record.py`, `asks_of`)


class Option(NamedTuple):
    """One option: its names in the three ways to say it, and how to read what was said."""

    name: str
    """The keyword of `enable()`, and the field of `Options`."""
    title: str
    """What sentences call it; the same words as in `protocol/settings.py`."""
    read: Callable[[Any, str], Any]
    """From what was said and a phrase that names it to the value; raises `SettingsError`."""
    flag: str | None = None
    """None: it is said in code only."""
    metavar: str | None = None
    help: str = ""

    @property
    def off(self) -> str | None:
        """The flag that says no, for what is either on or off."""
        if self.flag is None or self.read is not _boolean:
            return None
        return self.flag.replace("--enable-", "--no-enable-").replace("--leader-", "--no-leader-")

    @property
    def envvar(self) -> str | None:
        """The variable that click derives from the flag under kopf's prefix."""
        return None if self.flag is None else "KOPF_RUN_" + self.flag.removeprefix("--").replace("-", "_").upper()


def _boolean(said: Any, what: str) -> bool:
    if isinstance(said, bool):
        return said
    word = str(said).strip().lower()
    if word not in _TRUE | _FALSE:
        raise SettingsError([f"The {what} is {said!r}: write true or false."])
    return word in _TRUE


def _text(said: Any, what: str) -> str:
    if not isinstance(said, str):
        raise SettingsError([f"The {what} is {said!r}: write a text."])
    return said


def _duration(said: Any, what: str) -> float:
    if isinstance(said, bool) or not isinstance(said, (int, float, str)):
        raise SettingsError([f"The {what} is {said!r}: write seconds (15) or a text with units ('1m30s')."])
    return parse_duration(said, what=what)


def _either(*words: str) -> Callable[[Any, str], str]:
    def read(said: Any, what: str) -> str:
        if said not in words:
            raise SettingsError([f"The {what} is {said!r}: write {' or '.join(map(repr, words))}."])
        return str(said)

    return read


def _labels(said: Any, what: str) -> Mapping[str, str]:
    if not isinstance(said, Mapping) or not all(isinstance(text, str) for pair in said.items() for text in pair):
        raise SettingsError([f"The {what} are {said!r}: write a mapping of texts to texts."])
    return MappingProxyType(dict(said))


def _client(said: Any, what: str) -> Any:
    """What was given, as it is: it is made into a client where the Lease is known (`gate/candidate.py`)."""
    if isinstance(said, str) and said == "kopf":
        return None
    try:
        client_for(said, namespace="any", name="any", timeout=1.0)  # only to see whether it can be used
    except SettingsError as error:
        raise SettingsError(
            f"{text.removesuffix('.')} ({what}; 'kopf' is the default)." for text in error.sentences
        ) from None
    return said


def _priority(said: Any, what: str) -> int:
    try:
        priority = int(said) if isinstance(said, (int, str)) and not isinstance(said, bool) else None
    except ValueError:
        priority = None
    if priority is None or abs(priority) > MAX_PRIORITY:
        raise SettingsError([f"The {what} is {said!r}: write a whole number of at most nine digits."])
    return priority


def _address(said: Any, what: str) -> Address | None:
    return parse_address(said, what=what)


def _registry(said: Any, what: str) -> Any:
    if not all(callable(getattr(said, name, None)) for name in ("register", "unregister", "collect")):
        raise SettingsError([f"The {what} is {said!r}: pass a prometheus_client.CollectorRegistry."])
    return said


OPTIONS = {
    option.name: option
    for option in (
        Option(
            name="enabled",
            title="switch of the leader election",
            read=_boolean,
            flag="--enable-leader-election",
            help="Let one replica handle and the others stand by, or (the default) run alone.",
        ),
        Option(
            name="id",
            title="leader election id",
            read=_text,
            flag="--leader-election-id",
            metavar="NAME",
            help="The name of the Lease that the replicas compete for.",
        ),
        Option(
            name="namespace",
            title="leader election namespace",
            read=_text,
            flag="--leader-election-namespace",
            metavar="NAME",
            help="The Lease's namespace, if not the one of the pod or of the kubeconfig's context.",
        ),
        Option(
            name="identity",
            title="identity",
            read=_text,
            flag="--leader-election-identity",
            metavar="TEXT",
            help="Who this process is, unique per process; by default <pod or host name>_<random>.",
        ),
        Option(
            name="lease_duration",
            title="lease duration",
            read=_duration,
            flag="--leader-election-lease-duration",
            metavar="DURATION",
            help="How long a silent leader is waited for: 15, 15s, 1m30s; by default 15s.",
        ),
        Option(
            name="renew_deadline",
            title="renew deadline",
            read=_duration,
            flag="--leader-election-renew-deadline",
            metavar="DURATION",
            help="How long a leader that cannot renew goes on; by default 10s.",
        ),
        Option(
            name="retry_period",
            title="retry period",
            read=_duration,
            flag="--leader-election-retry-period",
            metavar="DURATION",
            help="The pause between renewals, and between attempts; by default 2s.",
        ),
        Option(
            name="request_timeout",
            title="request time-out",
            read=_duration,
            help="The longest that one request for the Lease may take.",
        ),
        Option(
            name="takeover",
            title="takeover",
            read=_either("expiry", "evidence"),
            flag="--leader-election-takeover",
            metavar="[expiry|evidence]",
            help="Take over when the Lease expires (the default), or at once on proof that the leader is dead as well.",
        ),
        Option(name="priority", title="priority", read=_priority, flag="--priority"),  # the flag is kopf's own
        Option(
            name="drain_timeout",
            title="drain time-out",
            read=_duration,
            flag="--leader-election-drain-timeout",
            metavar="DURATION",
            help="How long running handlers may go on when a leader steps down; by default 10s.",
        ),
        Option(
            name="stuck_timeout",
            title="stuck time-out",
            read=_duration,
            flag="--leader-election-stuck-timeout",
            metavar="DURATION",
            help="Exit when the operator's event loop has been blocked for so long; by default 5m.",
        ),
        Option(
            name="on_lost",
            title="action on a lost leadership",
            read=_either("standby", "exit"),
            flag="--leader-election-on-lost",
            metavar="[standby|exit]",
            help="Stand by again in the same process (the default), or exit.",
        ),
        Option(
            name="from_peering",
            title="grace of the migration from peering",
            read=_duration,
            flag="--leader-election-from-peering",
            metavar="DURATION",
            help="Migrate from kopf's --peering: start only when its peers have been gone for so long; their "
            "terminationGracePeriodSeconds.",
        ),
        Option(
            name="warm_standby",
            title="warm standby",
            read=_boolean,
            flag="--leader-election-warm-standby",
            help="Keep the watches of a standby open and its indices filled (the default), or list at each promotion.",
        ),
        Option(
            name="health_probe_bind_address",
            title="health probe bind address",
            read=_address,
            flag="--health-probe-bind-address",
            metavar="ADDRESS",
            help="Where to serve /healthz, /livez and /readyz: ':8081', 'host:port', or (the default) '0' for nowhere.",
        ),
        Option(
            name="metrics_bind_address",
            title="metrics bind address",
            read=_address,
            flag="--metrics-bind-address",
            metavar="ADDRESS",
            help="Where to serve /metrics: ':8080', 'host:port', or (the default) '0' for nowhere; the same as for "
            "health if you like.",
        ),
        Option(name="metrics_registry", title="metrics registry", read=_registry),
        Option(name="labels", title="labels of the Lease", read=_labels),
        Option(name="client", title="client", read=_client),
    )
}
