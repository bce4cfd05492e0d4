"""Everything that is private to kopf, in one place; nothing else in this package imports a private name of it.

kopf offers no hook for what the gate needs. What it has is a handful of functions that it looks up as attributes of
their modules, with the same keywords in every release from 1.40 on. They are replaced there, by name:

- `orchestration.orchestrator` (called once per operator): gives the set of toggles that pauses the operator, and the
  `processor` through which every event of a resource passes;
- `running.run_tasks`: the one point at which every task of the operator is over, stuck daemons included;
- `execution.invoke_handler`: through which every handler starts, those of timers, daemons and sub-handlers too;
- `watching.continuous_watch`: one listing and watching of a resource; it tells which term an event was seen in;
- `watching.infinite_watch`: one after the other of those, for as long as the resource is there;
- `processing.process_watching_cause`, `…_spawning_cause`, `…_changing_cause`: the last point before the handlers of an
  object are chosen, which tells whether they are to be kept from starting on an old body;
- `errors.check_response`: through which the answer to each request of kopf goes;
- `patching.patch_obj`: through which each change of an object goes, where some are dropped (`seam_lane`).

The rest (memories, daemons, indices, log-in, attempts at hooks) is read, or called as kopf itself does.
`check()` refuses to start when anything is missing, and `tests/seam` runs it all on the releases supported.
"""

import asyncio
import importlib
import importlib.metadata
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NamedTuple, Protocol

import kopf

from kopf_leader.errors import UnsupportedKopf
from kopf_leader.gate import seam_lane, seam_peering
from kopf_leader.gate.seam_parts import Parts, get, get_once

CHUNK_SIZE = 500  # objects per page of a list: the first handler of a large promotion starts ten times sooner

_REACTOR = "kopf._core.reactor"
# Module, attribute, and the keywords that we pass or expect.
_NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (f"{_REACTOR}.orchestration", "orchestrator", ("processor", "settings", "operator_paused")),
    (f"{_REACTOR}.running", "run_tasks", ("root_tasks", "ignored")),
    (f"{_REACTOR}.processing", "process_resource_event", ("raw_event", "resource", "operator_indexed")),
    (f"{_REACTOR}.processing", "process_watching_cause", ("cause", "registry")),
    (f"{_REACTOR}.processing", "process_spawning_cause", ("cause", "registry")),
    (f"{_REACTOR}.processing", "process_changing_cause", ("cause", "registry")),
    (f"{_REACTOR}.queueing", "get_uid", ("raw_event",)),
    (f"{_REACTOR}.inventory", "ResourceMemories.iter_all_memories", ()),
    (f"{_REACTOR}.inventory", "ResourceMemories.iter_all_daemon_memories", ()),
    (f"{_REACTOR}.inventory", "ResourceMemories.recall", ("raw_body", "noticed_by_listing", "memobase")),
    (f"{_REACTOR}.inventory", "ResourceMemories.forget", ("raw_body",)),
    ("kopf._core.actions.execution", "invoke_handler", ("handler", "cause")),
    ("kopf._core.actions.execution", "execute_handler_once", ("settings", "handler", "state", "default_errors")),
    ("kopf._core.actions.invocation", "is_async_fn", ()),
    ("kopf._core.actions.lifecycles", "all_at_once", ()),
    ("kopf._core.actions.loggers", "TerseObjectLogger", ("body", "settings")),
    ("kopf._core.actions.throttlers", "Throttler", ("source_of_delays", "active_until")),
    (
        "kopf._core.engines.activities",
        "run_activity",
        ("lifecycle", "registry", "settings", "activity", "indices", "memo"),
    ),
    (
        "kopf._core.engines.indexing",
        "index_resource",
        ("indexers", "registry", "settings", "resource", "raw_event", "memory", "logger", "memo", "body"),
    ),
    ("kopf._core.intents.causes", "Activity.AUTHENTICATION", ()),
    ("kopf._core.intents.causes", "ActivityCause", ("logger", "activity", "settings", "indices", "memo")),
    (
        "kopf._core.intents.handlers",
        "ActivityHandler",
        ("param", "errors", "timeout", "retries", "backoff", "activity"),
    ),
    ("kopf._cogs.clients.watching", "continuous_watch", ("settings", "resource", "namespace", "operator_pause_waiter")),
    ("kopf._cogs.clients.watching", "infinite_watch", ("settings", "resource", "namespace", "operator_paused")),
    ("kopf._cogs.clients.watching", "Bookmark.LISTED", ()),
    ("kopf._cogs.clients.api", "get", ("url", "settings", "headers", "timeout", "logger")),
    ("kopf._cogs.clients.auth", "vault_var", ()),
    ("kopf._cogs.clients.errors", "check_response", ("response",)),
    ("kopf._cogs.structs.bodies", "Body", ()),
    ("kopf._cogs.configs.configuration", "NetworkingSettings.error_backoffs", ()),
    *seam_lane.NEEDED,
)
_PARTS = ("registry", "settings", "memories", "indexers", "memobase")


