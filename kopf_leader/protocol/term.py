"""A term of leadership as the code that runs in it sees it: a claim that expires by the clock (L7, L9)."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from kopf_leader.errors import NotLeader

TERM = "kopf-leader/term"
"""The annotation that tells in which term an object was written: its token."""

MANAGED = "kopf-leader/kopf-managed"
"""Kopf's own mark for annotations that are no change to be handled: it goes for all that begin with `kopf-leader/`."""


@dataclass
class Claim:
    """Until when a term may act: one number, written by the election's thread, read by every other.

    An attribute of a Python object is read and written atomically, so this needs no lock. When the thread that moves
    the deadline dies, the claim runs out by itself (L7).
    """

    deadline: float = -inf
    """T0 + renew_deadline, in seconds on the election's clock; -inf once the term is over."""
    lapsed: bool = False
    """Whether anybody has found it run out: then it stays so, though a renewal be confirmed late after that (L9).

    Set by whoever looks, before it tells what it has found, and never taken back.
    """


@dataclass(frozen=True, kw_only=True)
class Term:
    """One uninterrupted hold of the Lease (L9); once over it never comes back.

    `token` is the fencing token: the resourceVersion of the acquiring write. It only grows from term to term, unlike
    `leaseTransitions`, which starts anew when a Lease is deleted. Pass it on to systems that can refuse older ones.
    """

    lease: str
    """`namespace/name` of the Lease."""
    identity: str
    token: int
    claim: Claim = field(repr=False, compare=False)
    clock: Callable[[], float] = field(repr=False, compare=False)

    @property
    def valid(self) -> bool:
        """Whether this term may still act, by the clock, now (L7). Once False, it is never True again (L9)."""
        if not self.claim.lapsed and self.clock() < self.claim.deadline:
            return True
        self.claim.lapsed = True
        return False

    def remaining(self) -> float:
        """The seconds that are left if no further renewal succeeds; 0.0 when the term is over."""
        return max(0.0, self.claim.deadline - self.clock()) if self.valid else 0.0

    def check(self) -> None:
        """Raise `NotLeader` when the term is over. Call it before a step that must not happen twice."""
        if not self.valid:
            raise NotLeader(
                f"The term {self.token} of {self.identity!r} on the Lease {self.lease} is over: stop this work, "
                "the next leader takes it up."
            )

    def annotate(self, target: MutableMapping[str, Any]) -> None:
        """Have an object tell which term has written it: put the token into its annotation `kopf-leader/term`.

        `target` is kopf's `patch`, or the body of an object that the handler makes or applies itself. To kopf, this is
        no change of the object: no handler is called for it.
        """
        for name in ("metadata", "annotations"):
            if target.get(name) is None:
                target[name] = {}
            target = target[name]
        target.update({TERM: str(self.token), MANAGED: "yes"})
