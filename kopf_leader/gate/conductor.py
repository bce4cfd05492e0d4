"""One operator under one election: the way from closed to open and back, as often as the election decides.

It stands in the place of kopf's orchestrator and runs it inside. Closed at first, it is told by the election's thread
(it is the `Follower`) and acts on kopf's loop:

    closed --start_leading--> open --stop_leading, or the claim runs out--> closing --nothing runs--> closed

`stop_leading` takes effect where it is called, in the election's thread: with the tenure shut nothing starts any more,
even if kopf's loop is blocked and learns of it much later. The rest is done on the loop, in the order of L12.
"""

import asyncio
import functools
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kopf

from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.elector.election import Election, Follower
from kopf_leader.elector.waiting import all_done, join
from kopf_leader.gate import alongside, closing, seam, stuck
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.events import Intake
from kopf_leader.gate.exits import leave_lanes, leave_term, tell_failure
from kopf_leader.gate.fence import TermOver, put_fence
from kopf_leader.gate.hooks import Kind, OperatorHooks
from kopf_leader.gate.lanes import Lanes, refuse
from kopf_leader.gate.lockout import Lockout
from kopf_leader.gate.noise import quiet, quiet_at_first
from kopf_leader.gate.rules import Rules
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.gate.signals import Signals
from kopf_leader.gate.tenure import Tenure, tracking
from kopf_leader.protocol.state import Exit, Reason, StopLeading
from kopf_leader.protocol.term import Term

if TYPE_CHECKING:
    from kopf_leader.gate.peering import Peering

logger = logging.getLogger("kopf_leader.gate")

Login = Callable[[], Awaitable[Any]]
MakeElection = Callable[[Follower, Login], Election]
OWN_WILL = (Reason.RESIGNED, Reason.LEAVING)


