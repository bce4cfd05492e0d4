"""Several elections in one process: they share a thread, a loop and a guardian, and nothing else."""

import contextlib
import functools
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from kopf_leader.clients.connection import Connection
from kopf_leader.clients.direct import DirectLeaseClient, Patience
from kopf_leader.elector import guardian as guardian_module
from kopf_leader.elector import loop as loop_module
from kopf_leader.elector import seat as seat_module
from kopf_leader.elector.blocking import BlockingElector
from kopf_leader.elector.guardian import dismiss, guard
from kopf_leader.elector.standings import Leading
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.errors import ElectionDied
from kopf_leader.protocol.settings import Settings
from tests.elector.memory import MemoryClient, MemoryLease, Recorder
from tests.elector.test_thread import wait_for

QUICK = {"lease_duration": 3, "renew_deadline": 2, "retry_period": 0.5, "request_timeout": 1}


class One:
    """One election of several, on a Lease of its own."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.name = name
        self.follower = Recorder()
        self.store = MemoryLease()
        self.store.make()
        self.client = MemoryClient(self.store)
        self.may_connect = threading.Event()
        self.may_connect.set()
        self.election = ElectionThread(
            settings=Settings(name=name, namespace="ns", identity="me", **(settings or QUICK)),
            client=self.connect,
            follower=self.follower,
        )
        self.follower.drained = self.election.drained

    def connect(self) -> MemoryClient:
        assert self.may_connect.wait(60)
        return self.client

    def start(self) -> None:
        self.election.start()

    def leads(self) -> None:
        wait_for(lambda: self.follower.leading)

    def renews(self, times: int) -> None:
        """Wait for so many renewals from now on."""
        enough = self.client.requests["update"] + times
        wait_for(lambda: self.client.requests["update"] >= enough)

    @property
    def term(self) -> Any:
        return self.follower.terms[-1]


def names() -> list[str]:
    """The threads that may be there for elections."""
    return sorted(thread.name for thread in threading.enumerate() if "election" in thread.name)


@pytest.fixture
def several() -> Iterator[Any]:
    made: list[One] = []

    def make(count: int, **settings: Any) -> list[One]:
        made.extend(One(f"op-{len(made) + number}", **settings) for number in range(count))
        return made[-count:]

    yield make
    for one in made:
        one.may_connect.set()
        one.election.resign(leave=True)
    assert all(one.election.join(60) for one in made)
    wait_for(lambda: not names())


def test_they_share_one_thread_which_ends_with_the_last(several: Any) -> None:
    """Twenty elections lead in one thread; it ends with the last of them, and a next one begins it anew."""
    ones = several(20)
    for one in ones:
        one.start()
    for one in ones:
        one.leads()
    assert names() == ["elections"]
    for one in ones:
        one.election.resign(leave=True)
    assert all(one.election.join(60) for one in ones)
    assert names() == []
    assert not any(one.election.alive for one in ones)
    (next_,) = several(1)
    next_.start()
    next_.leads()
    assert names() == ["elections"]


@pytest.mark.parametrize(
    ("where", "error"),
    [("client", OSError), ("client", SystemExit), ("request", KeyboardInterrupt), ("follower", RuntimeError)],
)
def test_the_defect_of_one_ends_only_that_one(where: str, error: type, several: Any, caplog: Any) -> None:
    """L7: what one election raises ends that one, its claim by the clock; those beside it renew on."""
    bad, good = several(2)
    good.start()
    good.leads()

    def fail(*_: Any) -> Any:
        raise error("a defect")

    async def fail_in_request(verb: str) -> None:
        if where == "request" and verb == "update" and bad.follower.terms:
            fail()

    bad.client.fault = fail_in_request
    if where == "client":
        bad.election._make_client = fail
    bad.start()
    if where == "follower":
        bad.leads()
        bad.follower.new_leader = fail
        assert bad.election.call(lambda: bad.store.edit(holderIdentity="two"))
    assert bad.election.join(60)
    assert isinstance(bad.election.failure, error)
    assert not bad.election.alive
    critical = [each.getMessage() for each in caplog.records if each.levelname == "CRITICAL"]
    assert len(critical) == 1
    assert f"ns/{bad.name} has died" in critical[0]
    if where != "client":
        wait_for(lambda: not bad.term.valid)
    good.renews(5)
    assert good.term.valid
    assert good.election.alive
    assert good.election.failure is None


def test_clients_that_hang_while_they_are_made_stop_nobody_else(several: Any) -> None:
    """What may block is called in threads of their own: more of them than any pool has, and the others renew on."""
    ones = several(41)
    *stuck, free = ones
    for one in stuck:
        one.may_connect.clear()
        one.start()
    free.start()
    free.leads()
    free.renews(6)  # three seconds: more than its renew deadline
    assert free.term.valid
    assert all(one.election.alive and not one.follower.terms for one in stuck)
    for one in stuck:
        one.may_connect.set()
    for one in stuck:
        one.leads()


def test_names_whose_look_up_hangs_stop_nobody_else(several: Any, monkeypatch: Any, caplog: Any) -> None:
    """Names are looked up in threads of their own: ten elections wait for them, and the others renew on."""
    *stuck, free = several(11)
    go, real = threading.Event(), socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        if host == "stuck.invalid":
            assert go.wait(60)
            raise socket.gaierror("no such name")
        return real(host, *args, **options)

    async def log_in() -> Connection:
        return Connection(server="http://stuck.invalid", origin="the test")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for one in stuck:
        place = {"namespace": "ns", "name": one.name, "patience": Patience(request=1)}
        one.election._make_client = functools.partial(DirectLeaseClient, login=log_in, **place)
        one.start()
    free.start()
    free.leads()
    free.renews(6)
    assert free.term.valid
    assert all(one.election.alive and not one.follower.told for one in stuck)
    go.set()


def test_when_the_thread_dies_every_claim_runs_out(several: Any, caplog: Any) -> None:
    """L7: the shared thread dies: each election says so, each claim expires by itself, and a new election works."""
    ones = several(3)
    for one in ones:
        one.start()
    for one in ones:
        one.leads()
    loop = ones[0].election._loop._loop

    def turn() -> None:
        del loop._run_once
        raise OSError("the selector is gone")

    assert ones[0].election.call(lambda: setattr(loop, "_run_once", turn))
    for one in ones:
        assert one.election.join(60)
        assert not one.election.alive
        assert isinstance(one.election.failure, OSError)
        assert not one.election.call(lambda: None)
    for one in ones:
        wait_for(lambda one=one: not one.term.valid)
    assert sum("has died" in record.getMessage() for record in caplog.records) == 3
    wait_for(lambda: not names())
    (next_,) = several(1)
    next_.start()
    next_.leads()


def test_it_is_no_part_of_what_its_starter_does(several: Any) -> None:
    """Nothing of the starter's context gets into the election, nor from one into the next."""
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[str] = []
    ones = several(2)
    for one in ones:
        one.follower.start_leading = lambda term: seen.append(variable.get())
        variable.set(one.name)
        one.start()
    wait_for(lambda: len(seen) == 2)
    assert seen == ["none", "none"]


