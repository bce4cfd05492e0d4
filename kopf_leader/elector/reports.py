"""What an election says in the log: one line for each change of state, and nothing for what goes as it should.

Troubles that last are said once a minute at most, each with what to do about it. The lines carry their subjects as
fields too (`lease`, `identity`, `holder`, `term`, `reason`), which kopf's JSON log format shows beside the message.
"""

import logging

from kopf_leader.elector.clock import Clock
from kopf_leader.elector.observer import Observer, Request, WatchEnd
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.plan import free_at
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Instant, Reason, State, StopLeading, Wish
from kopf_leader.protocol.term import Term

logger = logging.getLogger("kopf_leader")

ONCE_A_MINUTE = 60.0
ORDERLY = (Reason.RESIGNED, Reason.ASKED, Reason.LEAVING)
"""Why a term may end with nothing wrong."""


class Reporter(Observer):
    """Turns what it is told into log lines."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lease = f"{settings.namespace}/{settings.name}"
        self._said: dict[str, float] = {}
        self._failing = False
        self._failure: Exception | None = None
        self._holder: str | None = None

    def started(self, term: Term) -> None:
        line = "Became leader: %s holds the Lease %s, term %d."
        logger.info(line, term.identity, self._lease, term.token, extra=self._fields(term=term.token))

    def stopped(self, stop: StopLeading, state: State, now: Instant) -> None:
        logger.log(
            logging.INFO if stop.reason in ORDERLY else logging.WARNING,
            "Stops leading: %s (Lease %s, identity %s, term %d). Handlers may finish for %.1f s, are gone in %.1f s.",
            self._explain(stop, state, now),
            self._lease,
            self._settings.identity,
            stop.token,
            max(0.0, stop.cancel_at - now.at),
            max(0.0, stop.exit_at - now.at),
            extra=self._fields(term=stop.token, reason=stop.reason.name.lower(), holder=_holder_of(state)),
        )

    def stepped(self, before: State, after: State, now: Instant) -> None:
        if after.sight is not before.sight or after.known != before.known:
            self._tell_holder(after)
        if before.hold is None and after.hold is not None and after.hold.start_at > now.at:
            wait = after.hold.start_at - now.at
            logger.info(
                "Created the Lease %s. Whoever held an earlier one may still be at work, so leading begins in %.1f s. "
                "A Lease created beforehand, as the chart does, is taken at once.",
                self._lease,
                wait,
                extra=self._fields(),
            )
        if after.wish is Wish.STAND and after.hold is None and after.sight is not None:
            self._explain_wait(after, now)

    def requested(self, request: Request) -> None:
        if request.error is None or request.absent:
            self._recovered()
            if request.kind is not None:
                self._failure = None
        else:
            self._failure = request.error
            self._failed(request.error)

    def watch_ended(self, end: WatchEnd, error: Exception | None = None) -> None:
        if error is None or not self._denied(error):
            level = logging.DEBUG
            what = end.value if error is None else f"{end.value}: {describe(error)}"
            logger.log(level, "The watch on the Lease %s is opened again, %s.", self._lease, what.removesuffix("."))

    def logging_in(self, error: LeaseAPIError) -> None:
        logger.info("Logging in again, the API server refused the credentials for the Lease %s: %s", self._lease, error)

    def _explain(self, stop: StopLeading, state: State, now: Instant) -> str:
        """Why, in one line that needs no other to be understood."""
        if stop.reason is Reason.RIVAL and (holder := _holder_of(state)):
            return f"{stop.reason.value}, {holder}" if holder != self._settings.identity else stop.reason.value
        if stop.reason in (Reason.RENEW_DEADLINE, Reason.DENIED) and state.reign is not None:
            last = "no request has failed" if self._failure is None else describe(self._failure).removesuffix(".")
            silence = now.at - state.reign.t0
            return f"{stop.reason.value}: no renewal accepted for {silence:.1f} s, last error: {last}"
        return stop.reason.value

    def _fields(self, **more: object) -> dict[str, object]:
        return {"lease": self._lease, "identity": self._settings.identity, **more}

    def _denied(self, error: Exception) -> bool:
        """Say which right is missing, if that is what it is: the person who can add it must learn of it."""
        denied = isinstance(error, LeaseAPIError) and error.denied
        if denied:
            self._seldom("denied", logging.ERROR, "%s", error)
        return denied

    def _failed(self, error: Exception) -> None:
        """A request failed: refusals have a remedy, the rest is said once until it is over."""
        if self._denied(error):
            return
        if isinstance(error, LeaseAPIError) and error.refused:
            logger.debug("Refused on the Lease %s: %s", self._lease, error)  # 404 and 409 are part of the game
        elif not self._failing:
            self._failing = True
            logger.warning(
                "Requests for the Lease %s fail: %s Trying again.", self._lease, describe(error), extra=self._fields()
            )
        else:
            logger.debug("Requests for the Lease %s still fail: %s", self._lease, describe(error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            logger.info("Requests for the Lease %s succeed again.", self._lease, extra=self._fields())

    def _tell_holder(self, state: State) -> None:
        holder = _holder_of(state)
        if holder == self._holder:
            return
        self._holder = holder
        if state.hold is None and state.wish is Wish.STAND:
            logger.info(
                "Standing by for the Lease %s as %s: %s.",
                self._lease,
                self._settings.identity,
                f"{holder} holds it" if holder else "it is free",
                extra=self._fields(holder=holder),
            )

    def _explain_wait(self, state: State, now: Instant) -> None:
        """Why nobody leads although somebody could wait for it: said to the person who can help."""
        record = state.sight.record if state.sight is not None else None
        if record is None or record.released or free_at(self._settings, state) <= now.at:
            return
        silent = now.at - state.changed_at
        if record.holder == self._settings.identity:
            line = "The Lease %s bears this process's identity %r in a write that it did not make: waiting it out."
            self._seldom("clash", logging.WARNING, line, self._lease, record.holder)
        elif not record.holder:
            line = (
                "The Lease %s names no holder and is not released (edited by hand?): waiting for it like for a holder."
            )
            self._seldom("nameless", logging.WARNING, line, self._lease)
        elif silent > self._settings.lease_duration:
            self._seldom(
                "ghost",
                logging.WARNING,
                "The Lease %s: its holder %s has been silent for %.0f s and its recorded duration is %s s: waiting. If "
                "nothing runs under that name any more, release it: kubectl patch lease -n %s %s --type=merge "
                '-p \'{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}\'',
                self._lease,
                plain(record.holder),
                silent,
                record.duration,
                self._settings.namespace,
                self._settings.name,
            )

    def _seldom(self, topic: str, level: int, line: str, *args: object) -> None:
        at = self._clock.time()
        if at - self._said.get(topic, at - ONCE_A_MINUTE) >= ONCE_A_MINUTE:
            self._said[topic] = at
            logger.log(level, line, *args, extra=self._fields())


def _holder_of(state: State) -> str:
    """Who holds it, fit to be shown."""
    return plain(state.sight.record.holder) if state.sight is not None else ""


def describe(error: Exception) -> str:
    """A failure in a sentence."""
    if isinstance(error, LeaseAPIError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time."
    return f"{type(error).__name__}: {plain(error)}."
