"""Taking hold of kopf, and letting go of it."""

from collections.abc import Callable
from typing import NamedTuple

from kopf_leader.errors import SettingsError
from kopf_leader.gate import seam
from kopf_leader.gate.conductor import MakeElection
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.operated import Operated
from kopf_leader.gate.rules import Rules
from kopf_leader.operations.site import Operations


class _Held(NamedTuple):
    gate: Gate
    uninstall: Callable[[], None]
    operations: Operations | None


_held: list[_Held] = []


def attach(*, make_election: MakeElection, rules: Rules, operations: Operations | None = None) -> Gate:
    """Gate every operator that is started in this process from now on.

    - `make_election`: called when an operator starts, with the gate and the operator's way to log in; its result is
      started, and told to leave at the end.
    - `operations`: what shows the people who run the process what goes on; opened here.

    Attaching again replaces what was attached, as long as no operator was started with it. Raises `UnsupportedKopf` if
    the installed kopf cannot be gated, and `SettingsError` if an operator was started already.
    """
    if _held and _held[-1].gate.used:
        sentence = "The election is enabled for an operator that has been started already: "
        raise SettingsError([sentence + "enable it once, before the operator starts."])
    detach()
    if rules.from_peering is not None:
        seam.check(peering=True)
    gate = Gate(make_election=make_election, rules=rules)
    if operations is None:
        _held.append(_Held(gate, seam.install(gate), None))
        return gate
    operations.open()
    try:
        uninstall = seam.install(Operated(gate, operations))
    except Exception:
        operations.close()
        raise
    _held.append(_Held(gate, uninstall, operations))
    return gate


def detach() -> None:
    """Leave kopf as it was; for tests. Does nothing if nothing is attached."""
    while _held:
        held = _held.pop()
        held.uninstall()
        if held.operations is not None:
            held.operations.close()