FORKED = """
import os, sys, threading
from kopf_leader import BlockingElector
from kopf_leader.elector.standings import Leading
from tests.elector.memory import MemoryClient, MemoryLease

def stand(name):
    store = MemoryLease()
    store.make()
    return BlockingElector(name, namespace="ns", client=lambda: MemoryClient(store))

def lead(elector):
    return next(each for each in elector.standings() if isinstance(each, Leading)).term

with stand("parent") as elector:
    term = lead(elector)
    if (child := os.fork()) == 0:
        election = elector._seat.election
        assert not election.alive
        assert election.join(60)
        assert not election.call(lambda: None)
        assert threading.active_count() == 1
        with stand("child") as mine:
            lead(mine).check()
            assert sorted(each.name for each in threading.enumerate())[1:] == ["elections", "elections' guardian"]
            print("leads", flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    term.check()
    assert elector._seat.election.alive
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_begins_anew() -> None:
    """A child that is forked has no election that lives; its own ones get a thread and a guardian of their own."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "leads\n"), done.stderr


@pytest.fixture
def exits(monkeypatch: Any) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(seat_module, "leave", lambda why, tasks: found.append(why))
    return found


def test_seats_share_one_guardian(exits: list[str]) -> None:
    """One thread looks after all electors, and ends with the last of them."""
    with contextlib.ExitStack() as stack:
        for number in range(3):
            one = One(f"op-{number}")
            elector = stack.enter_context(BlockingElector(one.name, namespace="ns", client=one.connect, **QUICK))
            assert any(isinstance(each, Leading) for each in elector.standings())
        assert names() == ["elections", "elections' guardian"]
    wait_for(lambda: not names())
    assert not exits


