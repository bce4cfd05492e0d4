"""Taking hold of kopf, and letting go of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kopf_leader.errors import SettingsError
from kopf_leader.gate import seam
from kopf_leader.gate.conductor import MakeElection
from kopf_leader.gate.gate import Gate
from kopf_leader.gate.operated import Operated
from kopf_leader.gate.rules import Rules
from kopf_leader.operations.site import Operations


@dataclass
class _Held:
    gate: Gate
    uninstall: Callable[[], None]
    operations: Operations | None


_held: list[_Held] = []


def attach(
    *,
    make_election: MakeElection,
    drain_timeout: float,
    stuck_timeout: float,
    on_lost: Literal["standby", "exit"] = "standby",
    slack: float = 5.0,
    from_peering: float | None = None,
    warm_standby: bool = True,
    operations: Operations | None = None,
) -> Gate:
    """Gate every operator that is started in this process from now on. All times are in seconds.

    - `make_election`: called when an operator starts, with the gate and the operator's way to log in; its result is
      started, and told to leave at the end.
    - `drain_timeout`: how long running handlers may go on when the operator stops.
    - `stuck_timeout`: how long a leader's event loop may be blocked before the process is ended; inf for ever.
    - `on_lost`: what a lost term (not a resigned one) means: `"standby"`, or `"exit"`: the operator stops.
    - `slack`: lease duration minus renew deadline; needed only if the election itself dies while leading (L7).
    - `from_peering`: the grace of a migration from kopf's peering; None where there is none.
    - `warm_standby`: whether streams stay open on a standby, so that its indices are filled and its promotion is quick.
    - `operations`: what shows the people who run the process what goes on; opened here.

    Attaching again replaces what was attached, as long as no operator was started with it. Raises `UnsupportedKopf` if
    the installed kopf cannot be gated, and `SettingsError` if an operator was started already.
    """
    if _held and _held[-1].gate.used:
        sentence = "The election is enabled for an operator that has been started already: "
        raise SettingsError([sentence + "enable it once, before the operator starts."])
    detach()
    if from_peering is not None:
        seam.check(peering=True)
    rules = Rules(
        drain_timeout=drain_timeout,
        slack=slack,
        stuck_timeout=stuck_timeout,
        on_lost=on_lost,
        from_peering=from_peering,
        warm_standby=warm_standby,
    )
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
