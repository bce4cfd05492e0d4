"""Two lanes: the handlers of the leader, and those marked with `every_replica`, which run beside them on each replica.

The leader's lane is the gate's affair; it gets a registry without the marked handlers. The other one is here. It goes
by memories and settings of its own, so neither promotion nor demotion reaches it: its timers keep their pace, its
daemons go on. It has no term, and is not counted in with one: the Lease is given back without waiting for it. It
changes no object: it knows no finalizer, and what its handlers write is dropped.

An object is seen once in each of its versions: what is listed again, or replayed at a promotion, is no news here.
"""

import asyncio
import contextvars
import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from kopf_leader.elector.waiting import all_done
from kopf_leader.errors import SettingsError
from kopf_leader.gate import seam, seam_lane
from kopf_leader.gate.every import is_marked
from kopf_leader.gate.fence import ON_EVERY_REPLICA, TENURE
from kopf_leader.gate.seam_parts import Parts

logger = logging.getLogger("kopf_leader.gate")

_MARKABLE = ("watching", "spawning")
_ANYWAY = ("activities", "indexing", "webhooks")
_MOMENT = 0.1  # seconds in which a daemon may end by itself before it is cancelled; kopf gives it ten turns of the loop


class Lanes:
    """Both lanes of one operator. On kopf's loop; raises `SettingsError` if a handler is marked that must not be.

    `drain_timeout`: seconds that the marked handlers may go on for when the operator stops.
    """

    def __init__(self, *, parts: Parts, drain_timeout: float) -> None:
        self._parts = parts
        refuse(parts.registry)
        _tell_needless(parts.registry)
        self._drain_timeout = drain_timeout
        self._lane: seam_lane.Lane | None = None
        self._versions: dict[str, str] = {}  # uid: the version of the object that was seen last
        self._running: set[asyncio.Task[Any]] = set()  # jobs, and daemons that were told to stop
        self._stopping = asyncio.Event()
        self._warned: set[str] = set()
        if any(is_marked(handler.fn) for kind in _MARKABLE for handler in seam_lane.handlers(parts.registry, kind)):
            self._leaders = seam_lane.without(parts.registry, _is_marked, indexing=True)
            self._leaders_unindexed = seam_lane.without(parts.registry, _is_marked, indexing=False)
            self._all = seam_lane.only(parts.registry, _is_marked, self._watched, spawning=True)
            self._events = seam_lane.only(parts.registry, _is_marked, self._watched, spawning=False)
            self._lane = seam_lane.Lane(parts)

    def needed(self, resource: Any) -> bool:
        """Whether there are marked handlers of this resource."""
        return self._lane is not None and seam_lane.has_handlers(self._all, resource)

    def leader_registry(self, resource: Any) -> Any:
        """The handlers of the leader's lane for this resource; if it has marked ones, it is indexed for both before."""
        if self._lane is None:
            return self._parts.registry
        return self._leaders_unindexed if self.needed(resource) else self._leaders

    def watches(self, resource: Any) -> bool:
        """Whether its streams must stay open on a standby: for marked handlers, or for indices that they may use."""
        return self.needed(resource) or (self._lane is not None and self._parts.has_indices(resource))

    async def process(self, *, raw_event: Any, resource: Any, **event: Any) -> None:
        """Have the marked handlers handle an event, whoever leads. The object, and all others, are indexed before."""
        if self._lane is None or self._stopping.is_set() or not self.needed(resource):
            return
        context = contextvars.copy_context()
        context.run(ON_EVERY_REPLICA.set, True)
        context.run(TENURE.set, None)
        handling = self._handle(self._lane, raw_event=raw_event, resource=resource, **event)
        job: asyncio.Task[None] = asyncio.create_task(handling, context=context)
        self._count(job)
        try:
            await job  # cancelled from outside, it cancels the job and waits for it
        except asyncio.CancelledError:
            worker = asyncio.current_task()
            if worker is not None and worker.cancelling():
                raise  # else only the job was, by `stop()`

    async def forget(self, body: Mapping[str, Any]) -> None:
        """End what runs for an object that is gone without an event that says so."""
        if self._lane is not None and self._versions.pop(_uid(body), None) is not None:
            memory = await self._lane.forget(body)
            self._lane.tell(memory, "RESOURCE_DELETED")
            self._see_out(self._lane.endings(memory))

    async def stop(self) -> None:
        """Begin nothing more, and end what runs: it is told at once, and cancelled when the drain time-out is over."""
        if self._lane is None:
            return
        self._stopping.set()
        self._lane.tell_all("OPERATOR_EXITING")
        self._see_out(self._lane.all_endings())
        clock = asyncio.get_running_loop().time
        end = clock() + self._drain_timeout
        while (running := self.running()) and clock() < end:  # a job may have begun daemons meanwhile
            await asyncio.wait(running, timeout=end - clock())
        for task in self.running():
            task.cancel()
        await all_done(self.running())

    def running(self) -> list[asyncio.Task[Any]]:
        """What holds up the end of the operator: jobs, and daemons that were told to stop. Any thread."""
        return [task for task in list(self._running) if not task.done()]

    async def _handle(self, lane: seam_lane.Lane, *, raw_event: Any, **event: Any) -> None:
        if self._stopping.is_set() or not self._is_news(raw_event):
            return
        memory = await lane.recall(raw_event)
        leaving = raw_event["type"] == "DELETED" or "deletionTimestamp" in raw_event["object"].get("metadata", {})
        if leaving:
            lane.tell(memory, "RESOURCE_DELETED")
            self._see_out(lane.endings(memory))
        # kopf would begin daemons for an object that is deleted without having waited for anybody's finalizer.
        await lane.process(registry=self._events if leaving else self._all, raw_event=raw_event, **event)
        if self._stopping.is_set():
            lane.tell(memory, "OPERATOR_EXITING")
        self._see_out(lane.endings(memory))

    def _is_news(self, raw_event: Mapping[str, Any]) -> bool:
        uid, version = _uid(raw_event["object"]), raw_event["object"].get("metadata", {}).get("resourceVersion")
        if raw_event["type"] is None and uid and self._versions.get(uid) == version:
            return False
        if raw_event["type"] == "DELETED":
            self._versions.pop(uid, None)
        elif version:
            self._versions[uid] = version
        return True

    def _see_out(self, endings: Iterable[seam_lane.Ending]) -> None:
        """Look after the end of what was told to stop, as kopf does for its own."""
        for ending in endings:
            if ending.task not in self._running:
                self._count(ending.task)
                if ending.cancel_after is not None:
                    after = max(ending.cancel_after, _MOMENT)
                    asyncio.get_running_loop().call_later(after, ending.task.cancel)

    def _count(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _watched(self, handler: Any) -> Callable[..., Any]:
        """Wrap a handler's function so that what it would write is noticed, and said once."""
        function = handler.fn

        @wraps(function)
        def synchronous(**kwargs: Any) -> Any:
            with self._noticing(handler, kwargs["patch"]) as returned:
                returned.append(function(**kwargs))
            return returned[0]

        @wraps(function)
        async def asynchronous(**kwargs: Any) -> Any:
            with self._noticing(handler, kwargs["patch"]) as returned:
                returned.append(await function(**kwargs))
            return returned[0]

        return synchronous if seam.is_sync(handler) else asynchronous

    @contextmanager
    def _noticing(self, handler: Any, patch: Any) -> Iterator[list[Any]]:
        before, returned = _content(patch), list[Any]()
        try:
            yield returned
        finally:
            writes = returned not in ([], [None]) or _content(patch) != before
            if writes and handler.id not in self._warned:
                self._warned.add(handler.id)
                logger.warning(
                    "Handler %r runs on every replica, so what it returns or puts into the patch is dropped, now and "
                    "in future: change objects in a handler without the mark every_replica.",
                    handler.id,
                )


def refuse(registry: Any) -> None:
    """Raise `SettingsError` if a handler is marked that cannot run on every replica."""
    sentences = [
        f"Handler {handler.id!r} is marked with every_replica, which is for on.event, timers and daemons: handlers of "
        "creation, update, deletion, resuming and fields keep their progress on the object, where replicas would "
        "overwrite each other's; take the mark off, and it runs on the leader."
        for handler in seam_lane.handlers(registry, "changing")
        if is_marked(handler.fn)
    ]
    if sentences:
        raise SettingsError(dict.fromkeys(sentences))


def _tell_needless(registry: Any) -> None:
    for kind in _ANYWAY:
        for handler in seam_lane.handlers(registry, kind):
            if is_marked(handler.fn):
                logger.info("Handler %r runs on every replica anyway: it needs no mark every_replica.", handler.id)


def _is_marked(handler: Any) -> bool:
    return is_marked(handler.fn)


def _uid(body: Mapping[str, Any]) -> str:
    return str(body.get("metadata", {}).get("uid") or "")


def _content(patch: Any) -> tuple[Any, int]:
    return copy.deepcopy(dict(patch)), len(getattr(patch, "fns", ()))  # functions since 1.44
