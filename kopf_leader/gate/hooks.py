"""Hooks: functions of users' at the turns of a term, called and called again by kopf's own rules for activities.

- Those of `started_leading` come before the gate opens. They run under the tenure: tracked, fenced and cancelled like
  handlers. While one of them fails for the time being, the gate stays closed; when one has failed for good, the Lease
  is given back, for a replica that is half ready must not lead.
- Those of `stopped_leading` come behind the last handler of a term whose hooks of the first kind were begun, and before
  the release (L12): while they are owed or run, the tenure is not over. The end waits for them, their success does not
  matter to it.
- Those of `new_leader` run on every replica, in a task beside everything else.

Hooks of one kind run one after the other in the order of registration, each to its end.
"""

import asyncio
import contextvars
import enum
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from kopf_leader.errors import SettingsError
from kopf_leader.gate.fence import TENURE
from kopf_leader.gate.tenure import PREPARED, Tenure
from kopf_leader.protocol.state import Reason
from kopf_leader.protocol.term import Term

if TYPE_CHECKING:  # kopf is imported by who runs hooks, and not by who declares them
    from kopf_leader.gate.seam_parts import Parts

logger = logging.getLogger("kopf_leader.gate")


class Kind(enum.Enum):
    """At which turn a hook is called."""

    STARTED = "started_leading"
    STOPPED = "stopped_leading"
    NEW = "new_leader"

    @property
    def persistent(self) -> bool:
        """Whether any exception means another attempt, as for kopf's start-up handlers; else `TemporaryError` does."""
        return self is Kind.STARTED


@dataclass(frozen=True, kw_only=True)
class HookOptions:
    """kopf's options of a handler; times in seconds."""

    param: Any = None
    errors: Any = None
    timeout: float | None = None
    retries: int | None = None
    backoff: float | None = None


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A function, and how it is called."""

    kind: Kind
    function: Callable[..., Any]
    id: str
    options: HookOptions = HookOptions()

    def __str__(self) -> str:
        return f"hook {self.id!r} (@kopf_leader.on.{self.kind.value})"


@dataclass
class Progress:
    """How far the attempts at a hook have come, in the words of kopf's `HandlerState`."""

    retries: int = 0
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: float = field(default_factory=time.monotonic)

    @property
    def runtime(self) -> timedelta:
        """Since the first attempt began."""
        return timedelta(seconds=time.monotonic() - self.begun)


@dataclass
class _Registered:
    """The hooks that go with one of kopf's registries; kept by the registry itself, to live as long as it does."""

    hooks: list[Hook] = field(default_factory=list)
    taken: bool = False

    @classmethod
    def of(cls, registry: Any) -> Self:
        found: Self = vars(registry).setdefault("kopf_leader_hooks", cls())
        return found


def register(hook: Hook, registry: Any) -> None:
    """Add a hook to those of the operator that runs with this registry. Raises `SettingsError` if it does already."""
    registered = _Registered.of(registry)
    if registered.taken:
        sentence = f"The {hook} is registered after the operator has started, and would never be called: "
        raise SettingsError([sentence + "register it when its module is imported, or in a start-up handler."])
    registered.hooks.append(hook)


class Failure(NamedTuple):
    """A hook has failed for good."""

    hook: Hook
    exception: BaseException

    def __str__(self) -> str:
        return f"the {self.hook} has failed for good: {str(self.exception) or repr(self.exception)}"


class OperatorHooks:
    """The hooks of one operator. On kopf's loop, but for `tell_holder()`."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._registered = _Registered.of(parts.registry)
        self._registered.taken = True
        self._holders: asyncio.Queue[tuple[str, bool, Term | None]] = asyncio.Queue()

    def release(self) -> None:
        """The operator is over: hooks may be registered for another one."""
        self._registered.taken = False

    def any(self, kind: Kind) -> bool:
        """Whether there are hooks of this kind."""
        return bool(self._of(kind))

    def _of(self, kind: Kind) -> list[Hook]:
        return [hook for hook in self._registered.hooks if hook.kind is kind]

    def begin(self, tenure: Tenure) -> bool:
        """Begin to act for a term; from now on its end is to be told. False if it has ended before."""
        return tenure.begin(owes=self.any(Kind.STOPPED))

    def prepare(self, tenure: Tenure) -> "asyncio.Task[Failure | None]":
        """Begin, and run what comes before the gate opens; None when all have succeeded, or the term has ended."""
        return _under(tenure, self._prepare(tenure), prepared=True)

    async def _prepare(self, tenure: Tenure) -> Failure | None:
        for hook in self._of(Kind.STARTED) if self.begin(tenure) else ():
            failure = await self._run(hook, term=tenure.term, reason=None)
            if failure is not None:
                return failure
        return None

    def conclude(self, tenure: Tenure) -> "asyncio.Task[None]":
        """Run what comes behind the last handler; cancelled like handlers. Its outcome is nobody's business."""
        reason = tenure.stop.reason if tenure.stop is not None else Reason.LEAVING
        return _under(tenure, self._conclude(tenure.term, reason.name.lower()))

    async def _conclude(self, term: Term, reason: str) -> None:
        hooks = self._of(Kind.STOPPED)
        try:
            while hooks:
                await self._run(hooks[0], term=term, reason=reason)
                hooks.pop(0)
        finally:
            if hooks:
                names = ", ".join(repr(hook.id) for hook in hooks)
                logger.warning("The time for the hooks of stopped_leading is up; cut off, or not called: %s.", names)

    def tell_holder(self, holder: str, *, own: bool, term: Term | None, loop: asyncio.AbstractEventLoop) -> None:
        """Have somebody who was seen to hold the Lease announced. Any thread."""
        if holder and self.any(Kind.NEW):
            loop.call_soon_threadsafe(self._holders.put_nowait, (holder, own, term))

    async def announce(self) -> None:
        """Announce holders, one after the other, for as long as the operator lives."""
        while True:
            holder, own, term = await self._holders.get()
            for hook in self._of(Kind.NEW):
                await self._run(hook, term=term, reason=None, holder=holder, is_me=own)

    async def _run(self, hook: Hook, **keywords: Any) -> Failure | None:
        """Call one until it has succeeded or has failed for good; kopf logs each outcome."""
        progress = Progress()
        while True:
            if _cancelled():  # and the hook has swallowed it, or made another exception of it
                raise asyncio.CancelledError
            try:
                outcome = await self._parts.attempt(hook, progress=progress, **keywords)
            except asyncio.CancelledError as error:
                if _cancelled():
                    raise
                return Failure(hook, error)  # it was cancelled from within, or refused by the fence
            if outcome.final:
                return None if outcome.exception is None else Failure(hook, outcome.exception)
            progress.retries += 1
            if not _cancelled():
                await asyncio.sleep(outcome.delay or 0)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _under(tenure: Tenure, hooks: Coroutine[Any, Any, Any], *, prepared: bool = False) -> asyncio.Task[Any]:
    context = contextvars.copy_context()
    context.run(TENURE.set, tenure)
    context.run(PREPARED.set, prepared)
    return asyncio.create_task(hooks, context=context, name="hooks of the term")
