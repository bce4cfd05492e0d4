"""Enabling the election for the operator of this process, whoever asks: code, environment or command line.

Kopf reads the command line first and then imports the handlers' modules, so by the time that any of the three ways
asks, flags and environment are known. Each of them calls `apply()`: it merges everything said so far, checks it, and
lets the gate take hold of kopf, before kopf starts. What it finds wrong it raises, as `SettingsError`. When the
operator starts, the gate asks for the election: only then are the identity made and the client opened.

Kopf is imported only when there is something to enable: it takes half a second, which `kopf-leader --version` and
modules that only name `kopf_leader` need not pay.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar, Unpack

import click
from click.core import ParameterSource

from kopf_leader.errors import SettingsError, UnsupportedKopf
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.gate.options import (
    DEV_PRIORITY,
    Layer,
    OnLost,
    Options,
    Said,
    differences,
    from_code,
    from_environment,
    merge,
)
from kopf_leader.gate.refusals import told
from kopf_leader.gate.rules import Rules
from kopf_leader.protocol.settings import Takeover

FLAGS = "kopf_leader.flags"
"""Where `kopf-leader run` leaves its layer of flags in click's context, which is the command's own."""

Function = TypeVar("Function", bound=Callable[..., object])


class Asked(TypedDict, total=False):
    """The keywords of `enable()`."""

    namespace: str | None
    identity: str | None
    lease_duration: float | str | None
    renew_deadline: float | str | None
    retry_period: float | str | None
    request_timeout: float | str | None
    takeover: Takeover | None
    priority: int | None
    drain_timeout: float | str | None
    stuck_timeout: float | str | None
    on_lost: OnLost | None
    from_peering: float | str | None
    warm_standby: bool | None
    health_probe_bind_address: str | None
    metrics_bind_address: str | None
    metrics_registry: Any
    labels: Mapping[str, str] | None
    client: Any
    enabled: bool | None


class _Process:
    """What has been asked of this process so far. One process runs one operator's election."""

    def __init__(self) -> None:
        self.code: Layer = {}
        self.implied: Layer = {}
        self.options: Options | None = None


_process = _Process()


def enable(id: str | None = None, **asked: Unpack[Asked]) -> None:  # noqa: A002 (the flag's name)
    """Let the replicas of this operator elect a leader; the others stand by. The same as `--enable-leader-election`.

    Call it when the handlers' module is imported, before the operator starts. A flag or an environment variable
    (`--leader-election-lease-duration`, `KOPF_RUN_LEADER_ELECTION_LEASE_DURATION`, …) overrides each value given here,
    and `--no-enable-leader-election` the call as a whole.

    - `id`: the name of the Lease that the replicas compete for.
    - `namespace`: the Lease's namespace; by default the pod's, or the one of the kubeconfig's context.
    - `identity`: who this process is, unique per process; by default `<pod or host name>_<random>`.
    - `lease_duration`, `renew_deadline`, `retry_period`, `request_timeout`: seconds, or texts like `'1m30s'`; by
      default 15, 10, 2 and half of the renew deadline (L18).
    - `takeover`: `'expiry'`, to wait for a silent leader's Lease to expire (the default), or `'evidence'`, to take over
      at once where there is proof that its process is dead (docs/takeover.md).
    - `priority`: a candidate asks a leader of lower priority for the lead; by default 0. `--priority N` and `--dev`
      (666) of `kopf run` set it as well.
    - `drain_timeout`: seconds that running handlers may go on for when a leader steps down; by default 10.
    - `stuck_timeout`: seconds that the operator's event loop may be blocked for before a leader exits; by default 300.
    - `on_lost`: `'standby'`, to stand by again in the same process, or `'exit'`.
    - `from_peering`: migrate from kopf's peering: how long to wait after the last of its peers; by default, there is no
      migration, and peering is refused (docs/migrating-from-peering.md).
    - `warm_standby`: False to have a standby watch nothing, and list everything when it becomes the leader; by default
      its watches stay open and its indices filled.
    - `health_probe_bind_address`, `metrics_bind_address`: where to serve `/healthz`, `/livez`, `/readyz`, and
      `/metrics`: `':8081'`, `'127.0.0.1:8081'`, or (the default) `'0'` for nowhere. Both may be the same.
    - `metrics_registry`: a `prometheus_client.CollectorRegistry` for the metrics, also where no address serves them; by
      default prometheus-client's own.
    - `labels`: labels to put on the Lease.
    - `client`: how to reach the Lease, which may live in another cluster than the operator's objects: `'kopf'` (the
      default: kopf's credentials over aiohttp); an object of another library (an `ApiClient` or `Configuration` of
      `kubernetes.client` or `kubernetes.aio.client`, `pykube.HTTPClient` or `KubeConfig`), or its name,
      `'kubernetes'`, `'kubernetes.aio'` or `'pykube'`, for the configuration that it finds by itself; or a callable
      that returns a `LeaseClient`.
    - `enabled`: False to run alone, through the same code path (L19).

    Raises `SettingsError` for values that break a rule, and for a second call that says something else; and
    `UnsupportedKopf` when the installed kopf cannot be gated.
    """
    _ask("enable", {"id": id, **asked})


