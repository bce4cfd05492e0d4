"""What an election says in the log: one line for each change of state, and nothing for what goes as it should.

Troubles that last are said once a minute at most, each with what to do about it.
"""

import logging

from kopf_leader.elector.clock import Clock
from kopf_leader.elector.election import Follower
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.plan import free_at
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Instant, Reason, State, StopLeading, Wish

logger = logging.getLogger("kopf_leader")

ONCE_A_MINUTE = 60.0
_ORDERLY = (Reason.RESIGNED, Reason.LEAVING)


class Reporter:
    """Turns steps into log lines, and tells the follower who leads."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._lease = f"{settings.namespace}/{settings.name}"
        self._said: dict[str, float] = {}
        self._failing = False
        self._holder: str | None = None

    def started(self, token: int) -> None:
        logger.info("Became leader: %s holds the Lease %s, term %d.", self._settings.identity, self._lease, token)

    def stopped(self, stop: StopLeading, now: Instant) -> None:
        level = logging.INFO if stop.reason in _ORDERLY else logging.WARNING
        logger.log(
            level,
            "Stops leading: %s (Lease %s, term %d). Handlers may finish for %.1f s, and are gone in %.1f s.",
            stop.reason.value,
            self._lease,
            stop.token,
            max(0.0, stop.cancel_at - now.at),
            max(0.0, stop.exit_at - now.at),
        )

    def changed(self, before: State, after: State, now: Instant, follower: Follower) -> None:
        """Look at one step from outside."""
        if after.sight is not before.sight or after.known != before.known:
            self._tell_holder(after, follower)
        if before.hold is None and after.hold is not None and after.hold.start_at > now.at:
            wait = after.hold.start_at - now.at
            logger.info(
                "Created the Lease %s. Whoever held an earlier one may still be at work, so leading begins in %.1f s. "
                "A Lease created beforehand, as the chart does, is taken at once.",
                self._lease,
                wait,
            )
        if after.wish is Wish.STAND and after.hold is None and after.sight is not None:
            self._explain_wait(after, now)

    def denied(self, error: Exception) -> bool:
        """Say which right is missing, if that is what it is: the person who can add it must learn of it."""
        denied = isinstance(error, LeaseAPIError) and error.denied
        if denied:
            self._seldom("denied", logging.ERROR, "%s", error)
        return denied

    def failed(self, error: Exception) -> None:
        """A request failed: refusals have a remedy, the rest is said once until it is over."""
        if self.denied(error):
            return
        if isinstance(error, LeaseAPIError) and error.refused:
            logger.debug("Refused on the Lease %s: %s", self._lease, error)  # 404 and 409 are part of the game
        elif not self._failing:
            self._failing = True
            logger.warning("Requests for the Lease %s fail: %s Trying again.", self._lease, _describe(error))
        else:
            logger.debug("Requests for the Lease %s still fail: %s", self._lease, _describe(error))

    def recovered(self) -> None:
        if self._failing:
            self._failing = False
            logger.info("Requests for the Lease %s succeed again.", self._lease)

    def watch_broken(self, error: Exception) -> None:
        if not self.denied(error):
            logger.debug("The watch on the Lease %s broke, polling until it is back: %s", self._lease, _describe(error))

    def logging_in(self, error: LeaseAPIError) -> None:
        logger.info("Logging in again, the API server refused the credentials for the Lease %s: %s", self._lease, error)

    def _tell_holder(self, state: State, follower: Follower) -> None:
        holder = state.sight.record.holder if state.sight is not None else ""
        if holder == self._holder:
            return
        self._holder = holder
        follower.new_leader(holder)
        if state.hold is None and state.wish is Wish.STAND:
            logger.info(
                "Standing by for the Lease %s: %s.", self._lease, f"{holder} holds it" if holder else "it is free"
            )

    def _explain_wait(self, state: State, now: Instant) -> None:
        """Why nobody leads although somebody could wait for it: said to the person who can help."""
        record = state.sight.record if state.sight is not None else None
        if record is None or free_at(self._settings, state) <= now.at:
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
                record.holder,
                silent,
                record.duration,
                self._settings.namespace,
                self._settings.name,
            )

    def _seldom(self, topic: str, level: int, line: str, *args: object) -> None:
        at = self._clock.time()
        if at - self._said.get(topic, at - ONCE_A_MINUTE) >= ONCE_A_MINUTE:
            self._said[topic] = at
            logger.log(level, line, *args)


def _describe(error: Exception) -> str:
    if isinstance(error, LeaseAPIError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time."
    return f"{type(error).__name__}: {error}."
