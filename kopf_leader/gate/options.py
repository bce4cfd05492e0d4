"""What an operator's election is configured with: every option once, and for each value where it comes from.

There are three ways to say a value, and one order: flag > environment > code > default. A *layer* is what one of them
said, unread; `merge()` takes each value from the first layer that has it and reads only that one, so that a flag can
repair a bad variable. Every sentence about a bad value says where the value comes from.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from kopf_leader.clients.choose import client_for
from kopf_leader.errors import SettingsError
from kopf_leader.operations.address import Address, parse_address
from kopf_leader.protocol.durations import parse_duration
from kopf_leader.protocol.record import MAX_DURATION
from kopf_leader.protocol.settings import OWN_IDENTITY, Settings, Takeover

OnLost = Literal["standby", "exit"]

# The words that click takes for booleans in environment variables; an empty variable counts as absent there and here.
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})
_DEFAULT = "the default"
DEV_PRIORITY = 666  # kopf `cli.py`, `--dev`
MIN_GRACE = 5.0  # seconds: the first keep-alive of an operator that has just started has to arrive within
MAX_PRIORITY = 999_999_999  # nine digits: what is read back from the Lease (`protocol/record.py`, `asks_of`)


@dataclass(frozen=True)
class Said:
    """A value as somebody said it, and where."""

    value: Any
    source: str


Layer = Mapping[str, Said]


@dataclass(frozen=True, kw_only=True)
class Option:
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options in force. Times are in seconds; None: still to be found (namespace), made (identity), derived."""

    enabled: bool = False
    id: str | None = None
    namespace: str | None = None
    identity: str | None = None
    lease_duration: float = Settings.lease_duration
    renew_deadline: float = Settings.renew_deadline
    retry_period: float = Settings.retry_period
    request_timeout: float | None = None
    takeover: Takeover = "expiry"
    priority: int = Settings.priority
    drain_timeout: float = Settings.drain_timeout
    stuck_timeout: float = 300.0
    """How long kopf's event loop may be blocked before a leader exits."""
    on_lost: OnLost = "standby"
    from_peering: float | None = None
    """How long to wait after the last of kopf's peers, in a migration."""
    warm_standby: bool = True
    health_probe_bind_address: Address | None = None
    metrics_bind_address: Address | None = None
    metrics_registry: Any = None
    """None: prometheus-client's default one, where metrics are asked for at all."""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    client: Any = field(default=None, hash=False)
    """As given: an object or the name of a library, or a callable. None: kopf's credentials over aiohttp."""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    """Where each value that is not a default comes from."""

    def source(self, name: str) -> str:
        """Where the value of this option comes from, in words."""
        return self.sources.get(name, _DEFAULT)

    def settings(self, *, namespace: str, identity: str) -> Settings:
        """The election's settings (L18). Raises `SettingsError`; each sentence says where the values come from."""
        if self.id is None:
            sentence = (
                f"The leader election (on by {self.source('enabled')}) has no id: name the Lease with "
                f"{OPTIONS['id'].flag}, {OPTIONS['id'].envvar} or kopf_leader.enable('my-operator')."
            )
            raise SettingsError([sentence])
        shared = {f.name for f in fields(Settings)} & {f.name for f in fields(self)}
        values = {name: getattr(self, name) for name in shared}
        try:
            return Settings(name=self.id, **(values | {"namespace": namespace, "identity": identity}))
        except SettingsError as error:
            raise SettingsError(self._attributed(sentence) for sentence in error.sentences) from None

    def check(self) -> None:
        """Check all that can be known without a look at the machine. Raises `SettingsError`."""
        if not 0 < self.stuck_timeout <= MAX_DURATION:
            sentence = f"The stuck time-out is {self.stuck_timeout:g} s: set it to a positive number of seconds."
            raise SettingsError([self._attributed(sentence)])
        if self.from_peering is not None and not MIN_GRACE <= self.from_peering <= MAX_DURATION:
            sentence = (
                f"The grace of the migration from peering is {self.from_peering:g} s: set it to the old pods' "
                f"terminationGracePeriodSeconds, and to {MIN_GRACE:g} s at least."
            )
            raise SettingsError([self._attributed(sentence)])
        if self.enabled and self.takeover == "evidence" and self.identity is not None:
            raise SettingsError([self._attributed(OWN_IDENTITY)])
        if self.enabled:
            self.settings(
                namespace="default" if self.namespace is None else self.namespace,
                identity="any" if self.identity is None else self.identity,
            )
        elif not 0 < self.drain_timeout <= MAX_DURATION:
            sentence = f"The drain time-out is {self.drain_timeout:g} s: set it to a positive number of seconds."
            raise SettingsError([self._attributed(sentence)])

    def _attributed(self, sentence: str) -> str:
        """The sentence, with the sources of the values that it speaks of."""
        begin = sentence.lower()
        spoken = [
            f"{option.title} from {self.sources[name]}" if name in self.sources else f"{option.title} by default"
            for name, option in OPTIONS.items()
            if option.title in begin and getattr(self, name) is not None
        ]
        return f"{sentence.removesuffix('.')} ({', '.join(spoken)})." if spoken else sentence


def from_flags(given: Mapping[str, Any]) -> Layer:
    """What the command line said, by the options' names; None means that it said nothing."""
    return {name: Said(value, _flag_as_written(name, value)) for name, value in given.items() if value is not None}


def from_environment(environment: Mapping[str, str]) -> Layer:
    """What the environment variables say; an empty one says nothing, as in click."""
    named = {name: option.envvar for name, option in OPTIONS.items() if option.envvar is not None}
    return {name: Said(environment[envvar], envvar) for name, envvar in named.items() if environment.get(envvar)}


def from_code(given: Mapping[str, Any], *, call: str = "enable") -> Layer:
    """What a call in the operator's code said, by the options' names; None means that it said nothing."""
    return {
        name: Said(value, f"{call}({'' if name == 'enabled' and value is True else f'{name}=…'})")
        for name, value in given.items()
        if value is not None
    }


def merge(layers: Iterable[Layer]) -> Options:
    """Take each value from the first layer that has it. Raises `SettingsError` with a sentence for each unreadable."""
    chosen: dict[str, Said] = {}
    for layer in layers:
        chosen = {**layer, **chosen}
    values: dict[str, Any] = {}
    sentences: list[str] = []
    for name, said in chosen.items():
        option = OPTIONS[name]
        try:
            values[name] = option.read(said.value, f"{option.title} (from {said.source})")
        except SettingsError as error:
            sentences += error.sentences
    if sentences:
        raise SettingsError(sentences)
    options = Options(**values, sources={name: said.source for name, said in chosen.items()})
    options.check()
    return options


def differences(ours: Layer, theirs: Layer) -> Iterator[str]:
    """The options that two layers say differently, in words."""
    for name, option in OPTIONS.items():
        if name in ours and name in theirs and ours[name].value != theirs[name].value:
            yield f"the {option.title} {ours[name].value!r} and {theirs[name].value!r}"


def _flag_as_written(name: str, value: Any) -> str:
    option = OPTIONS[name]
    return (option.off if value is False else None) or option.flag or name
