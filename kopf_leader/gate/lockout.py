"""A leader that may not write: the API server's fence (docs/fencing.md) refuses all that it tries.

It holds the Lease, and by the fence's rule somebody else does, or nobody: the policy goes by another Lease, the token
is bound to no pod or to one of another name, or the API server goes by an old state of the Lease. Such a leader is as
little use as one that cannot renew, and hides it better. So it is given the time that the other one has, the renew
deadline; then it gives the Lease back, says why in one sentence, and does not stand for a while, whoever leads: twice
as long with each time, for it may be that all replicas are locked out, and each of them runs every handler anew.

Heard are the answers to kopf's own requests, and what handlers raise. A write that is accepted shows that the fence is
open, but only where it has refused before: other resources may not be fenced at all. Refusals by RBAC are no business
of ours; the fence's are known by their words.
"""

import logging
import math
import re
from collections.abc import Callable

from kopf_leader.gate.counters import Counters
from kopf_leader.gate.noise import REFUSED
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.term import Term

logger = logging.getLogger("kopf_leader.gate")

LONGEST_AWAY = 300.0
"""For how many seconds it stands back at most: so long it takes at worst until a mended fence is noticed."""

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_MOST_ROUNDS = 64  # more make no difference; a float has no room for 2**1024, which a few days of refusals come to
_DEEPEST = 8  # exceptions behind an exception
_MOST_SAID = 400  # characters of a message that is not quite the policy's
_PLURAL = re.compile(r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/[^/]+(?=/))?/(?P<plural>[^/?]+)")
_SENTENCE = re.compile(
    rf"{REFUSED} (?P<lease>[^\s,]+) may write, and (?:nobody holds it|the holder is (?P<holder>[^\s;]+)); this write "
    r"(?:is by a token that is bound to no pod|comes from (?P<pod>[-a-z0-9.]+))"
)


class Lockout:
    """What the fence has said to one operator, over all its terms. On kopf's loop."""

    def __init__(self, *, patience: float, counters: Counters, give_up: Callable[[float], None]) -> None:
        """`patience`: seconds of refusals. `give_up(seconds)`: give the Lease back, and do not stand for so long."""
        self._patience = patience
        self._counters = counters
        self._give_up = give_up
        self._tenure: Tenure | None = None
        self._since = math.inf
        self._refused: dict[str, None] = {}  # what was refused since, in order
        self._told: Tenure | None = None
        self._rounds = 0
        self._gave_up_over: set[str] = set()  # what was refused in those rounds

    def answered(self, tenure: Tenure, *, method: str, path: str, error: Exception | None) -> None:
        """Kopf's request was answered, with this error if any."""
        if method in _WRITES and (error is not None or self._refused or self._rounds):
            self._heard(tenure, f"{method} {_resource(path)}", error)

    def handled(self, tenure: Tenure, handler_id: str, error: Exception | None) -> None:
        """A handler has ended, with this error if any: it may have written by a client of its own."""
        if error is not None or self._refused or self._rounds:
            self._heard(tenure, f"handler {handler_id!r}", error)

    def _heard(self, tenure: Tenure, what: str, error: Exception | None) -> None:
        said = None if error is None else fenced(error)
        if tenure is not self._tenure:
            self._tenure, self._since = tenure, math.inf
            self._refused.clear()
        if said is not None:
            self._refuse(tenure, what, said)
        elif error is None and (what in self._refused or what in self._gave_up_over):
            self._since, self._rounds = math.inf, 0
            self._refused.clear()
            self._gave_up_over.clear()

    def _refuse(self, tenure: Tenure, what: str, said: str) -> None:
        self._counters.writes_fenced += 1
        now = tenure.term.clock()
        self._since = min(self._since, now)
        self._refused[what] = None
        if now < self._since + self._patience or tenure.shut or tenure is self._told:
            return
        self._told = tenure
        lines = f"for {now - self._since:.0f} s all writes were refused ({', '.join(self._refused)}); {said}"
        if not tenure.term.lease:
            remedy = "this process handles without an election: enable it, or take the fence away"
            logger.error("Locked out by the API server's fence: %s; %s.", lines, remedy)
            return
        self._rounds = min(self._rounds + 1, _MOST_ROUNDS)
        self._gave_up_over.update(self._refused)
        away = min(self._patience * 2**self._rounds, LONGEST_AWAY)
        logger.error(
            "Locked out by the API server's fence, and giving the Lease back: %s; %s. Standing again in %.0f s.",
            lines, remedy_for(said, tenure.term), away,
            extra={"lease": tenure.term.lease, "identity": tenure.term.identity, "term": tenure.term.token},
        )  # fmt: skip
        self._give_up(away)


def fenced(error: BaseException | None) -> str | None:
    """What the fence has said, if that is what is behind this error, whatever client has raised it."""
    for _ in range(_DEEPEST):
        if error is None:
            break
        text = str(error)
        if (at := text.find(REFUSED)) >= 0:
            match = _SENTENCE.match(text, at)
            return plain(match[0] if match else text[at:], _MOST_SAID)
        error = error.__cause__ or error.__context__
    return None


def remedy_for(said: str, term: Term) -> str:
    """Whose fault it is, by what the fence has said to the holder of this term, and what to do."""
    match = _SENTENCE.match(said)
    if match is None:
        return "compare the policy with what kopf-leader manifest --fence prints"
    if match["lease"] != term.lease:
        return f"the policy goes by another Lease than this operator's, {term.lease}: make it anew for this one"
    if match["pod"] is None:
        return "the token is bound to no pod: let the kubelet mount it, or make it with --bound-object-kind Pod"
    if match["holder"] == term.identity:
        return f"the identity does not begin with the pod's name: set POD_NAME to {match['pod']}, by the downward API"
    return (
        "the API server goes by an old state of the Lease: if it lasts, restart it, or delete the policy's binding "
        "(docs/fencing.md, In an emergency)"
    )


def _resource(path: str) -> str:
    match = _PLURAL.search(path)
    if match is None:
        return path
    return f"{match['plural']}.{match['group']}" if match["group"] else match["plural"]