def elect(id: str | None = None, **asked: Unpack[Asked]) -> Callable[[Function], Function]:  # noqa: A002 (see above)
    """Do the same as `enable()`, as a decorator for a startup handler; the function is left as it is.

    Decorating enables: it does not matter when, or whether, the handler runs. Raises as `enable()` does.
    """
    _ask("elect", {"id": id, **asked})

    def decorator(function: Function) -> Function:
        return function

    return decorator


def imply() -> None:
    """Let the environment enable the election: what importing `kopf_leader.auto` means. Raises as `enable()` does."""
    _process.implied = {"enabled": Said(True, "kopf_leader.auto")}  # below code: `enable(enabled=False)` is said louder
    apply()


def apply() -> Options:
    """Merge what has been said so far, check it, and take hold of kopf accordingly; again when more has been said.

    Raises `SettingsError` or `UnsupportedKopf`; nothing is sent to any server before the operator starts.
    """
    context = _running_command()
    flags: Layer = {} if context is None else {**_kopfs_priority(context), **context.meta.get(FLAGS, {})}
    options = merge([flags, from_environment(os.environ), _process.code, _process.implied])
    if context is not None and options.enabled:  # an operator is about to start here, not only a test of handlers
        _refuse_peering(context, options)
        from kopf_leader.gate.candidate import locate  # noqa: PLC0415 (imports kopf: see above)

        locate(options)
    if options != _process.options:
        _attach(options)
        _process.options = options
    return options


def _ask(call: str, given: Mapping[str, Any]) -> None:
    if unexpected := given.keys() - OPTIONS.keys():
        raise TypeError(f"{call}() got an unexpected keyword argument {min(unexpected)!r}")
    enabled = True if given.get("enabled") is None else given["enabled"]
    code = from_code({**given, "enabled": enabled}, call=call)
    if different := [*differences(_process.code, code)]:
        sentence = f"The election of this operator is enabled twice and differently ({'; '.join(different)}): "
        raise SettingsError([sentence + "enable it once, as one process stands for one Lease."])
    before, _process.code = _process.code, {**code, **_process.code}
    try:
        apply()
    except Exception as error:
        _process.code = before
        if _running_command() is not None and isinstance(error, (SettingsError, UnsupportedKopf)):
            raise told(error) from None
        raise


def _running_command() -> click.Context | None:
    """The context of the `kopf run` or `kopf-leader run` that is importing the handlers in this thread, if any."""
    context = click.get_current_context(silent=True)
    return context if context is not None and "peering_name" in context.params else None


def _kopfs_priority(context: click.Context) -> Layer:
    """What kopf's own flags say about the priority; they mean the election's where there is one."""
    if context.params.get("dev"):
        return {"priority": Said(DEV_PRIORITY, _source(context, "dev"))}
    if context.params.get("priority") is not None:
        return {"priority": Said(context.params["priority"], _source(context, "priority"))}
    return {}


def _source(context: click.Context, name: str) -> str:
    """How a parameter of the running command was said: its flag or its variable."""
    parameter = next(parameter for parameter in context.command.params if parameter.name == name)
    if context.get_parameter_source(name) is ParameterSource.ENVIRONMENT:
        return str(parameter.envvar or f"{context.auto_envvar_prefix}_{name}".upper())
    return max(parameter.opts, key=len)


def _refuse_peering(context: click.Context, options: Options) -> None:
    """Peering and election would each pause the operator for reasons of their own: refuse both, but for a migration."""
    migration = OPTIONS["from_peering"].flag
    if context.params.get("standalone"):
        if options.from_peering is not None:
            said = options.source("from_peering")
            sentence = f"A migration from peering ({said}) is asked for together with {_source(context, 'standalone')}"
            raise SettingsError([f"{sentence}, which switches peering off: drop one of them."])
        return  # kopf ignores the other flags then
    if context.params.get("peering_name") is not None and options.from_peering is None:
        said = _source(context, "peering_name")
        sentence = (
            f"Peering ({said}) and leader election (on by {options.source('enabled')}) cannot be combined: drop "
            f"{said}, or {_way_out(options)}, or migrate from one to the other with {migration}."
        )
        raise SettingsError([sentence])


def _way_out(options: Options) -> str:
    """How to switch the election off, as an order: undo what switched it on."""
    source = options.source("enabled")
    if source.startswith("--"):
        return f"drop {source}"
    if source.startswith("KOPF_"):
        return f"set {source}=false"
    return f"set {OPTIONS['enabled'].envvar}=false"


def _attach(options: Options) -> None:
    """Let the gate take hold of kopf; it asks for the election when the operator starts."""
    from kopf_leader.gate.attach import attach  # noqa: PLC0415 (imports kopf: see above)
    from kopf_leader.gate.candidate import stand  # noqa: PLC0415 (likewise)
    from kopf_leader.operations.site import Operations  # noqa: PLC0415 (imports aiohttp)

    operations = Operations(
        health_at=options.health_probe_bind_address,
        metrics_at=options.metrics_bind_address,
        registry=options.metrics_registry,
        stuck_timeout=options.stuck_timeout,
        early=_running_command() is not None,  # a port in use is known before kopf starts
    )
    rules = Rules(
        drain_timeout=options.drain_timeout,
        stuck_timeout=options.stuck_timeout,
        slack=options.lease_duration - options.renew_deadline,
        renew_deadline=options.renew_deadline,
        on_lost=options.on_lost,
        warm_standby=options.warm_standby,
        from_peering=options.from_peering if options.enabled else None,
    )
    attach(make_election=functools.partial(stand, options, operations=operations), rules=rules, operations=operations)