class Conductor:
    """The gate of one operator. Implements `Follower` and `stuck.Watched`."""

    def __init__(self, *, parts: Parts, rules: Rules, make_election: MakeElection, counters: Counters) -> None:
        refuse(parts.registry)  # before anything of the operator runs
        self.parts = parts
        self.rules = rules
        self.counters = counters
        self.signals = Signals()
        self.intake = Intake(parts=parts, counters=counters)
        self.lockout = Lockout(patience=rules.renew_deadline, counters=counters, give_up=self._go_away)
        self.tenure: Tenure | None = None
        """The latest one, from `start_leading` until the next. Any thread."""
        self.leaving = False
        self.lost: Reason | None = None
        """Why the operator has to stop (on_lost="exit")."""
        self._make_election = make_election
        self._election: Election | None = None
        self._peering: Peering | None = None
        self._conducted: Tenure | None = None
        self._failure: Exception | None = None
        self._deadline = -math.inf  # of the claim, when it was last seen valid
        self._left_at = math.inf
        self._resources = ExitStack()

    @property
    def leading(self) -> bool:
        """Whether somebody would take over if this process ended: not from a leader for ever. Any thread."""
        tenure = self.tenure
        return tenure is not None and not tenure.over and tenure.term.claim.deadline != math.inf

    # In the election's thread.

    def start_leading(self, term: Term) -> None:
        """Let the loop open the gate."""
        drained = functools.partial(self._tell_drained, term.token)
        tenure = Tenure(term, counters=self.counters, changed=self._wake_up, ended=drained)
        self._deadline = term.claim.deadline
        self.tenure = tenure
        if self.leaving or self.signals.count:  # looked at after it is there for `leave()` to shut
            tenure.shut = True
        self._wake_up()

    def stop_leading(self, stop: StopLeading) -> None:
        """Shut the gate here and now; the loop does the rest."""
        tenure = self.tenure
        if tenure is None or tenure.term.token != stop.token:
            self._tell_drained(stop.token)
            return
        tenure.told = stop
        tenure.shut = True
        tenure.finish()  # an idle leader need not wait for its loop
        self._wake_up()

    def exit_process(self, exit_: Exit) -> None:
        """End the process, unless nothing runs after all."""
        tenure = self.tenure
        if tenure is None or tenure.term.token != exit_.token:
            self._tell_drained(exit_.token)
        elif not tenure.finish():
            leave_term(tenure, exit_.reason)

    def new_leader(self, holder: str) -> None:
        """Remember who leads, and let it be told."""
        self.counters.holder = holder
        tenure = self.tenure
        term = tenure.term if tenure is not None and tenure.may_start else None
        own = holder == self._running_election.identity
        try:
            self._hooks.tell_holder(holder, own=own, term=term, loop=self._loop)
        except RuntimeError:  # closed: kopf is gone
            logger.debug("The election spoke after the end of the operator.")

    # In the guardian's thread.

    def look(self) -> None:
        """See to what nobody else would: a dead election, a blocked loop at the time of a signal."""
        if self.signals.count and not self.leaving and self._election is not None:
            if self.tenure is not None:
                self.tenure.shut = True
            self._election.resign(leave=True)
        tenure = self.tenure
        if tenure is not None and not tenure.over and self._election is not None:
            self._look_at_claim(tenure)
            stop = tenure.stop
            if stop is not None and self._now() >= stop.exit_at and not tenure.finish():
                leave_term(tenure, stop.reason)
        elif self._election is not None and self._now() >= self._left_at + self.rules.drain_timeout + self.rules.slack:
            leave_lanes(self.intake.lanes, self._election)

    # In any thread.

    def _tell_drained(self, token: int) -> None:
        if self._election is not None:
            self._election.drained(token)
        if self._peering is not None:
            self._peering.wake()

    def _wake_up(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._woken.set)
        except RuntimeError:  # closed: kopf is gone
            logger.debug("The election spoke after the end of the operator.")

    def _now(self) -> float:
        return self._running_election.clock.time()

    def _look_at_claim(self, tenure: Tenure) -> None:
        """Close by the clock what the election does not close: it is dead, or stuck (L7)."""
        deadline = tenure.term.claim.deadline
        if tenure.term.valid and math.isfinite(deadline):
            self._deadline = deadline
        alive = self._running_election.alive
        if tenure.stop is None and (not tenure.term.valid or (tenure.shut and not alive)):
            tenure.own = self.rules.stop_by_clock(tenure.term, deadline=self._deadline, now=self._now())
            tenure.shut = True

    @property
    def _running_election(self) -> Election:
        assert self._election is not None  # noqa: S101 (made before anything can ask)
        return self._election

    # On kopf's loop.

    async def run(
        self, orchestrate: Callable[[Callable[..., Coroutine[Any, Any, Any]]], Coroutine[Any, Any, None]]
    ) -> None:
        """Run kopf's orchestrator behind the gate and the election beside it, until the operator stops."""
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        election = self._make_election(self, self.parts.login)
        self._alone = isinstance(election, AlwaysLeader)
        self._prepare_settings()
        self.intake.alone = self._alone
        # Warm streams hide every pause of kopf: in a migration from peering, they are cold.
        self.intake.warm = self.rules.warm_standby and not self._alone and self.rules.from_peering is None
        lanes = self.intake.lanes = Lanes(parts=self.parts, drain_timeout=self.rules.drain_timeout)
        self.parts.steady_killer(idle=lambda: self.tenure is None or not self.tenure.busy)
        self._toggle = await self.parts.make_toggle()
        self._election = election
        self._hooks = OperatorHooks(self.parts)
        self._resources.callback(self._hooks.release)
        self._resources.enter_context(tracking(self._loop))
        self._resources.enter_context(quiet_at_first())
        self._resources.enter_context(stuck.guarding(self, self._loop, timeout=self.rules.stuck_timeout))
        streams = asyncio.create_task(orchestrate(self.intake.process), name="streams behind the gate")
        conducting = asyncio.create_task(self._conduct(), name="conductor of the leader election")
        announcing = asyncio.create_task(self._hooks.announce(), name="announcer of new leaders")
        for task in (conducting, announcing):
            task.add_done_callback(tell_failure)
        try:
            election.start()
            await asyncio.wait({streams, conducting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.leave()
            streams.cancel()
            announcing.cancel()  # and not waited for: nothing depends on it, and kopf sees to what is left
            stopping = asyncio.create_task(lanes.stop(), name="end of what runs on every replica")
            stopping.add_done_callback(tell_failure)
            pressing = asyncio.create_task(self.intake.press(), name="end of the streams")
            try:
                await all_done([streams, conducting, stopping])
            finally:
                pressing.cancel()
            await self.intake.stop()
        for task in (conducting, streams):
            if not task.cancelled():
                task.result()
        if self._failure is not None:
            raise self._failure
        if self.lost is not None:
            raise TermOver  # ends the operator as a cancellation does: kopf cleans up and logs no error

    def leave(self) -> None:
        """Stop for good: nothing starts from now on, and the election gives the Lease back once all is drained."""
        if self.leaving:
            return
        self.leaving = True
        self._left_at = self._now()
        tenure = self.tenure
        if tenure is not None:
            tenure.shut = True
        self.intake.end()
        self._running_election.resign(leave=True)
        if tenure is None or tenure.stop is None or math.isfinite(tenure.stop.cancel_at):
            # kopf would cancel running handlers earlier than the drain budget says; in the other case it shall.
            seam.allow_jobs(self.parts.settings, self.rules.drain_timeout)
        self._woken.set()

    async def finish(self) -> None:
        """Make sure of the end when kopf is done with its tasks: nothing runs, and the Lease is released (L12)."""
        if self._election is None:
            return  # kopf has stopped before it had started
        try:
            self.leave()
            if self.tenure is not None:
                await all_done([asyncio.ensure_future(self._drain(self.tenure))])
            stop = None if self.tenure is None else self.tenure.stop
            if (
                not await join(self._election, self.rules.time_for_release(stop, self._now()))
                and self.tenure is not None
            ):
                logger.warning(
                    "The Lease may not have been given back in time: the next leader waits until it expires."
                )
            if self._peering is not None:
                await join(self._peering, self.rules.slack)
        finally:
            self._resources.close()

    def _prepare_settings(self) -> None:
        seam.list_in_chunks(self.parts.settings)
        if self._alone:
            return  # peering is the user's affair then
        self._peering = alongside.settle(
            self.parts,
            self.rules,
            changed=self._wake_up,
            give_way=lambda: self._running_election.resign(leave=False),
        )

    async def _conduct(self) -> None:
        while True:
            await self._until(lambda: self.leaving or self.tenure is not self._conducted)
            tenure = self.tenure
            if tenure is None or tenure is self._conducted:
                return
            self._conducted = tenure
            if not tenure.shut and await self._admitted(tenure) and await self._prepare(tenure):
                await self._open(tenure)
                await self._until(functools.partial(_ended, tenure))
            await self._close(tenure)
            if self.rules.on_lost == "exit" and not self.leaving and tenure.stop and tenure.stop.reason not in OWN_WILL:
                self.lost = tenure.stop.reason
                return

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            self._woken.clear()
            tenure = self.tenure
            pause = closing.LOOK if tenure is None or tenure.over else min(closing.LOOK, tenure.term.remaining())
            if tenure is not None and not tenure.over:
                self._look_at_claim(tenure)
            if not happened():
                await closing.wait(self._woken, pause)

    async def _admitted(self, tenure: Tenure) -> bool:
        """Wait until nobody of the peering stands in the way, in a migration. Whether the term still runs."""
        peering = self._peering
        if peering is not None:
            peering.admit(tenure)
            await self._until(lambda: _ended(tenure) or peering.admits(tenure))
        return not _ended(tenure)

    async def _prepare(self, tenure: Tenure) -> bool:
        """Run the hooks of a beginning term; whether the gate may open. If not, the term is at its end."""
        if not self._hooks.any(Kind.STARTED):
            return self._hooks.begin(tenure)
        put_fence(self.parts.settings.networking)
        hooks = self._hooks.prepare(tenure)
        hooks.add_done_callback(lambda _: self._woken.set())
        with quiet():
            await self._until(lambda: hooks.done() or _ended(tenure))
        if _ended(tenure):
            hooks.cancel()  # there is nothing left to prepare for
            return False
        failure = "a hook has cancelled the task that it runs in" if hooks.cancelled() else hooks.result()
        if failure is None:
            return True
        if self._alone:  # nobody else could lead: as kopf does when a start-up handler fails
            self._failure = kopf.PermanentError(f"The operator stops, as {failure}")
            self.leave()
        else:
            logger.error("Not ready to lead, and giving the Lease back, as %s", failure)
            self._running_election.resign(leave=False)
        await self._until(functools.partial(_ended, tenure))
        return False

    def _go_away(self, seconds: float) -> None:
        self._running_election.resign(leave=False, away=seconds)

    async def _open(self, tenure: Tenure) -> None:
        self.parts.reset_memories()
        put_fence(self.parts.settings.networking)
        self.intake.promote(tenure)
        self.counters.count_opening()
        await self._toggle.turn_to(False)
        term = tenure.term
        logger.info("Leading as %s%s: handlers run here.", term.identity, f" on {term.lease}" if term.lease else "")

    async def _close(self, tenure: Tenure) -> None:
        tenure.shut = True
        before = replace(self.counters)
        with quiet():
            self._stop_sleeping(tenure)  # first of all and in one go: they are many, and each would start once more
            if self.intake.tenure is tenure:
                await self._pause()
                self.counters.closed += 1
            await self._drain(tenure)
        await self.intake.closed()
        logger.info(
            "Standing by: %s. Handlers cancelled: %d, events dropped: %d, starts refused: %d.",
            tenure.stop.reason.value if tenure.stop else Reason.LEAVING.value,
            self.counters.handlers_cancelled - before.handlers_cancelled,
            self.counters.events_dropped - before.events_dropped,
            self.counters.starts_refused - before.starts_refused,
        )

    def _stop_sleeping(self, tenure: Tenure) -> None:
        """End what only sleeps until its next turn; with each look, as running jobs may have added some."""
        self._look_at_claim(tenure)
        if tenure.busy:
            self.parts.stop_daemons()
            tenure.end_waiting()

    async def _pause(self) -> None:
        """Pause kopf, and be sure that each stream has noticed, for one that has not would not list anew when reopened.

        The streams wait on one condition, and look at the toggle in the order in which they get its lock: behind all of
        them is who asks for it after they have been woken.
        """
        await self._toggle.turn_to(True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self._toggle.turn_to(True)
        self.intake.interrupt()

    async def _drain(self, tenure: Tenure) -> None:
        await closing.drain(
            tenure,
            woken=self._woken,
            now=self._now,
            look=lambda: self._stop_sleeping(tenure),
            conclude=lambda: self._hooks.conclude(tenure),
        )


def _ended(tenure: Tenure) -> bool:
    return tenure.shut or not tenure.term.valid
