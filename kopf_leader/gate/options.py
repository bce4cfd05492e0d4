"""What an operator's election is configured with, and for each value where it comes from (`option_table`: the options).

There are three ways to say a value, and one order: flag > environment > code > default. A *layer* is what one of them
said, unread; `merge()` takes each value from the first layer that has it and reads only that one, so that a flag can
repair a bad variable. Every sentence about a bad value says where the value comes from.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from kopf_leader.errors import SettingsError
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.operations.address import Address
from kopf_leader.protocol.record import MAX_DURATION
from kopf_leader.protocol.settings import OWN_IDENTITY, Settings, Takeover

OnLost = Literal["standby", "exit"]

_DEFAULT = "the default"
DEV_PRIORITY = 666  # kopf `cli.py`, `--dev`
MIN_GRACE = 5.0  # seconds: the first keep-alive of an operator that has just started has to arrive within


class Said(NamedTuple):
    """A value as somebody said it, and where."""

    value: Any
    source: str


Layer = Mapping[str, Said]


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
