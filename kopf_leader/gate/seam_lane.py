"""The seam's second page: kopf's processor run beside itself, for the handlers of every replica.

Nothing of kopf is copied for it. Its processor takes the registry, the settings and the memories as keywords; called
once more with others, it runs other handlers and keeps its own books. What it would write is dropped in one place,
`patching.patch_obj`, through which each change of an object goes; the settings, which are handed all the way to there,
tell whose change it is.
"""

import asyncio
import copy
import dataclasses
import functools
import importlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import kopf

if TYPE_CHECKING:
    from kopf_leader.gate.seam_parts import Parts

# As in `seam`, whose check has them, too: module, attribute, and the keywords that we pass or expect.
_HANDLERS, _REGISTRIES = "kopf._core.intents.handlers", "kopf._core.intents.registries"
_STOPPERS, _INVENTORY = "kopf._core.intents.stoppers", "kopf._core.reactor.inventory"
NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (_HANDLERS, "WatchingHandler", ("id", "fn")),
    (_HANDLERS, "DaemonHandler", ("fn", "requires_finalizer", "cancellation_backoff", "cancellation_timeout")),
    (_HANDLERS, "TimerHandler", ("fn", "requires_finalizer")),
    (_REGISTRIES, "GenericRegistry.append", ("handler",)),
    (_REGISTRIES, "GenericRegistry.get_all_handlers", ()),
    (_REGISTRIES, "ResourceRegistry.has_handlers", ("resource",)),
    (_STOPPERS, "DaemonStoppingReason.OPERATOR_EXITING", ()),
    (_STOPPERS, "DaemonStoppingReason.OPERATOR_PAUSING", ()),
    (_STOPPERS, "DaemonStoppingReason.RESOURCE_DELETED", ()),
    (_INVENTORY, "ResourceMemory", ("memo", "daemons_memory")),
    ("kopf._cogs.clients.patching", "patch_obj", ("settings", "patch")),
    ("kopf._cogs.configs.configuration", "BackgroundSettings.cancellation_polling", ()),
    ("kopf._cogs.configs.configuration", "PersistenceSettings.finalizer", ()),
)

NO_FINALIZER = "no finalizer: this handler runs on every replica"  # no object has it: not a valid name of one
_DROPS = "kopf_leader_drops_patches"  # an attribute of the lane's settings
_ORIGINAL = "kopf_leader_original"  # an attribute of the lane's handlers

Choose = Callable[[Any], bool]
Wrap = Callable[[Any], Any]

_SECTIONS = ("activities", "indexing", "watching", "spawning", "changing", "webhooks")


def handlers(registry: Any, section: str) -> list[Any]:
    """The handlers of a registry by their kind: activities, indexing, watching, spawning, changing or webhooks."""
    return list(getattr(registry, f"_{section}").get_all_handlers())


def without(registry: Any, left_out: Choose, *, indexing: bool) -> Any:
    """A registry without these handlers of events, timers and daemons, and without those of indices if so asked."""
    return _made_of(
        (section, handler)
        for section in _SECTIONS
        for handler in handlers(registry, section)
        if (section not in ("watching", "spawning") or not left_out(handler)) and (section != "indexing" or indexing)
    )


def only(registry: Any, chosen: Choose, wrap: Wrap, *, spawning: bool) -> Any:
    """A registry of the chosen handlers of events and, if `spawning`, of timers and daemons, their functions wrapped.

    They have no finalizer, which is the leader's affair; and kopf, which would write to the object to be reminded, does
    not see to their end beyond telling them to stop: `Lane.endings()` has the rest.
    """
    return _made_of(
        (section, _lighter(handler, wrap))
        for section in ("watching", *(["spawning"] if spawning else []))
        for handler in handlers(registry, section)
        if chosen(handler)
    )


def _made_of(parts: Iterator[tuple[str, Any]]) -> Any:
    registry = kopf.OperatorRegistry()
    for section, handler in parts:
        getattr(registry, f"_{section}").append(handler)
    return registry


def _lighter(handler: Any, wrap: Wrap) -> Any:
    without_end = {
        name: None
        for name in ("requires_finalizer", "cancellation_backoff", "cancellation_timeout", "cancellation_polling")
        if hasattr(handler, name)
    }
    lighter = dataclasses.replace(handler, fn=wrap(handler), **without_end)
    object.__setattr__(lighter, _ORIGINAL, handler)  # it is frozen
    return lighter


def has_handlers(registry: Any, resource: Any) -> bool:
    """Whether it has handlers of this resource: of events, timers or daemons."""
    return any(getattr(registry, f"_{section}").has_handlers(resource) for section in ("watching", "spawning"))


