"""Streams that lag, break and go deaf, by the test's order; and what a former leader leaves on objects."""

import asyncio
import functools
import json
import threading
from typing import Any

from kopf._cogs.clients import watching

from tests.gate.operators import Cluster

FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"
LAST_HANDLED = "kopf.zalando.org/last-handled-configuration"


class Streams:
    """All of kopf's streams of one resource. `lag()` holds back what they bring; `go_on()` lets it through."""

    def __init__(self, monkeypatch: Any, plural: str) -> None:
        self.listed = 0
        """How many times objects were listed, or sent as initial events."""
        self.deaf = False
        """Whether what is held back is lost for good, as with a connection that has died silently."""
        self._plural = plural
        self._open = threading.Event()
        self._open.set()
        self._gone = threading.Event()
        self._torn = threading.Event()
        self._watch = watching.watch_objs
        monkeypatch.setattr(watching, "watch_objs", self._watch_objs)
        begin = watching.continuous_watch

        @functools.wraps(begin)
        def beginning(**kwargs: Any) -> Any:
            if kwargs["resource"].plural == plural:
                self.listed += 1
                if self.deaf:
                    self.deaf = False
                    self._open.set()
            return begin(**kwargs)

        monkeypatch.setattr(watching, "continuous_watch", beginning)

    def lag(self) -> None:
        """From now on nothing comes."""
        self._open.clear()

    def go_on(self) -> None:
        """Let everything through that has come meanwhile."""
        self._open.set()

    def break_off(self) -> None:
        """Have the server say that it has forgotten the version (410), once: what has come meanwhile is lost."""
        self._gone.set()
        self._open.set()

    def tear(self) -> None:
        """Have the next stream that begins with what there is break off after one object."""
        self._torn.set()

    async def _watch_objs(self, **kwargs: Any) -> Any:
        if self._torn.is_set() and kwargs["resource"].plural == self._plural:
            self._torn.clear()
            async for item in self._watch(**kwargs):
                yield item
                version = item["object"]["metadata"]["resourceVersion"]
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}
                return
        async for item in self._watch(**kwargs):
            if kwargs["resource"].plural == self._plural:
                while not self._open.is_set():  # noqa: ASYNC110 (set in another thread)
                    await asyncio.sleep(0.01)
                if self._gone.is_set():
                    self._gone.clear()
                    yield {"type": "ERROR", "object": {"code": 410}}
                    return
            yield item


def handled(**spec: Any) -> dict[str, str]:
    """The annotation that says that an object with this content has been handled."""
    return {LAST_HANDLED: json.dumps({"spec": spec}) + "\n"}


def say_handled(cluster: Cluster, name: str) -> None:
    """What a former leader does when it has handled an object."""
    spec = cluster.get(name)["spec"]
    cluster.mark(name, annotations=handled(**spec))


def block(cluster: Cluster, name: str) -> None:
    """Have the object wait for kopf when it is deleted."""
    cluster.mark(name, finalizers=[FINALIZER])


def release(cluster: Cluster, name: str) -> None:
    """Let a deleted object go, as a former leader does after its deletion was handled."""
    cluster.mark(name, finalizers=[])
