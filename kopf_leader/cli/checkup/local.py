"""What can be known without the API server: the installed kopf, the settings, who this process would be, and where."""

import socket
import sys
import time
from collections.abc import Iterable

from kopf_leader.cli.checkup.finding import Finding, fail, ok, warn
from kopf_leader.cli.lease.reach import Place, Where
from kopf_leader.clients.namespace import find_namespace
from kopf_leader.errors import SettingsError, UnsupportedKopf
from kopf_leader.gate import seam
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.gate.options import Layer, Options, Said, from_environment, merge
from kopf_leader.protocol.settings import Settings

TIMINGS = ("lease_duration", "renew_deadline", "retry_period")


def settings(place: Place, flags: Layer) -> tuple[Settings, list[Finding]]:
    """The settings that an operator would have here, by flags and environment; the defaults where they are wrong."""
    environment = from_environment(place.where.environ)
    said: Layer = {"id": Said(place.name, "ID"), "namespace": Said(place.namespace, "the way to the Lease")}
    enabled: Layer = {"enabled": Said(True, "kopf-leader doctor")}
    try:
        options = merge([flags, said, enabled, environment])
        found = options.settings(namespace=place.namespace, identity="anybody")
    except SettingsError as error:
        usual = Settings(name=place.name, namespace=place.namespace, identity="anybody")
        return usual, [fail("settings", "the settings break a rule", sentence) for sentence in error.sentences]
    findings = [ok("settings", ", ".join(_timing(options, name) for name in TIMINGS)), *_switch(environment)]
    return found, [*findings, _identity(options, place.where)]


def _timing(options: Options, name: str) -> str:
    return f"{OPTIONS[name].title} {getattr(options, name):g} s ({options.sources.get(name, 'default')})"


def _switch(environment: Layer) -> Iterable[Finding]:
    said = environment.get("enabled")
    if said is not None and not OPTIONS["enabled"].read(said.value, ""):
        yield warn("switch", f"{said.source} is {said.value}: an operator started here runs alone", "set it to true")


def _identity(options: Options, where: Where) -> Finding:
    """L10: unique per process."""
    if options.identity is not None:
        return warn(
            "identity",
            f"it is fixed by {options.source('identity')} as {options.identity}",
            "make sure that no two replicas have the same, or leave it out: then each process makes its own",
        )
    if pod := where.environ.get("POD_NAME"):
        return ok("identity", f"{pod}_<random>, from POD_NAME")
    return ok("identity", f"{socket.gethostname()}_<random>, from the host's name as POD_NAME is not set")


def kopf() -> Finding:
    """Whether the gate can take hold of the installed kopf."""
    try:
        seam.check()
    except UnsupportedKopf as error:
        return fail("kopf", f"kopf {seam.version()} cannot be gated", str(error))
    return ok("kopf", f"kopf {seam.version()} has all that the gate needs")


def clock() -> Finding:
    """L5: a clock that goes on while the machine is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return ok("clock", "CLOCK_BOOTTIME, which goes on while the machine is suspended")
    if sys.platform == "darwin":
        return ok("clock", "CLOCK_MONOTONIC, which goes on while a Mac is suspended")
    return warn(
        "clock",
        "CLOCK_MONOTONIC, which may stand still while the machine is suspended",
        "do not suspend a machine that leads, or run the operator on Linux",
    )


def namespace(place: Place) -> Finding:
    """Whether an operator that is started here would look for the Lease in the same place."""
    where = place.where
    if where.namespace is not None:
        return ok("namespace", f"{place.namespace}, as it was given")
    in_pod = (where.service_account / "namespace").is_file()
    if where.kubeconfig is not None or where.context is not None:
        return ok("namespace", f"{place.namespace}, from the kubeconfig's context that was named")
    try:
        operators = find_namespace(service_account_file=where.service_account / "namespace", environ=where.environ)
    except SettingsError as error:
        return warn("namespace", f"{place.namespace}; an operator that is started here finds none", str(error))
    source = "service account" if in_pod else "kubeconfig's current context"
    if operators != place.namespace:
        return warn(
            "namespace",
            f"{place.namespace}, but an operator that is started here would elect in {operators}, by the {source}",
            f"pass -n {operators} to look there, or --leader-election-namespace to the operator",
        )
    return ok("namespace", f"{place.namespace}, from the {source}")
