"""One Lease in memory, with the API server's rules that matter to a driver, and a client with faults to switch on."""

import asyncio
import copy
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from kopf_leader.clients.base import WatchEvent
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.state import Exit, StopLeading
from kopf_leader.protocol.term import Term

NOT_FOUND, CONFLICT = 404, 409


class MemoryLease:
    """The store: one object, one version counter, a history for watches."""

    def __init__(self) -> None:
        self.versions = itertools.count(10)
        self.uids = itertools.count(1)
        self.lease: dict[str, Any] | None = None
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        self.news = asyncio.Event()
        self.compacted = 0

    def make(self, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
        """Create it, as kubectl or the chart would."""
        self.lease = {"metadata": {"name": "op", "namespace": "ns", "uid": f"u{next(self.uids)}", **metadata}}
        self.lease["spec"] = spec or {}
        return self._store("ADDED", self.lease)

    def edit(self, **spec: Any) -> None:
        """Change it, as kubectl would."""
        assert self.lease is not None
        self._store("MODIFIED", {**self.lease, "spec": {**self.lease["spec"], **spec}})

    def annotate(self, **annotations: str | None) -> None:
        """Set or (None) remove annotations of ours, as `kopf-leader` or kubectl would."""
        assert self.lease is not None
        changed = {f"kopf-leader/{key.replace('_', '-')}": text for key, text in annotations.items()}
        have = {**self.lease["metadata"].get("annotations", {}), **changed}
        kept = {key: text for key, text in have.items() if text is not None}
        self._store("MODIFIED", {**self.lease, "metadata": {**self.lease["metadata"], "annotations": kept}})

    def delete(self) -> None:
        assert self.lease is not None
        gone, self.lease = self.lease, None
        self._store("DELETED", gone)
        self.lease = None

    def _store(self, kind: str, lease: dict[str, Any]) -> dict[str, Any]:
        version = next(self.versions)
        lease = copy.deepcopy(lease)
        lease["metadata"]["resourceVersion"] = str(version)
        self.lease = lease
        self.log.append((version, kind, lease))
        news, self.news = self.news, asyncio.Event()
        news.set()
        return copy.deepcopy(lease)

    def read(self) -> dict[str, Any]:
        if self.lease is None:
            raise LeaseAPIError("no such Lease", status=NOT_FOUND)
        return copy.deepcopy(self.lease)

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        if self.lease is not None:
            raise LeaseAPIError("it exists", status=CONFLICT)
        metadata = {name: body["metadata"].get(name, {}) for name in ("labels", "annotations")}
        return self.make(body["spec"], **metadata)

    def replace(self, body: dict[str, Any]) -> dict[str, Any]:
        have = self.lease and self.lease["metadata"]
        if not have or any(have[key] != body["metadata"][key] for key in ("uid", "resourceVersion")):
            raise LeaseAPIError("the object has been modified", status=CONFLICT)
        return self._store("MODIFIED", body)


class MemoryClient:
    """A `LeaseClient` on a `MemoryLease`. `fault`, if set, is awaited before each request and may raise or hang."""

    def __init__(self, store: MemoryLease, *, latency: float = 0.002) -> None:
        self.store = store
        self.latency = latency
        self.fault: Callable[[str], Awaitable[None]] | None = None
        self.answer: Callable[[str, Any], Awaitable[Any]] | None = None
        self.requests: Counter[str] = Counter()
        self.closed = False
        self.watching = 0

    async def _ask(self, verb: str, work: Callable[[], Any]) -> Any:
        self.requests[verb] += 1
        await asyncio.sleep(self.latency)
        if self.fault is not None:
            await self.fault(verb)
        result = work()
        await asyncio.sleep(self.latency)
        return result if self.answer is None else await self.answer(verb, result)

    async def read(self) -> Any:
        return await self._ask("get", self.store.read)

    async def create(self, body: Any) -> Any:
        return await self._ask("create", lambda: self.store.create(dict(body)))

    async def replace(self, body: Any) -> Any:
        return await self._ask("update", lambda: self.store.replace(dict(body)))

    async def watch(self, version: str | None) -> Any:
        await self._ask("watch", lambda: None)
        seen = int(version) if version else 0
        if seen and seen < self.store.compacted:
            raise LeaseAPIError("too old", status=410)
        if not version and self.store.lease is not None:
            seen = int(self.store.lease["metadata"]["resourceVersion"])
            yield WatchEvent(kind="ADDED", object=self.store.read())
        elif not version:
            seen = max((at for at, _, _ in self.store.log), default=0)
        self.watching += 1
        try:
            while True:
                for at, kind, lease in self.store.log:
                    if at > seen:
                        seen = at
                        await asyncio.sleep(self.latency)
                        if self.fault is not None:
                            await self.fault("event")
                        yield WatchEvent(kind=kind, object=copy.deepcopy(lease))
                news = self.store.news
                if self.store.log and self.store.log[-1][0] > seen:
                    continue
                await news.wait()
        finally:
            self.watching -= 1

    async def login(self) -> None:
        await self._ask("login", lambda: None)

    async def close(self) -> None:
        self.closed = True


class Recorder:
    """A `Follower` that writes down what it is told, and drains at once unless told to be busy."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.terms: list[Term] = []
        self.busy = False
        self.drained: Callable[[int], None] = lambda token: None

    @property
    def leading(self) -> bool:
        return (
            bool(self.terms)
            and self.terms[-1].valid
            and not any(what == "stop" and stop.token == self.terms[-1].token for what, stop in self.told)
        )

    def start_leading(self, term: Term) -> None:
        self.terms.append(term)
        self.told.append(("start", term.token))

    def stop_leading(self, stop: StopLeading) -> None:
        self.told.append(("stop", stop))
        if not self.busy:
            self.drained(stop.token)

    def exit_process(self, exit_: Exit) -> None:
        self.told.append(("exit", exit_))

    def new_leader(self, holder: str) -> None:
        self.told.append(("leader", holder))