def test_a_loop_that_hangs_ends_every_term_by_the_clock(exits: list[str]) -> None:
    """L7, L12: the shared loop is blocked: all who lead are told, and work that does not end ends the process."""
    go = threading.Event()
    with contextlib.ExitStack() as stack:
        led: list[Any] = []
        for number in range(3):
            one = One(f"op-{number}")
            elector = stack.enter_context(BlockingElector(one.name, namespace="ns", client=one.connect, **QUICK))
            led.append(next(each for each in elector.standings() if isinstance(each, Leading)))
        try:
            assert elector._seat.election.call(lambda: go.wait(60))
            assert all(leading.ended.wait(60) for leading in led)
            assert not any(leading.term.valid for leading in led)
            wait_for(lambda: len(exits) >= 3)
        finally:
            go.set()


def test_the_guardian_survives_the_defect_of_a_seat(caplog: Any) -> None:
    """L7: a look that fails for one seat fails for that one, and is told once."""

    class Broken:
        period = 0.01
        looks = 0

        def look(self) -> None:
            self.looks += 1
            raise ValueError("a defect")

    class Sound(Broken):
        def look(self) -> None:
            self.looks += 1

    broken, sound = Broken(), Sound()
    guard(broken)  # type: ignore[arg-type] # as much of a seat as it needs
    guard(sound)  # type: ignore[arg-type] # likewise
    wait_for(lambda: min(broken.looks, sound.looks) > 3)
    for seat in (broken, sound):
        dismiss(seat)  # type: ignore[arg-type] # likewise
    wait_for(lambda: not names())
    assert sum("report this as a defect" in record.getMessage() for record in caplog.records) == 1


def test_where_no_thread_can_be_started_it_is_said(several: Any, monkeypatch: Any) -> None:
    """An election that cannot begin is not alive, and leaves nothing in the way of the next one."""
    (one,) = several(1)

    class Full(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(loop_module.threading, "Thread", Full)
        with pytest.raises(RuntimeError, match="can't start"):
            one.start()
    assert not one.election.alive
    with monkeypatch.context() as patch:
        patch.setattr(guardian_module.Guardian, "start", Full.start)
        with pytest.raises(RuntimeError, match="can't start"):
            BlockingElector("op", namespace="ns", client=one.connect).__enter__()
    one.start()
    one.leads()


def test_dead_elections_are_raised_to_each_elector(exits: list[str], caplog: Any) -> None:
    """Each elector whose election died by the shared thread gets to know it."""

    def broken() -> MemoryClient:
        raise OSError("no such file")

    one = One("good")
    with BlockingElector("good", namespace="ns", client=one.connect, **QUICK) as good:
        with pytest.raises(ElectionDied), BlockingElector("bad", namespace="ns", client=broken) as bad:
            next(bad.standings())
        assert any(isinstance(each, Leading) for each in good.standings())
