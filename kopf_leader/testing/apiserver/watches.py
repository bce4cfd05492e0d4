"""Watches: a stream of JSON lines, resumed from a version or begun with what exists."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass

from kopf_leader.testing.apiserver.lists import refuse_options, whole_number
from kopf_leader.testing.apiserver.resources import Resource
from kopf_leader.testing.apiserver.selectors import Selector
from kopf_leader.testing.apiserver.statuses import Body, Refused, expired, internal
from kopf_leader.testing.apiserver.storage import Change, EventType, Storage, Stored, Subscription, encode

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
BOOKMARK_BEFORE_END = 2.0
"""Seconds before the end of a watch at which a bookmark is sent (apiserver ``pkg/storage/cacher``)."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often bookmarks are sent and how long a watch lasts unless the client says so, in seconds."""

    bookmarks: float = 60.0
    shortest: float = 1800.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a client wants to watch."""

    resource: Resource
    namespace: str
    selector: Selector
    since: int | None
    bookmarks: bool
    initial_events: bool
    timeout: int

    @classmethod
    def of(cls, resource: Resource, namespace: str, selector: Selector, query: Mapping[str, str]) -> Wish:
        """From the query; refused (400, 422, 500) where kube-apiserver refuses it."""
        version = query.get("resourceVersion", "")
        if version and not version.isdecimal():
            told = f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
            raise internal(f"resourceVersion: {told}")
        initial = query.get("sendInitialEvents", "") in {"true", "1"}
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            raise refuse_options("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        return cls(
            resource=resource,
            namespace=namespace,
            selector=selector,
            since=None if version in ("", "0") or initial else int(version),
            bookmarks=query.get("allowWatchBookmarks", "") in {"true", "1"},
            initial_events=initial,
            timeout=whole_number(query, "timeoutSeconds"),
        )


def begin(storage: Storage, wish: Wish) -> tuple[list[bytes], Subscription]:
    """The first lines and what follows them, without a gap; refused (410) when the version is too old."""
    collection = storage.collection(wish.resource.collection)
    if wish.since is None:
        first = list(_existing(storage, wish))
    else:
        try:
            missed = collection.since(wish.since)
        except LookupError as error:
            raise expired(f"too old resource version: {wish.since} ({error.args[0]})") from None
        first = [found for change in missed if (found := _line(wish, change)) is not None]
    return first, Subscription(collection)


def _existing(storage: Storage, wish: Wish) -> Iterator[bytes]:
    prefix = f"{wish.namespace}/" if wish.namespace else ""
    collection = storage.collection(wish.resource.collection)
    for found in collection.at(storage.version).items(prefix=prefix, after=""):
        stored = found[1]
        if not wish.selector or wish.selector.matches(stored.body):
            yield _event("ADDED", stored, wish.resource)
    if wish.initial_events and wish.bookmarks:
        yield bookmark(storage, wish, annotations={INITIAL_EVENTS_END: "true"})


def _event(kind: EventType, stored: Stored, resource: Resource) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), stored.encoded(resource.api_version, resource.render))


def _line(wish: Wish, change: Change) -> bytes | None:
    """What this watch shows of a change: an object may move into its selector or out of it."""
    if wish.namespace and not change.key.startswith(f"{wish.namespace}/"):
        return None
    if wish.since is not None and change.version <= wish.since:
        return None  # asked for from a version that lies ahead
    was = change.old is not None and (not wish.selector or wish.selector.matches(change.old.body))
    now = change.new is not None and (not wish.selector or wish.selector.matches(change.new.body))
    if now and change.new is not None:
        return _event("MODIFIED" if was else "ADDED", change.new, wish.resource)
    if was and change.old is not None:
        return _event("DELETED", change.old.at(change.version), wish.resource)
    return None


def bookmark(storage: Storage, wish: Wish, *, annotations: dict[str, str] | None = None) -> bytes:
    """A BOOKMARK: everything up to this version has been sent."""
    meta: Body = {"resourceVersion": str(storage.version), "creationTimestamp": None}
    if annotations:
        meta["annotations"] = annotations
    shown = {"kind": wish.resource.kind, "apiVersion": wish.resource.api_version, "metadata": meta}
    if not wish.resource.custom:
        shown["spec"] = {}
    return encode({"type": "BOOKMARK", "object": shown}) + b"\n"


def failure(refusal: Refused) -> bytes:
    """An ERROR event: a refusal inside a 200."""
    return encode({"type": "ERROR", "object": refusal.status}) + b"\n"


async def lines(
    storage: Storage, wish: Wish, subscription: Subscription, pace: Callable[[], Pace]
) -> AsyncIterator[bytes]:
    """The stream after its first lines, in pieces of whole lines, until the time is over or the watch is closed."""
    loop = asyncio.get_running_loop()
    shortest = pace().shortest
    lasting = wish.timeout or shortest * (1 + random.random())  # noqa: S311 - spreads reconnects, no secret
    end = loop.time() + lasting
    last_call = end - BOOKMARK_BEFORE_END if wish.bookmarks and lasting > BOOKMARK_BEFORE_END else end
    last_mark = loop.time()
    while (now := loop.time()) < end:
        wake = end
        if wish.bookmarks:
            wake = min(end, last_mark + pace().bookmarks, last_call if last_call > now else end)
        try:
            async with asyncio.timeout(max(wake - now, 0)):
                changes = [await subscription.queue.get()]
        except TimeoutError:
            if wish.bookmarks and loop.time() < end:
                last_mark = loop.time()
                yield bookmark(storage, wish)
            continue
        while not subscription.queue.empty():
            changes.append(subscription.queue.get_nowait())
        told = [found for change in changes if change is not None and (found := _line(wish, change)) is not None]
        if told:
            yield b"".join(told)
        if None in changes:
            return
