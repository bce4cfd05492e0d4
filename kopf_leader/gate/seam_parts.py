"""The seam, continued: the parts of an operator that kopf keeps to itself, and what the gate does with them."""

import copy
import functools
import importlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import kopf

from kopf_leader.errors import LeaseAPIError
from kopf_leader.gate import seam_lane

if TYPE_CHECKING:
    from kopf_leader.gate.hooks import Hook, Progress


def get(module: str, name: str) -> Any:
    """What kopf has there: an attribute of a module, or of a class in it."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


get_once = functools.cache(get)  # for what is asked with every event


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of one operator that the gate works with."""

    processor: Callable[..., Coroutine[Any, Any, Any]]
    paused: Any
    registry: Any
    settings: Any
    memories: Any
    indexers: Any
    memobase: Any
    insights: Any = None
    """What kopf has found in the cluster; for a migration from peering."""
    _vault: Any = field(default_factory=lambda: get("kopf._cogs.clients.auth", "vault_var").get(None))

    async def make_toggle(self) -> Any:
        """The election's own word in whether the operator is paused; it begins with yes."""
        return await self.paused.make_toggle(True, name="not the leader")

    def never_paused(self) -> Any:
        """What tells a stream that stays open whether the operator is paused."""
        return type(self.paused)(any)

    def has_indices(self, resource: Any) -> bool:
        """Whether there are index handlers of this resource."""
        return bool(self.registry._indexing.has_handlers(resource=resource))  # noqa: SLF001 (as kopf does)

    def steady_killer(self, *, idle: Callable[[], bool]) -> None:
        """Let kopf's daemon killer walk over a copy: before 1.45 it falls over a daemon that ends meanwhile.

        It is a root task, so the operator would stop. The more daemons end at once, the more likely it is.

        It looks at all objects once a second on a standby, and at SIGTERM before anything else happens: so what has no
        daemons costs next to nothing, and nothing does while none can run (`idle`).
        """

        def copies() -> list[SimpleNamespace]:
            if idle():
                return []
            running = [memory.daemons_memory.running_daemons for memory in self.memories.iter_all_memories()]
            return [SimpleNamespace(running_daemons=dict(daemons)) for daemons in running if daemons]

        self.memories.iter_all_daemon_memories = copies

    def stop_daemons(self) -> int:
        """Tell all daemons and timers at once to stop, as for a pause; how many had not been told yet.

        kopf's own way goes from one to the next and lets the rest start meanwhile. The reason is the one that lets them
        be started again.
        """
        memories = [memory for memory in self.memories.iter_all_memories() if memory.daemons_memory.running_daemons]
        return sum(seam_lane.tell_daemons(memory, "OPERATOR_PAUSING") for memory in memories)

    def reset_memories(self) -> None:
        """Let kopf take every object as if the process had just started; what users keep in `memo` stays.

        Without it, handlers of resuming would run in the first term only, a change to the finalizers that was left over
        from an old term would be made now, and daemons that were cut off would never start again.

        All handlers wait for it, so nothing is made anew that is as good as new: ten thousand new objects would set off
        the garbage collector.
        """
        throttler = get("kopf._core.actions.throttlers", "Throttler")
        for memory in self.memories.iter_all_memories():
            memory.noticed_by_listing = True
            memory.fully_handled_once = False
            if memory.error_throttler.source_of_delays is not None or memory.error_throttler.active_until is not None:
                memory.error_throttler = throttler()
            if memory.daemons_memory.forever_stopped:
                memory.daemons_memory.forever_stopped.clear()
            if getattr(memory, "remaining_patch", None) is not None:  # since 1.44
                memory.remaining_patch = None

    async def index(self, *, raw_event: Mapping[str, Any], resource: Any) -> None:
        """Only keep the users' indices up to date with an event that is not handled."""
        body = raw_event["object"]
        listed = raw_event["type"] is None
        memory = await self.memories.recall(body, noticed_by_listing=listed, memobase=self.memobase)
        wrapped = get("kopf._cogs.structs.bodies", "Body")(body)
        await get("kopf._core.engines.indexing", "index_resource")(
            registry=self.registry,
            indexers=self.indexers,
            settings=self.settings,
            resource=resource,
            raw_event=raw_event,
            body=wrapped,
            memo=memory.memo,
            memory=memory.indexing_memory,
            logger=get("kopf._core.actions.loggers", "TerseObjectLogger")(body=wrapped, settings=self.settings),
        )

    async def forget(self, body: Mapping[str, Any]) -> bool:
        """Forget an object that is gone, in the users' indices and in kopf's memories; whether it is done.

        As long as daemons run for it, kopf has to know of them, to see to their end.
        """
        self.indexers.discard(body=body)
        memory = await self.memories.recall(body, ephemeral=True)
        if memory.daemons_memory.running_daemons:
            return False
        await self.memories.forget(body)
        return True

    async def keeps_patch(self, body: Mapping[str, Any]) -> bool:
        """Whether kopf keeps a patch of this object that the API server has refused (since 1.44)."""
        return bool(getattr(await self.memories.recall(body, ephemeral=True), "remaining_patch", None))

    async def attempt(self, hook: "Hook", *, progress: "Progress", **keywords: Any) -> Any:
        """Call a hook once, as kopf calls a handler of an activity, and judge the outcome by kopf's rules.

        What is returned has `final` (whether that was the last attempt), `delay` (seconds until the next one, or None)
        and `exception` (None for success, and for a failure that is to be ignored). kopf has logged it.
        """
        cause = get_once("kopf._core.intents.causes", "ActivityCause")(
            logger=logging.getLogger(f"kopf.activities.{hook.kind.value}"),
            activity=hook.kind,
            settings=self.settings,
            indices=self.indexers.indices,
            memo=self.memobase,
        )
        handler = get_once("kopf._core.intents.handlers", "ActivityHandler")(
            fn=functools.partial(hook.function, **keywords), id=hook.id, activity=hook.kind, **vars(hook.options)
        )
        default = kopf.ErrorsMode.TEMPORARY if hook.kind.persistent else kopf.ErrorsMode.PERMANENT
        return await get_once("kopf._core.actions.execution", "execute_handler_once")(
            settings=self.settings, handler=handler, cause=cause, state=progress, default_errors=default
        )

    async def login(self) -> Any:
        """Run the operator's login handlers; the credentials of the highest priority, or None. For any event loop.

        It does not go through kopf's vault and its task of logging in, which live on kopf's loop and end with the
        operator. Synchronous handlers run in the default threads of the loop it is called on, for kopf's own may all be
        taken by handlers. Raises `LeaseAPIError` when a handler fails.
        """
        settings = copy.copy(self.settings)
        settings.execution = copy.copy(settings.execution)
        settings.execution.executor = None
        try:
            results = await get("kopf._core.engines.activities", "run_activity")(
                lifecycle=get("kopf._core.actions.lifecycles", "all_at_once"),
                registry=self.registry,
                settings=settings,
                activity=get("kopf._core.intents.causes", "Activity.AUTHENTICATION"),
                indices=self.indexers.indices,
                memo=self.memobase,
            )
        except Exception as e:  # whatever a user's handler raises
            raise LeaseAPIError(f"The operator's login handlers failed, so the Lease cannot be reached: {e}") from e
        infos = [info for info in results.values() if hasattr(info, "priority")]
        if not infos:  # an operator that was given its credentials ready-made has no login handlers
            infos = [item.info for item in list(getattr(self._vault, "_current", {}).values())]
        return max(infos, key=lambda info: info.priority, default=None)