def tell_daemons(memory: Any, reason: str) -> int:
    """Tell the daemons and timers of one object to stop, for one of kopf's reasons; how many had not been told yet."""
    why = getattr(_module(_STOPPERS).DaemonStoppingReason, reason)
    told = 0
    for daemon in memory.daemons_memory.running_daemons.values():
        if not daemon.stopper.is_set():
            told += 1
            daemon.stopper.set(reason=why)
            # A timer with `idle` and no `interval` does not look at its stopper while it waits for a change, it only
            # turns in circles: let it believe that there was one.
            memory.daemons_memory.idle_reset_time = asyncio.get_running_loop().time()
    return told


def dropping(original: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Put before `patching.patch_obj`: patches of the lane come to nothing, as if the object were gone."""
    gone = (None, None) if hasattr(_module(_INVENTORY).ResourceMemory, "remaining_patch") else None  # since 1.44

    async def patch_obj(**kwargs: Any) -> Any:
        if not getattr(kwargs["settings"], _DROPS, False):
            return await original(**kwargs)
        patch = kwargs["patch"]
        patch.clear()  # else kopf relies on the event that the change would bring
        getattr(patch, "fns", []).clear()  # since 1.44
        return gone

    return patch_obj


_module: Callable[[str], ModuleType] = functools.cache(importlib.import_module)


class Ending(NamedTuple):
    """A daemon or timer that was told to stop."""

    task: asyncio.Task[Any]
    cancel_after: float | None
    """Seconds from then, as kopf would do it; None if its handler says nothing about it."""


class _Pressure:
    """The sign that newer events wait, which cuts sleeps short; but no event is left to a newer one, as kopf 1.40 does.

    The newer one may be a replay of the same version, which is no news here.
    """

    def __init__(self, event: asyncio.Event) -> None:
        self.wait = event.wait

    def is_set(self) -> bool:
        """Never: what asks does so to give up."""
        return False


class Lane:
    """kopf's processor with other handlers, settings and memories than the operator's."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self.memories = _module(_INVENTORY).ResourceMemories()
        self.settings = copy.copy(parts.settings)
        self.settings.persistence = copy.copy(parts.settings.persistence)
        self.settings.persistence.finalizer = NO_FINALIZER
        self.settings.background = copy.copy(parts.settings.background)
        self.settings.background.cancellation_polling = 0  # we look after the end of daemons ourselves
        setattr(self.settings, _DROPS, True)
        keywords = getattr(parts.processor, "keywords", {})
        self._pause = {"operator_paused": None} if "operator_paused" in keywords else {}  # since 1.44.1

    async def process(self, *, registry: Any, stream_pressure: Any = None, **event: Any) -> None:
        """Let kopf handle an event with these handlers."""
        pressure = None if stream_pressure is None else _Pressure(stream_pressure)
        books = {"registry": registry, "settings": self.settings, "memories": self.memories}
        await self._parts.processor(**event, **books, stream_pressure=pressure, **self._pause)

    async def recall(self, raw_event: Mapping[str, Any]) -> Any:
        """The memory of an object; a new one has the `memo` that the object's other handlers have, too."""
        body, listed = raw_event["object"], raw_event["type"] is None
        known = await self.memories.recall(body, ephemeral=True)
        memory = await self.memories.recall(body, noticed_by_listing=listed)
        if memory is not known:
            memobase = self._parts.memobase
            memory.memo = (await self._parts.memories.recall(body, noticed_by_listing=listed, memobase=memobase)).memo
        return memory

    async def forget(self, body: Mapping[str, Any]) -> Any:
        """Forget an object; the memory there was of it."""
        memory = await self.memories.recall(body, ephemeral=True)
        await self.memories.forget(body)
        return memory

    def tell(self, memory: Any, reason: str) -> None:
        """Tell the daemons and timers of an object to stop."""
        tell_daemons(memory, reason)

    def tell_all(self, reason: str) -> None:
        """Tell all daemons and timers to stop."""
        for memory in self.memories.iter_all_memories():
            tell_daemons(memory, reason)

    def endings(self, memory: Any) -> Iterator[Ending]:
        """Those that were told to stop, by us or by kopf: they do not match their filters any more."""
        for daemon in memory.daemons_memory.running_daemons.values():
            if daemon.stopper.is_set():
                handler = getattr(daemon.handler, _ORIGINAL)
                timed = getattr(handler, "cancellation_timeout", None) is not None
                yield Ending(daemon.task, (handler.cancellation_backoff or 0.0) if timed else None)

    def all_endings(self) -> Iterator[Ending]:
        """Those of all objects."""
        for memory in list(self.memories.iter_all_memories()):
            yield from self.endings(memory)
