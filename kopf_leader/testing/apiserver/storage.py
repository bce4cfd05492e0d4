"""The store: one growing resourceVersion for everything, the history that watches resume from, and its compaction.

Bodies in the store are never changed in place: a write replaces the whole body. So a body may be handed out, kept in
the history and encoded once for all its readers. A write costs as much as there are watches on its collection; a list
costs as much as it returns.
"""

from __future__ import annotations

import asyncio
import bisect
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from kopf_leader.testing.apiserver.statuses import Body

Render = Callable[[Body], Body]
HISTORY = 20_000
"""Changes kept per collection: a watch from further back gets 410."""


def encode(body: Body) -> bytes:
    """JSON as it goes out."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def canonical(body: Body) -> str:
    """Two bodies that the API server would store alike give equal strings (Python's ``1 == True`` would not do)."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


class Stored:
    """A body at one version, with its encodings (one per API version it is served in)."""

    __slots__ = ("_encoded", "body", "version")

    def __init__(self, body: Body, version: int) -> None:
        self.body = body
        self.version = version
        self._encoded: dict[str, bytes] = {}

    def encoded(self, api_version: str, render: Render) -> bytes:
        """The JSON of this body as ``api_version`` shows it; computed once."""
        known = self._encoded.get(api_version)
        if known is None:
            known = self._encoded[api_version] = encode(render(self.body))
        return known

    def at(self, version: int) -> Stored:
        """The same body under another resourceVersion: what the event of its deletion carries."""
        metadata = {**self.body["metadata"], "resourceVersion": str(version)}
        return Stored({**self.body, "metadata": metadata}, version)


@dataclass(frozen=True, slots=True)
class Change:
    """One write: what was stored before and after it (``None``: nothing)."""

    version: int
    key: str
    old: Stored | None
    new: Stored | None


EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class Subscription:
    """The changes of one collection from now on; ``None`` says that the watch is to end."""

    def __init__(self, collection: Collection) -> None:
        self.queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._collection = collection
        collection.subscriptions.add(self)

    def close(self) -> None:
        """Stop listening."""
        self._collection.subscriptions.discard(self)


@dataclass(eq=False)
class Collection:
    """All objects of one resource in all namespaces; keys are ``namespace/name``, kept sorted as etcd keeps them."""

    name: str
    objects: dict[str, Stored] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    history: deque[Change] = field(default_factory=deque)
    compacted: int = 0
    subscriptions: set[Subscription] = field(default_factory=set)

    def since(self, version: int) -> list[Change]:
        """The changes after ``version``, oldest first; LookupError when they are not all kept any more."""
        if version < self.compacted:
            raise LookupError(self.compacted)
        changes: list[Change] = []
        for change in reversed(self.history):
            if change.version <= version:
                break
            changes.append(change)
        changes.reverse()
        return changes

    def at(self, version: int) -> Snapshot:
        """The collection as it was at ``version``; LookupError when that is not kept any more."""
        past: dict[str, Stored | None] = {}
        for change in self.since(version):
            past.setdefault(change.key, change.old)
        return Snapshot(self, past)


class Snapshot:
    """A collection at one version: today's objects, overlaid with what has changed since."""

    def __init__(self, collection: Collection, past: dict[str, Stored | None]) -> None:
        self._collection = collection
        self._past = past
        self._keys = collection.keys
        if past:
            gone = [key for key, stored in past.items() if stored is not None and key not in collection.objects]
            self._keys = sorted([*collection.keys, *gone])

    def items(self, *, prefix: str, after: str) -> Iterator[tuple[str, Stored]]:
        """In the order of keys: those that start with ``prefix`` and come after ``after``."""
        start = bisect.bisect_left(self._keys, prefix)
        if after:
            start = max(start, bisect.bisect_right(self._keys, after))
        for index in range(start, len(self._keys)):
            key = self._keys[index]
            if not key.startswith(prefix):
                return
            stored = self._past[key] if key in self._past else self._collection.objects[key]
            if stored is not None:
                yield key, stored

    def count(self, *, prefix: str, after: str) -> int:
        """How many objects ``items`` would give."""
        if self._past:
            return sum(1 for _ in self.items(prefix=prefix, after=after))
        start = bisect.bisect_right(self._keys, after) if after else bisect.bisect_left(self._keys, prefix)
        return bisect.bisect_left(self._keys, prefix + "\U0010ffff") - start


class Storage:
    """All collections, under one version."""

    def __init__(self, *, history: int = HISTORY) -> None:
        self.version = 1
        self.collections: dict[str, Collection] = {}
        self._history = history

    def collection(self, name: str) -> Collection:
        """The collection of that name (``group/plural``); made when first asked for."""
        found = self.collections.get(name)
        if found is None:
            found = self.collections[name] = Collection(name, compacted=0)
        return found

    def put(self, collection: Collection, key: str, body: Body) -> Stored:
        """Store ``body`` under a new version, which is written into its metadata."""
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        stored = Stored(body, self.version)
        old = collection.objects.get(key)
        if old is None:
            bisect.insort(collection.keys, key)
        collection.objects[key] = stored
        self._record(collection, Change(self.version, key, old, stored))
        return stored

    def remove(self, collection: Collection, key: str) -> None:
        """Delete what is stored there; the deletion has a version of its own."""
        self.version += 1
        old = collection.objects.pop(key)
        del collection.keys[bisect.bisect_left(collection.keys, key)]
        self._record(collection, Change(self.version, key, old, None))

    def compact(self, version: int | None = None) -> None:
        """Forget the history up to ``version`` (now, when not given): watches from before it get 410."""
        limit = self.version if version is None else version
        for collection in self.collections.values():
            while collection.history and collection.history[0].version <= limit:
                collection.history.popleft()
            collection.compacted = max(collection.compacted, limit)

    def _record(self, collection: Collection, change: Change) -> None:
        collection.history.append(change)
        if len(collection.history) > self._history:
            collection.compacted = collection.history.popleft().version
        for subscription in collection.subscriptions:
            subscription.queue.put_nowait(change)
