"""One held stream alone: begun anew, interrupted, blocked. No operator, no server."""

import asyncio
from types import SimpleNamespace

import pytest
from kopf._cogs.clients.watching import Bookmark

from kopf_leader.elector.clock import SystemClock
from kopf_leader.gate import hold as hold_module
from kopf_leader.gate import seam_read
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.hold import Hold
from kopf_leader.gate.seen import MARK
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.term import Claim, Term


class Parts:
    """What a hold needs of the operator: no indices, no memories."""

    settings = SimpleNamespace(watching=SimpleNamespace(initial_streaming=False))

    def has_indices(self, _):
        return False

    async def forget(self, _):
        return True


class Server:
    """A resource; `streams` says what each listing and watching of it brings, one generator after the other."""

    def __init__(self, monkeypatch, *streams):
        self.streams, self.begun = list(streams), 0
        monkeypatch.setattr(seam_read, "level", self.level)
        self.hold = Hold(
            SimpleNamespace(resource="things", namespace=None),
            original=self.stream,
            parts=Parts(),
            counters=Counters(),
            passes=True,
        )

    async def level(self, *_):
        return "100"

    async def stream(self):
        """Kopf's: one listing and watching after the other."""
        while True:
            self.begun += 1
            async for event in self.hold.watch(lambda: self.streams.pop(0)(self)):
                yield event


def event(name, version, kind=None):
    return {"type": kind, "object": {"metadata": {"uid": name, "name": name, "resourceVersion": str(version)}}}


def tenure():
    clock = SystemClock().time
    term = Term(lease="a/b", identity="me", token=1, claim=Claim(clock() + 1000), clock=clock)
    return Tenure(term, counters=Counters(), changed=lambda: None, ended=lambda: None)


async def lasting():
    await asyncio.Event().wait()


async def read(events, number):
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(number)]


def shown(items):
    return [
        (item["type"], item["object"]["metadata"]["name"]) if isinstance(item, dict) else "listed" for item in items
    ]


async def test_a_stream_that_is_cut_off_by_its_own_time_out_is_begun_anew(monkeypatch):
    """The `inactivity_timeout` of kopf cancels the reader, also while that waits for room: the stream goes on."""
    monkeypatch.setattr(hold_module, "BACKLOG", 1)
    struck = asyncio.Event()

    async def blocked(_):
        try:
            async with asyncio.timeout(0.05):
                for name in "abc":
                    yield event(name, 1)
        finally:
            struck.set()

    async def whole(_):
        for name in "abc":
            yield event(name, 1)
        yield Bookmark.LISTED
        await lasting()

    server = Server(monkeypatch, blocked, whole)
    events = server.hold.events()
    await read(events, 1)
    async with asyncio.timeout(30):
        await struck.wait()
    items = shown(await read(events, 6))
    assert items[-4:] == [(None, "a"), (None, "b"), (None, "c"), "listed"]
    assert server.begun == 2
    await events.aclose()


async def test_a_listing_that_is_given_up_half_way_deletes_nothing(monkeypatch):
    """What a listing had not come to when the stream was begun anew is not taken for gone."""

    async def first(_):
        for name in "abc":
            yield event(name, 1)
        yield Bookmark.LISTED
        await again.wait()

    async def second(_):
        yield event("a", 2)
        await go_on.wait()
        yield event("b", "v2")  # versions are no numbers: the leader lists anew
        yield event("c", 2)
        yield Bookmark.LISTED
        await lasting()

    async def third(_):
        for name in "abc":
            yield event(name, 3)
        yield Bookmark.LISTED
        await lasting()

    again, go_on = asyncio.Event(), asyncio.Event()
    server = Server(monkeypatch, first, second, third)
    events = server.hold.events()
    await read(events, 4)
    again.set()
    await read(events, 1)
    server.hold.promote(tenure())
    go_on.set()
    items = []
    while server.begun < 3 or items[-1:] != ["listed"]:
        items += shown(await read(events, 1))
    assert not [item for item in items if item[0] == "DELETED"]
    await events.aclose()


async def test_what_happens_during_a_listing_of_the_term_passes(monkeypatch):
    """What comes between the objects of a listing that this term has begun is new, and is not refused."""

    async def first(_):
        yield event("a", 1)
        yield Bookmark.LISTED
        await lasting()

    async def second(_):
        yield event("a", 1)
        yield event("a", 2, "MODIFIED")
        yield Bookmark.LISTED
        await lasting()

    server = Server(monkeypatch, first, second)
    events = server.hold.events()
    await read(events, 2)
    server.hold.promote(tenure())
    [replayed] = await read(events, 1)
    barrier = replayed[MARK].barrier
    assert barrier is not None
    barrier._restart("a change has not come")
    listed, modified, _ = await read(events, 3)
    assert listed[MARK].barrier is None
    assert modified[MARK].barrier is None, "it would refuse all, as it is over"
    await events.aclose()


async def test_a_failure_of_a_leaders_stream_is_raised(monkeypatch):
    """A leader whose stream fails for good stops, as plain kopf does; a standby tries again."""
    monkeypatch.setattr(hold_module, "RETRY", 0.01)

    async def forbidden(_):
        raise PermissionError("403")
        yield

    server = Server(monkeypatch, *[forbidden] * 1000)
    events = server.hold.events()
    item = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(30):
        while server.begun < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not item.done()
    server.hold.promote(tenure())
    with pytest.raises(PermissionError):
        async with asyncio.timeout(30):
            await item


async def test_what_has_changed_last_is_replayed_first(monkeypatch):
    """Whoever waits for a handler does not wait behind thousands that have been handled long ago."""

    async def stream(_):
        for name, version in (("a", 3), ("b", 4), ("c", 1), ("d", 2)):
            yield event(name, version)
        yield Bookmark.LISTED
        yield event("c", 5, "MODIFIED")
        yield event("e", 6, "ADDED")
        await lasting()

    server = Server(monkeypatch, stream)
    events = server.hold.events()
    await read(events, 7)
    server.hold.promote(tenure())
    assert shown(await read(events, 5)) == [(None, name) for name in "ecbad"]
    await events.aclose()


async def test_a_live_event_stands_for_the_replay_of_its_object(monkeypatch):
    """Each object comes once, also when the order of the replay is changed meanwhile, and what is gone does not."""

    async def stream(_):
        for name in "abcd":
            yield event(name, 1)
        yield Bookmark.LISTED
        await go_on.wait()
        yield event("b", 2, "MODIFIED")
        yield event("c", 3, "DELETED")
        await lasting()

    go_on = asyncio.Event()
    server = Server(monkeypatch, stream)
    events = server.hold.events()
    await read(events, 5)
    server.hold.promote(tenure())
    assert shown(await read(events, 1)) == [(None, "d")]
    server.hold.prefer(["a", "b", "nobody", "d"])
    go_on.set()
    async with asyncio.timeout(30):
        while server.hold.position < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert shown(await read(events, 3)) == [(None, "b"), ("DELETED", "c"), (None, "a")]
    assert not server.hold._pending
    await events.aclose()
