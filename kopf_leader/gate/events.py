"""The way of an event to its handlers: through the gate, or not at all.

What was seen under an earlier term may be stale by the time of a later one: somebody else has handled it, and it would
be handled again. There are two ways to keep that from happening.

The cold way: streams are open while this process leads. An event is handled under the term in which its listing or
watching began, or it is dropped. Nothing is lost by dropping, as every term begins with a new listing.

The warm way: streams are always open, and what they bring is held (`hold`). An event is handled under the term in which
it was given to kopf, if it has passed the barrier (`barrier`), or it is dropped. Nothing is lost by dropping, as every
term begins with all that is held.
"""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from kopf_leader.gate import seam
from kopf_leader.gate.barrier import CHECK, Check
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.fence import TENURE
from kopf_leader.gate.hold import Hold
from kopf_leader.gate.lanes import Lanes
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.gate.seen import MARK, Seen
from kopf_leader.gate.tenure import Job, Tenure

logger = logging.getLogger("kopf_leader.gate")

PATIENCE = 1.0  # seconds until a stream that was cancelled and is still read is cancelled again

_Roster = dict[str, tuple[str | None, str | None]]  # uid: namespace, name


class Intake:
    """What takes events in, for one operator. On kopf's loop."""

    def __init__(self, *, parts: Parts, counters: Counters) -> None:
        self.parts = parts
        self.counters = counters
        self.tenure: Tenure | None = None
        """The tenure that the gate was last opened for."""
        self.warm = False
        """Whether streams stay open on a standby."""
        self.alone = False
        """Whether nobody else can lead. Then no stream outlives a pause: it is one of kopf's own peering."""
        self.ending = False
        """Whether the operator ends."""
        self.lanes: Lanes | None = None
        """What runs beside the leader's handlers, whoever leads."""
        self._indexed: asyncio.Task[None] | None = None  # done when all indices are filled
        self._holds: set[Hold] = set()
        self._gone: list[Mapping[str, Any]] = []  # objects that cannot be forgotten yet
        self._rosters: dict[seam.Stream, _Roster] = {}
        self._readers: set[asyncio.Task[Any]] = set()
        self._waiting: set[asyncio.Task[Any]] = set()
        self._interrupted: set[asyncio.Task[Any]] = set()

    @property
    def unwatched(self) -> list[str]:
        """The resources that this standby tries to watch in vain: it would have to stop if it led. Any thread."""
        return sorted({str(hold.stream.resource) for hold in list(self._holds) if hold.broken})

    async def process(self, *, raw_event: Any, **kwargs: Any) -> Any:
        """Handle one event in both lanes, in kopf's order: what runs on every replica is what comes first there."""
        seen: Seen | None = raw_event.pop(MARK, None)
        if self.lanes is not None and self.lanes.needed(kwargs["resource"]):
            await self._index(raw_event, kwargs["resource"])
            kwargs = await self._until_indexed(**kwargs)
            shown = raw_event if seen is None else {**raw_event, "type": seen.kind}
            await self.lanes.process(raw_event=shown, **kwargs)
        return await self._lead(seen, raw_event=raw_event, **kwargs)

    async def _lead(self, seen: Seen | None, *, raw_event: Any, **kwargs: Any) -> Any:
        """Handle one event as the leader, in a job of its own, so that it can be cancelled alone; or drop it."""
        tenure = self.tenure
        refused = seen is not None and (seen.tenure is not tenure or (seen.hold and seen.hold.is_unknown(raw_event)))
        if tenure is None or not tenure.may_start or refused:
            self.counters.events_dropped += 1
            await self._keep_up(raw_event, seen, **kwargs)
            return None
        context = contextvars.copy_context()
        context.run(TENURE.set, tenure)
        if seen is not None and seen.barrier is not None:
            context.run(CHECK.set, Check(seen.barrier, raw_event["object"]["metadata"]))
        job: asyncio.Task[Any] = asyncio.create_task(self._handle(raw_event, **kwargs), context=context)
        indexed = kwargs.get("operator_indexed")
        waits = indexed is not None and indexed.is_off()
        tenure.add_job(job, Job(kwargs.get("stream_pressure"), indexed if waits else None))
        try:
            return await job  # cancelled from outside, it cancels the job and waits for it
        except asyncio.CancelledError:
            worker = asyncio.current_task()
            if worker is not None and worker.cancelling():
                raise
        # Only the job was: by the gate, or refused by the fence or the barrier.
        if tenure.shut:
            await self._keep_up(raw_event, seen, **kwargs)
        return None

    async def _handle(self, raw_event: Any, **kwargs: Any) -> Any:
        """Let kopf handle it; once more where it has spent the event on a patch that turned out to change nothing.

        kopf keeps a patch that the API server has refused until the next event, and runs no handlers with it, as the
        patch will bring an event of its own. If somebody else has done the same change meanwhile (a former leader whose
        request landed late), none comes, and the object would be left alone for good.
        """
        kwargs = await self._fill_indices(raw_event, **kwargs)
        if self.lanes is not None:
            kwargs["registry"] = self.lanes.leader_registry(kwargs["resource"])
        body = raw_event["object"]
        kept = await self.parts.keeps_patch(body)
        version = await self.parts.processor(raw_event=raw_event, **kwargs)
        spent = kept and version is None and not await self.parts.keeps_patch(body)
        if not spent or raw_event["type"] == "DELETED":
            return version
        return await self.parts.processor(raw_event=raw_event, **kwargs)

    async def _fill_indices(self, raw_event: Any, **kwargs: Any) -> dict[str, Any]:
        """Index the object while kopf holds back all handlers, and wait for the others."""
        all_indexed, indexed = kwargs.get("operator_indexed"), kwargs.get("resource_indexed")
        if all_indexed is not None and indexed is not None and all_indexed.is_off():
            await self.parts.index(raw_event=raw_event, resource=kwargs["resource"])
        return await self._until_indexed(**kwargs)

    async def _index(self, raw_event: Any, resource: Any) -> None:
        """Index an object for both lanes."""
        try:
            if self.parts.has_indices(resource):
                await self.parts.index(raw_event=raw_event, resource=resource)
        except Exception:  # a failure here would stop the operator
            logger.exception("An object could not be indexed.")

    async def _until_indexed(self, **kwargs: Any) -> dict[str, Any]:
        """Wait until all objects are indexed; give the keywords for kopf, which has nothing to wait for any more.

        In kopf's own way each object that is indexed wakes all that wait, to look at all again: minutes of computing
        for ten thousand objects. Here one waits for all.
        """
        all_indexed, indexed = kwargs.get("operator_indexed"), kwargs.get("resource_indexed")
        if all_indexed is None:
            return kwargs
        if indexed is not None:
            await all_indexed.drop_toggle(indexed)
        if all_indexed.is_off() and not self.ending:
            if self._indexed is None or self._indexed.done():
                # In a context of its own: it is nobody's, least of all the term's.
                waiting = all_indexed.wait_for(True)
                self._indexed = asyncio.get_running_loop().create_task(waiting, context=contextvars.Context())
            await asyncio.wait({self._indexed})
        return {**kwargs, "resource_indexed": None}

    async def _keep_up(self, raw_event: Any, seen: Seen | None, *, resource: Any, **kwargs: Any) -> None:
        """Keep the indices and kopf's memories up to date with an event that is not handled."""
        try:
            all_indexed, indexed = kwargs.get("operator_indexed"), kwargs.get("resource_indexed")
            if seen is not None and seen.hold is not None:
                await seen.hold.index(raw_event)
            elif all_indexed is not None and all_indexed.is_off():
                await self.parts.index(raw_event=raw_event, resource=resource)
            if all_indexed is not None and indexed is not None:
                # kopf holds all handlers back until every object that it has queued is indexed.
                await all_indexed.drop_toggle(indexed)
            if raw_event["type"] == "DELETED":
                await self._forget(raw_event["object"])
        except Exception:  # a failure here would stop the operator
            logger.exception("An event that is not handled here could not be indexed or forgotten.")

    # The warm way.

    def stream(self, stream: seam.Stream, original: Callable[..., AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """All that is ever listed and watched of a resource; held if it is to stay open on a standby."""
        beside = not self.alone and self.lanes is not None and self.lanes.watches(stream.resource)
        if not self.warm and not beside:
            return self._plain(original)
        return self._hold(stream, lambda: original(operator_paused=self.parts.never_paused()))

    async def _hold(self, stream: seam.Stream, original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        passes = self.lanes is not None and self.lanes.needed(stream.resource)
        hold = Hold(stream, original=original, parts=self.parts, counters=self.counters, passes=passes)
        if self.tenure is not None and self.tenure.may_start:
            hold.tenure = self.tenure
        self._holds.add(hold)
        try:
            async with aclosing(hold.events()) as events:  # type: ignore[type-var]  # an async generator
                async for event in events:
                    yield event
        finally:
            await hold.close()
            self._holds.discard(hold)
            for body in hold.bodies() if not self.ending else ():  # the resource or the namespace is gone
                if self.lanes is not None:
                    await self.lanes.forget(body)
                if self.tenure is None or self.tenure.over:
                    await self.parts.forget(body)

    def promote(self, tenure: Tenure) -> None:
        """Take events in under this tenure from now on."""
        self.tenure = tenure
        for hold in self._holds:
            hold.promote(tenure)

    def end(self) -> None:
        """Take note that the operator ends: nobody waits for the indices any more."""
        self.ending = True
        if self._indexed is not None:
            self._indexed.cancel()

    async def stop(self) -> None:
        """End what kopf has left open at the end of the operator."""
        for hold in [*self._holds]:
            await hold.close()
        if self._indexed is not None:
            self._indexed.cancel()
            await asyncio.wait({self._indexed})

    # The cold way.

    async def _plain(self, original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Kopf's own stream, and who reads it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (streams are read in tasks)
        self._readers.add(task)
        try:
            async with aclosing(original()) as events:  # type: ignore[type-var]  # an async generator of kopf's
                async for event in events:
                    yield event
        finally:
            self._readers.discard(task)

    async def press(self) -> None:
        """Cancel again, and again, who was cancelled and goes on reading; to be cancelled itself when all have ended.

        kopf swallows a cancellation that comes while a stream pauses, and would wait for the end of the pause for ever.
        """
        while True:
            await asyncio.sleep(PATIENCE)  # who has just been cancelled may not have noticed yet
            for task in self._readers:
                task.cancel()

    async def watch(self, stream: seam.Stream, original: Callable[[], AsyncIterator[Any]]) -> AsyncIterator[Any]:
        """Pass on what is seen in one listing and watching, marked with the term it is seen under; end with that."""
        tenure = self.tenure
        if tenure is None or not tenure.may_start:
            return
        listed: _Roster = {}
        roster: _Roster = listed
        async with aclosing(original()) as events:  # type: ignore[type-var]  # an async generator of kopf's
            while (event := await self._next(events, tenure)) is not None:
                if isinstance(event, dict):
                    event[MARK] = Seen(tenure, event["type"])
                    _note(roster, event)
                elif seam.is_listed(event):
                    await self._forget_missing(stream, listed)
                    roster = self._rosters[stream] = listed
                yield event

    def interrupt(self) -> None:
        """Have all streams notice the end of the term: kopf's pause does not reach one that waits to try again."""
        for hold in self._holds:
            hold.demote()
        for task in self._waiting:
            self._interrupted.add(task)
            task.cancel()

    async def _next(self, events: AsyncIterator[Any], tenure: Tenure) -> Any:
        """The next event, or None at the end of the stream or of the term."""
        task, event = asyncio.current_task(), None
        assert task is not None  # noqa: S101 (streams are read in tasks)
        self._waiting.add(task)
        try:
            event = await anext(events, None)
        except asyncio.CancelledError:
            if task not in self._interrupted:
                raise
        finally:
            self._waiting.discard(task)
        if task in self._interrupted:
            self._interrupted.discard(task)
            task.uncancel()
        if task.cancelling():
            raise asyncio.CancelledError  # kopf swallows a cancellation that comes while it pauses, and would go on
        return None if tenure.shut else event

    async def _forget_missing(self, stream: seam.Stream, listed: _Roster) -> None:
        """Forget objects that were deleted while nobody looked: kopf itself keeps them in its memory for good."""
        for uid, (namespace, name) in self._rosters.get(stream, {}).items():
            if uid not in listed:
                body = {"metadata": {"namespace": namespace, "name": name, "uid": uid}}
                if self.lanes is not None:
                    await self.lanes.forget(body)
                await self._forget(body)

    async def _forget(self, body: Mapping[str, Any]) -> None:
        if not await self.parts.forget(body):
            self._gone.append(body)

    async def closed(self) -> None:
        """Forget what was gone while its daemons were still at work; nothing runs any more."""
        gone, self._gone = self._gone, []
        for body in gone:
            await self._forget(body)


def _note(roster: _Roster, event: dict[str, Any]) -> None:
    metadata = event.get("object", {}).get("metadata", {})
    if uid := metadata.get("uid"):
        if event["type"] == "DELETED":
            roster.pop(uid, None)
        else:
            roster[uid] = (metadata.get("namespace"), metadata.get("name"))
