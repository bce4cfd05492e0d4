"""The barrier alone: what it asks, whom it lets through. No operator, no server."""

import asyncio
from types import SimpleNamespace

import pytest

from kopf_leader.gate import barrier, seam_read
from kopf_leader.gate.barrier import CROWD, LINES, SINGLE, Barrier, Stale
from kopf_leader.gate.counters import Counters

STREAM = SimpleNamespace(resource="things")


class Held:
    """A stream that has shown these versions; implements `barrier.Held`."""

    def __init__(self, **versions):
        self.versions = versions
        self.position = 0
        self.restarts, self.refused, self.disordered = [], [], False
        self.preferred = []

    def version(self, uid):
        return self.versions.get(uid)

    def restart(self, why):
        self.restarts.append(why)

    def refuse(self, uid):
        self.refused.append(uid)

    def wake(self):
        pass

    def prefer(self, uids):
        self.preferred += uids

    def disorder(self):
        self.disordered = True

    def create_task(self, coro):
        return asyncio.get_running_loop().create_task(coro)


class Server:
    """What there is; `seam_read`'s functions."""

    def __init__(self, monkeypatch, level, **versions):
        self.current, self.versions = level, versions
        self.asked, self.pages, self.failing = [], 0, 0
        self.answering, self.paging = asyncio.Event(), asyncio.Event()
        self.answering.set()
        self.paging.set()
        for name in ("level", "version_of", "all_versions"):
            monkeypatch.setattr(seam_read, name, getattr(self, name))

    def fail(self):
        if self.failing:
            self.failing -= 1
            raise OSError("cut off")

    async def level(self, *_):
        self.asked.append("the level")
        await self.answering.wait()
        self.fail()
        return self.current

    async def version_of(self, _settings, _stream, metadata):
        self.asked.append(metadata["uid"])
        await self.answering.wait()
        self.fail()
        return self.versions.get(metadata["uid"]), self.current

    async def all_versions(self, *_):
        await self.answering.wait()
        self.fail()
        items = [*self.versions.items()]
        for start in range(0, len(items), 10):
            self.pages += 1
            yield dict(items[start : start + 10]), self.current
            await self.paging.wait()


def body(uid, version):
    return {"uid": uid, "name": uid, "resourceVersion": str(version)}


@pytest.fixture
def make():
    barriers = []

    def make(held):
        barriers.append(Barrier(held, settings=None, stream=STREAM, counters=Counters()))
        return barriers[-1]

    yield make
    for one in barriers:
        one.cancel()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (whatever it looks at)
            await asyncio.sleep(0)


async def test_by_the_level(make, monkeypatch):
    """What is of the promotion or later passes without a question, even if the stream has shown something newer."""
    monkeypatch.setattr(barrier, "LEVEL", 0.0)
    server = Server(monkeypatch, "100", a="120")
    held = Held(a="120")
    one = make(held)
    one.start()
    await until(lambda: one.level == 100)
    server.asked.clear()
    await one.check(body("a", 110))
    await one.check(body("a", 100))
    with pytest.raises(Stale):
        await one.check(body("a", 99))
    assert server.asked == []
    held.position, held.versions["a"] = 100, "99"
    await one.check(body("a", 99))
    assert server.asked == [], "a stream that has come so far knows best itself"


async def test_the_first_answer_tells_the_level(make, monkeypatch):
    """The first question is asked alone, and what is of its answer's version or later needs none any more."""
    server = Server(monkeypatch, "100", a="5")
    server.answering.clear()
    held = Held(a="5", b="100", c="99")
    one = make(held)
    one.start()
    first = asyncio.create_task(one.check(body("a", 5)))
    await until(lambda: server.asked)
    server.current = "101"
    server.answering.set()
    await first
    await one.check(body("b", 101))
    assert server.asked == ["a"]
    with pytest.raises(Stale):
        await one.check(body("b", 100))
    assert server.asked == ["a", "b"]
    server.current = "99"
    with pytest.raises(Stale):
        await one.check(body("c", 99))
    assert one.level == 101


