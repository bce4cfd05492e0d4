"""No term, no start, no write.

A `Tenure` is a term as the gate runs it: the `Term` with its claim, and everything that runs under it. It travels in a
context variable, which asyncio and kopf hand on by themselves: from the job that handles an event to the handler, into
the thread of a synchronous handler, into the daemons and timers that the job spawns, and into every task that any of
them starts. So one look at the variable tells under which term a piece of code acts, however deep it is, and a piece
of work left over from an earlier term is never taken for the present one's.

Two questions are asked of it. May something *start* (a job, a handler)? Only before the gate has closed, and only
while the claim is valid by the clock (L7). May something be *written*? As long as the claim is valid: a handler that
finishes while the gate drains has its result stored, or the next leader would run it again.

What is raised inside kopf is a `asyncio.CancelledError`: every other exception makes kopf log a traceback, throttle
the object, or stop the operator. `NotLeader` is for the users' code only.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from kopf_leader.errors import NotLeader
from kopf_leader.protocol.term import Term

if TYPE_CHECKING:
    from kopf_leader.gate.tenure import Tenure

TENURE: ContextVar["Tenure | None"] = ContextVar("kopf_leader.tenure", default=None)
"""Under which term the code acts; None outside of any: start-up, log-in, webhooks, probes, streams."""

ON_EVERY_REPLICA: ContextVar[bool] = ContextVar("kopf_leader.on_every_replica", default=False)
"""Whether the code acts for a handler that is marked with `every_replica`."""


YOUTH = 1.0
"""How long a term is young, in seconds: many times what the API server takes to see a new holder."""

SOON = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""The pauses before retries in a young term, in seconds."""


class TermOver(asyncio.CancelledError):
    """The term is over, in the only words that kopf takes without a complaint. It never reaches users' code as such."""


def current_term() -> Term:
    """Give the term under which this handler, daemon, timer or hook runs, also in its threads and tasks.

    Raises `NotLeader` where there is none: in start-up and clean-up handlers, webhooks and probes, which run on every
    replica, and in handlers marked with `every_replica`. The term may be over already: `Term.check()` tells.
    """
    if ON_EVERY_REPLICA.get():
        raise NotLeader(
            "There is no term of leadership in a handler that is marked with every_replica, as it runs on the leader "
            "and on standbys alike: ask for the term in a handler without the mark."
        )
    tenure = TENURE.get()
    if tenure is None:
        raise NotLeader(
            "There is no term of leadership here, as this code runs on every replica: ask for the term in a handler "
            "of resources, in a daemon or in a timer."
        )
    return tenure.term


class Fence(Iterable[float]):
    """The user's `settings.networking.error_backoffs`, with a look at the term before each attempt.

    kopf asks for the next pause *before* every attempt of every request, the first included, and the setting may be
    any iterable: so a request of a term that is over is refused without a patch to kopf, and so is each retry. It
    does not know the method: reading is refused, too, which does no harm.

    While a term is young, retries come at once: behind the API server's own fence (docs/fencing.md) the first write may
    be refused, for some milliseconds, until the API server has seen the new holder, and kopf retries a 403. It does not
    tell why it retries, so that other errors are retried as soon. Then the user's pauses follow.
    """

    def __init__(self, backoffs: float | Iterable[float]) -> None:
        self.backoffs = backoffs

    def __iter__(self) -> Iterator[float]:
        for pause in SOON:
            if not young():
                break
            _check_write()
            yield pause
        for pause in self.backoffs if isinstance(self.backoffs, Iterable) else (self.backoffs,):
            _check_write()
            yield pause
        _check_write()  # the last attempt has no pause after it


def put_fence(networking: Any) -> None:
    """Put it before the pauses in these settings of kopf's; with each term, as users may set them at any time."""
    if not isinstance(networking.error_backoffs, Fence):
        networking.error_backoffs = Fence(networking.error_backoffs)


def young() -> bool:
    """Whether the code acts under a term that has just begun."""
    tenure = TENURE.get()
    return tenure is not None and tenure.term.clock() < tenure.began + YOUTH


def _check_write() -> None:
    tenure = TENURE.get()
    if tenure is not None and not tenure.may_write:
        tenure.counters.writes_refused += 1
        raise TermOver