def version() -> str:
    """The release of kopf that is installed, or a word for not knowing it."""
    try:
        return importlib.metadata.version("kopf")
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def check(*, peering: bool = False) -> None:
    """Raise `UnsupportedKopf` if a place that the gate needs, or a migration from peering, is not there."""
    for module, name, keywords in (*_NEEDED, *(seam_peering.NEEDED if peering else ())):
        try:
            found = get(module, name)
        except (ImportError, AttributeError):
            raise _unsupported(f"{module}.{name}") from None
        if keywords and not set(keywords) <= set(inspect.signature(found).parameters):
            missing = ", ".join(sorted(set(keywords) - set(inspect.signature(found).parameters)))
            raise _unsupported(f"the keywords {missing} of {module}.{name}")


def _unsupported(what: str) -> UnsupportedKopf:
    return UnsupportedKopf(
        f"The installed kopf {version()} does not have {what}, without which the election could not keep handlers from "
        "running on several replicas: install a supported release (pip install 'kopf>=1.44.1'), or run one replica by "
        "kopf run, without kopf_leader."
    )


class Hooks(Protocol):
    """What the gate does at kopf's places. Each gets the original to call."""

    def orchestrate(
        self, parts: Parts, original: Callable[..., Coroutine[Any, Any, None]]
    ) -> Coroutine[Any, Any, None]:
        """In place of the orchestrator: `original(processor)`. Called when the operator's tasks are made."""
        ...

    async def run_tasks(self, original: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Around the whole life of the operator's tasks."""
        ...

    async def invoke(self, handler: Any, original: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Around the call of one handler: `original(handler)`."""
        ...

    def answered(self, method: str, path: str, error: Exception | None) -> None:
        """After the answer to a request of kopf, with the error that kopf makes of it, if any."""
        ...

    def watch(self, stream: "Stream", original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Around one listing and watching of a resource."""
        ...

    def stream(self, stream: "Stream", original: Callable[..., AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Around all listings and watchings of a resource; `original` takes keywords to replace those given."""
        ...

    async def before_handlers(self) -> None:
        """Where handlers of an object are about to be chosen. What it raises must not be an `Exception`."""
        ...


class Stream(NamedTuple):
    """Which resource is listed and watched, and where."""

    resource: Any
    namespace: str | None


def install(hooks: Hooks) -> Callable[[], None]:
    """Put the hooks in place; what is returned takes them away again. Raises `UnsupportedKopf`."""
    check()
    undo: list[tuple[Any, str, Any]] = []

    def replace(module: str, name: str, make: Callable[[Any], Any]) -> None:
        owner = importlib.import_module(module)
        original = getattr(owner, name)
        undo.append((owner, name, original))
        replacement = make(original)
        setattr(owner, name, replacement)
        if getattr(kopf, name, None) is original:  # the public alias, as `kopf.run_tasks` is one
            undo.append((kopf, name, original))
            setattr(kopf, name, replacement)

    replace(f"{_REACTOR}.orchestration", "orchestrator", lambda original: _orchestrator(hooks, original))
    replace(f"{_REACTOR}.running", "run_tasks", lambda original: _run_tasks(hooks, original))
    replace("kopf._core.actions.execution", "invoke_handler", lambda original: _invoke_handler(hooks, original))
    replace("kopf._cogs.clients.watching", "continuous_watch", lambda original: _continuous_watch(hooks, original))
    replace("kopf._cogs.clients.watching", "infinite_watch", lambda original: _infinite_watch(hooks, original))
    replace("kopf._cogs.clients.patching", "patch_obj", seam_lane.dropping)
    replace("kopf._cogs.clients.errors", "check_response", lambda original: _check_response(hooks, original))
    for kind in ("watching", "spawning", "changing"):
        replace(f"{_REACTOR}.processing", f"process_{kind}_cause", lambda original: _process_cause(hooks, original))

    def uninstall() -> None:
        for owner, name, original in reversed(undo):
            setattr(owner, name, original)

    return uninstall


def _orchestrator(hooks: Hooks, original: Any) -> Any:
    def orchestrator(**kwargs: Any) -> Coroutine[Any, Any, None]:
        known = getattr(kwargs["processor"], "keywords", {})
        if missing := [name for name in _PARTS if name not in known]:
            raise _unsupported(f"{', '.join(missing)} at hand in the processor of events")
        parts = Parts(
            processor=kwargs["processor"],
            paused=kwargs["operator_paused"],
            insights=kwargs.get("insights"),
            **{name: known[name] for name in _PARTS},
        )
        return hooks.orchestrate(parts, lambda processor: original(**{**kwargs, "processor": processor}))

    return orchestrator


def _run_tasks(hooks: Hooks, original: Any) -> Any:
    async def run_tasks(*args: Any, **kwargs: Any) -> None:
        await hooks.run_tasks(lambda: original(*args, **kwargs))

    return run_tasks


def _invoke_handler(hooks: Hooks, original: Any) -> Any:
    async def invoke_handler(*, handler: Any, **kwargs: Any) -> Any:
        return await hooks.invoke(handler, lambda handler: original(handler=handler, **kwargs))

    return invoke_handler


def _check_response(hooks: Hooks, original: Any) -> Any:
    async def check_response(response: Any) -> None:
        try:
            await original(response)
        except Exception as error:
            hooks.answered(response.method, response.url.path, error)
            raise
        hooks.answered(response.method, response.url.path, None)

    return check_response


def _continuous_watch(hooks: Hooks, original: Any) -> Any:
    def continuous_watch(**kwargs: Any) -> AsyncIterator[Any]:
        # A stream that pauses with the operator has a task waiting for the pause. The observers of CRDs, namespaces and
        # peerings never pause and have a mere future in its place: they are none of the election's business.
        if not isinstance(kwargs["operator_pause_waiter"], asyncio.Task):
            return original(**kwargs)  # type: ignore[no-any-return]  # an async generator of kopf's
        stream = Stream(kwargs["resource"], kwargs["namespace"])
        return hooks.watch(stream, lambda: original(**kwargs))

    return continuous_watch


def _infinite_watch(hooks: Hooks, original: Any) -> Any:
    def infinite_watch(**kwargs: Any) -> AsyncIterator[Any]:
        if kwargs.get("operator_paused") is None:  # an observer: see above
            return original(**kwargs)  # type: ignore[no-any-return]  # an async generator of kopf's
        stream = Stream(kwargs["resource"], kwargs["namespace"])
        return hooks.stream(stream, lambda **changed: original(**{**kwargs, **changed}))

    return infinite_watch


def _process_cause(hooks: Hooks, original: Any) -> Any:
    async def process_cause(*, cause: Any, registry: Any, **kwargs: Any) -> Any:
        if _starts_handlers(cause, registry):
            await hooks.before_handlers()
        return await original(cause=cause, registry=registry, **kwargs)

    return process_cause


def _starts_handlers(cause: Any, registry: Any) -> bool:
    reason = getattr(cause, "reason", None)
    if reason is None:  # events, daemons, timers: there are some for this resource
        return True
    if reason.value in ("create", "update", "delete"):
        return True
    return reason.value == "resume" and bool(registry._changing.get_handlers(cause=cause))  # noqa: SLF001 (as kopf does)


def is_listed(event: Any) -> bool:
    """Whether this item of a stream says that the listing is complete."""
    return event is get_once("kopf._cogs.clients.watching", "Bookmark.LISTED")


def is_sync(handler: Any) -> bool:
    """Whether kopf runs this handler in a thread."""
    return not get_once("kopf._core.actions.invocation", "is_async_fn")(handler.fn)


def list_in_chunks(settings: Any) -> None:
    """Have long lists come in pages, unless the user has decided on that; the setting exists since 1.45."""
    if getattr(settings.watching, "chunk_size", 0) is None:
        settings.watching.chunk_size = CHUNK_SIZE


def allow_jobs(settings: Any, seconds: float) -> None:
    """Have kopf wait at least that long, when it stops, for the events that are being handled."""
    queueing = settings.queueing if hasattr(settings, "queueing") else settings.batching  # its name until 1.41
    queueing.exit_timeout = max(queueing.exit_timeout, seconds)