async def test_a_quiet_stream_asks(make, monkeypatch):
    """What is older is asked for: the newest passes, a changed one and a deleted one do not."""
    server = Server(monkeypatch, "100", a="5", b="7")
    held = Held(a="5", b="6", c="4")
    one = make(held)
    one.start()
    await one.check(body("a", 5))
    for uid, version in (("b", 6), ("c", 4)):
        with pytest.raises(Stale):
            await one.check(body(uid, version))
    assert server.asked == ["a", "b", "c"]
    assert held.refused == ["b", "c"]


async def test_a_few_at_a_time(make, monkeypatch):
    """No more than a few requests are under way at once, so that the first answer does not wait for the others."""
    server = Server(monkeypatch, "100", **{f"o{number}": "5" for number in range(SINGLE)})
    server.answering.clear()
    one = make(Held(**server.versions))
    checks = [asyncio.create_task(one.check(body(uid, 5))) for uid in server.versions]
    await until(lambda: one._single == SINGLE)
    await until(lambda: len(server.asked) == LINES)
    assert not one.delays("o0")
    server.answering.set()
    await asyncio.gather(*checks)
    assert len(server.asked) == SINGLE
    assert server.pages == 0


async def test_many_are_listed(make, monkeypatch):
    """More than a few are answered by pages; the replay is told to wait when too many wait."""
    versions = {f"o{number:03}": "5" for number in range(100)}
    server = Server(monkeypatch, "100", **versions)
    server.answering.clear()
    one = make(Held(**versions))
    checks = [asyncio.create_task(one.check(body(uid, 5))) for uid in versions]
    await until(lambda: one.delays("o000"))
    assert SINGLE < CROWD < len(versions)
    server.answering.set()
    await asyncio.gather(*checks)
    assert len(server.asked) == SINGLE
    assert server.pages == 10
    assert not one.delays("o000")


async def test_what_is_answered_comes_first(make, monkeypatch):
    """While all are listed, the replay waits for who is not listed yet, and has those first who are; then for none."""
    versions = {f"o{number:03}": "5" for number in range(100)}
    server = Server(monkeypatch, "100", **versions)
    server.paging.clear()
    held = Held(**versions)
    one = make(held)
    checks = [asyncio.create_task(one.check(body(uid, 5))) for uid in [*versions][: SINGLE + 1]]
    await until(lambda: held.preferred)
    assert held.preferred == [*versions][:10]
    assert not one.delays("o009")
    assert one.delays("o099")
    assert one.delays("gone")
    server.paging.set()
    await asyncio.gather(*checks)
    await until(lambda: not one.delays("gone"))
    assert held.preferred == [*versions]


async def test_a_failure_is_not_an_answer(make, monkeypatch):
    """What cannot be read is asked for again, as often as it takes; nothing passes meanwhile."""
    monkeypatch.setattr(barrier, "PAUSE", 0.001)
    server = Server(monkeypatch, "100", a="5", b="7")
    server.failing = 5
    one = make(Held(a="5", b="6"))
    await one.check(body("a", 5))
    with pytest.raises(Stale):
        await one.check(body("b", 6))
    assert server.failing == 0


async def test_a_failure_behind_the_listing(make, monkeypatch):
    """A question that fails when all have been listed already is answered by that, and does not wait for ever."""
    versions = {f"o{number:02}": "5" for number in range(SINGLE + 1)}
    Server(monkeypatch, "100", **versions)

    async def refused(*_):
        raise OSError("no such selector")

    monkeypatch.setattr(seam_read, "version_of", refused)
    one = make(Held(**versions))
    async with asyncio.timeout(30):
        await asyncio.gather(*(one.check(body(uid, 5)) for uid in versions))
    assert one._swept


