"""The gate of this process: what is put into kopf's places, and what can be read from outside."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

from kopf_leader.errors import NotLeader, SettingsError
from kopf_leader.gate import seam, signals
from kopf_leader.gate.barrier import before_handlers
from kopf_leader.gate.conductor import Conductor, MakeElection
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.fence import TENURE, TermOver
from kopf_leader.gate.hold import HOLD
from kopf_leader.gate.rules import Rules
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.term import Term

logger = logging.getLogger("kopf_leader.gate")


class Gate:
    """Gates the operators of this process, one at a time. Implements `seam.Hooks`."""

    def __init__(self, *, make_election: MakeElection, rules: Rules) -> None:
        self.counters = Counters()
        self._make_election = make_election
        self._rules = rules
        self._conductor: Conductor | None = None
        self._running = False
        self._maker: asyncio.Task[Any] | None = None
        """Who makes and runs the operator, until it has run."""

    @property
    def used(self) -> bool:
        """Whether an operator has been started with it."""
        return self._conductor is not None

    @property
    def running(self) -> bool:
        """Whether an operator runs behind it now."""
        return self._running

    @property
    def term(self) -> Term | None:
        """The term for which the gate is open; None while it is closed. Any thread."""
        tenure = None if self._conductor is None else self._conductor.tenure
        return tenure.term if tenure is not None and tenure.may_start else None

    @property
    def unwatched(self) -> list[str]:
        """The resources that the operator of this process tries to watch in vain. Any thread."""
        return [] if self._conductor is None else self._conductor.intake.unwatched

    # kopf's places.

    def orchestrate(
        self, parts: Parts, original: Callable[..., Coroutine[Any, Any, None]]
    ) -> Coroutine[Any, Any, None]:
        """Put the conductor in front of kopf's orchestrator, for the operator that is being made."""
        # Two that start at once are both being made before either of them runs.
        task = asyncio.current_task()
        being_made = self._maker is not None and self._maker is not task and not self._maker.done()
        if self._running or being_made:
            sentence = "A second operator is started in this process, which stands for one Lease: "
            raise SettingsError([sentence + "run each in a process of its own, or one after the other."])
        self._conductor = Conductor(
            parts=parts, rules=self._rules, make_election=self._make_election, counters=self.counters
        )
        self._maker = task
        return self._conductor.run(original)

    async def run_tasks(self, original: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Live through the operator's life, and see to the end of it."""
        conductor = self._conductor
        if conductor is None or self._running:  # one of kopf's own commands, such as `kopf freeze`
            await original()
            return
        self._running = True
        try:
            with signals.counting(conductor.signals):
                try:
                    await original()
                finally:
                    await conductor.finish()
        finally:
            self._running, self._maker = False, None
        if conductor.lost is not None:
            raise NotLeader(
                f"The leadership is lost ({conductor.lost.value}), and the operator stops as on_lost='exit' asks: have "
                "it restarted, and it stands by."
            )

    async def invoke(self, handler: Any, original: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Let a handler start, if its term still allows for it."""
        tenure = TENURE.get()
        if tenure is None:
            return await original(handler)
        _check_start(tenure)
        if seam.is_sync(handler):
            handler = replace(handler, fn=_checked(handler.fn, tenure))  # it may have to queue for a thread
        try:
            result = await original(handler)
        except asyncio.CancelledError:
            if tenure.shut:
                tenure.counters.handlers_cancelled += 1
            raise
        except NotLeader:
            if tenure.term.valid:
                raise  # of another term, or the handler's own idea: a failure like any other
            raise TermOver from None
        except Exception as error:
            self._hear(tenure, handler.id, error)
            raise
        self._hear(tenure, handler.id, None)
        return result

    def answered(self, method: str, path: str, error: Exception | None) -> None:
        """Listen for the API server's fence."""
        tenure = TENURE.get()
        if tenure is not None and self._conductor is not None:
            self._conductor.lockout.answered(tenure, method=method, path=path, error=error)

    def _hear(self, tenure: Tenure, handler_id: str, error: Exception | None) -> None:
        if self._conductor is not None:
            self._conductor.lockout.handled(tenure, handler_id, error)

    def watch(self, stream: seam.Stream, original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Pass one listing and watching through the conductor's intake, or to whom it is held for."""
        if self._conductor is None:
            return original()
        hold = HOLD.get()
        return self._conductor.intake.watch(stream, original) if hold is None else hold.watch(original)

    def stream(self, stream: seam.Stream, original: Callable[..., AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Pass a whole stream through the conductor's intake."""
        return original() if self._conductor is None else self._conductor.intake.stream(stream, original)

    async def before_handlers(self) -> None:
        """See to it that no handler starts on an old body."""
        await before_handlers()


def _checked(function: Callable[..., Any], tenure: Tenure) -> Callable[..., Any]:
    def start(**kwargs: Any) -> Any:
        _check_start(tenure)
        return function(**kwargs)

    return start


def _check_start(tenure: Tenure) -> None:
    if not tenure.may_call:
        tenure.counters.starts_refused += 1
        raise TermOver