async def test_a_listing_that_always_fails(make, monkeypatch):
    """Nobody waits for it, once the stream itself has shown all that it could tell: neither who asks nor the replay."""
    monkeypatch.setattr(barrier, "PAUSE", 0.001)
    versions = {f"o{number:02}": "5" for number in range(SINGLE + 2)}
    server = Server(monkeypatch, "100", **versions)
    server.answering.clear()
    held = Held(**versions)
    one = make(held)
    checks = [asyncio.create_task(one.check(body(uid, 5))) for uid in versions]
    await until(lambda: len(one._asked) == 2)

    async def too_slow(*_):
        raise OSError("too slow")
        yield

    monkeypatch.setattr(seam_read, "all_versions", too_slow)
    server.failing = 1000
    one._sweep.cancel()
    one._sweep = one._spawn(one._ask_for_all())
    await asyncio.sleep(0.01)
    assert one.delays("pending")
    one.level, held.position = 100, 100
    held.versions["o17"] = "99"
    async with asyncio.timeout(30):
        await checks[SINGLE]
        with pytest.raises(Stale):
            await checks[SINGLE + 1]
    assert not one.delays("pending")
    await one.check(body("o00", 5))


async def test_what_is_made_behind_the_listing(make, monkeypatch):
    """An object that the listing of all does not have, as it is younger: it is no deleted one."""
    versions = {f"o{number:02}": "5" for number in range(SINGLE + 1)}
    Server(monkeypatch, "100", **versions)

    async def refused(*_):
        raise OSError("no such selector")

    monkeypatch.setattr(seam_read, "version_of", refused)
    held = Held(**versions, young="101", gone="99")
    one = make(held)
    checks = [asyncio.create_task(one.check(body(*item))) for item in held.versions.items()]
    done = await asyncio.gather(*checks, return_exceptions=True)
    assert done == [None] * (SINGLE + 2) + [done[-1]]
    assert isinstance(done[-1], asyncio.CancelledError)
    assert held.refused == ["gone"]


async def test_the_end_of_the_term_ends_all_questions(make, monkeypatch):
    """A question that is not answered when the term ends is refused, and so is every later one."""
    versions = {f"o{number:03}": "5" for number in range(40)}
    server = Server(monkeypatch, "100", **versions)
    server.answering.clear()
    one = make(Held(**versions))
    one.start()
    checks = [asyncio.create_task(one.check(body(uid, 5))) for uid in versions]
    await until(lambda: one.delays("o000"))
    one.cancel()
    server.answering.set()
    done = await asyncio.gather(*checks[SINGLE:], return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in done)
    with pytest.raises(Stale):
        await one.check(body("o000", 5))
    await asyncio.wait(checks)


async def test_versions_that_are_no_numbers_are_told(make, monkeypatch):
    """A level that is no number is told to the stream, and versions are compared for being the same."""
    Server(monkeypatch, "x", a="v5", b="v7")
    held = Held(a="v5", b="v6")
    one = make(held)
    one.start()
    await one.check(body("a", "v5"))
    assert held.disordered
    with pytest.raises(Stale):
        await one.check(body("b", "v6"))


async def test_a_question_ends_with_the_barrier(make, monkeypatch):
    """L12: whoever waits for an answer is let go when the gate closes, whatever the API server does."""
    server = Server(monkeypatch, "100", **{f"o{number}": "5" for number in range(SINGLE + 1)})
    server.answering.clear()
    one = make(Held(**server.versions))
    one.start()
    checks = [asyncio.create_task(one.check(body(name, 5))) for name in server.versions]
    await until(lambda: len(server.asked) == LINES and one._sweep is not None)
    one.cancel()
    async with asyncio.timeout(30):
        await asyncio.wait(checks)
    assert all(check.cancelled() for check in checks)


async def test_what_has_passed_is_known_to_kopf(make, monkeypatch):
    """An object that was handled in this term, and is refused later, is no unknown one: its end is told."""
    server = Server(monkeypatch, "100", a="5", b="5")
    held = Held(a="5", b="4")
    one = make(held)
    one.start()
    await one.check(body("a", 5))
    del server.versions["a"]
    held.versions["a"] = "6"
    for uid, version in (("a", 6), ("b", 4)):
        with pytest.raises(Stale):
            await one.check(body(uid, version))
    assert held.refused == ["b"]
