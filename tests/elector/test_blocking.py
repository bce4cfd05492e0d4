"""The electors in real threads: a script that blocks, a loop that blocks, an election that dies."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kopf_leader.elector import seat as seat_module
from kopf_leader.elector.blocking import BlockingElector
from kopf_leader.elector.elector import Elector
from kopf_leader.elector.standings import Leading, Standby, Stopping
from kopf_leader.errors import ElectionDied, LeaseAPIError, NotLeader
from tests.elector.memory import MemoryClient, MemoryLease
from tests.elector.test_thread import wait_for

QUICK = {"lease_duration": 3, "renew_deadline": 2, "retry_period": 0.5}


class Stage:
    """A store, and electors on it; asked for changes, the store makes them in an election's loop."""

    def __init__(self) -> None:
        self.store = MemoryLease()
        self.store.make()
        self.clients: list[MemoryClient] = []
        self.exits: list[str] = []

    def connect(self) -> MemoryClient:
        self.clients.append(MemoryClient(self.store))
        return self.clients[-1]

    def blocking(self, identity: str = "me", **candidacy: Any) -> BlockingElector:
        return BlockingElector("op", namespace="ns", identity=identity, client=self.connect, **candidacy)

    @property
    def holder(self) -> str:
        assert self.store.lease is not None
        return str(self.store.lease["spec"].get("holderIdentity", ""))

    def change(self, elector: Any, function: Callable[[], None]) -> None:
        assert elector._seat.election.call(function)


@pytest.fixture
def stage(monkeypatch: Any) -> Any:
    stage = Stage()
    monkeypatch.setattr(seat_module, "leave", lambda why, tasks: stage.exits.append(why))
    yield stage
    wait_for(lambda: not [t for t in threading.enumerate() if t.name in ("elections", "elections' guardian")])
    assert all(client.closed for client in stage.clients)


def test_a_script_leads_and_gives_back(stage: Stage) -> None:
    """`with` and a function that returns: the Lease is held while it runs, and released after the block."""

    def work(leading: Leading[threading.Event]) -> str:
        leading.term.check()
        assert stage.holder == "me"
        return "done"

    with stage.blocking() as elector:
        assert elector.run(work) == "done"
        assert stage.holder == elector.identity
    assert stage.holder == ""
    assert not stage.exits


def test_a_script_is_told_and_called_again(stage: Stage) -> None:
    """When the term has to end, `ended` is set; the Lease is released when the function has returned, never before."""
    tokens: list[int] = []

    def work(leading: Leading[threading.Event]) -> str:
        tokens.append(leading.term.token)
        if len(tokens) == 3:
            return "done"
        stage.change(elector, lambda: stage.store.annotate(transfer_to="*"))
        assert leading.ended.wait(60)
        time.sleep(0.05)
        assert stage.holder == "me"
        if len(tokens) == 2:
            leading.term.claim.deadline = 0.0
            leading.term.check()
        return "cut off"

    with stage.blocking(**QUICK) as elector:
        assert elector.run(work) == "done"
    assert tokens == sorted(set(tokens))
    assert stage.holder == ""


def test_what_has_returned_needs_nobody_to_come_back(stage: Stage) -> None:
    """Once `run` has returned or raised, the term is given back when it has to end, whatever the script does."""

    def fail(leading: Leading[threading.Event]) -> None:
        raise ValueError("mine")

    with stage.blocking(**QUICK) as elector:
        elector.run(lambda leading: None)
        with pytest.raises(ValueError, match="mine"):
            elector.run(fail)
        stage.change(elector, lambda: stage.store.annotate(transfer_to="*"))
        wait_for(lambda: stage.holder == "")
    assert not stage.exits


def test_the_standings_of_a_script(stage: Stage) -> None:
    """Each term: Leading, Stopping, and back; the others' holder in between."""
    seen: list[Any] = []
    with stage.blocking(**QUICK) as elector:
        for standing in elector.standings():
            seen.append(standing)
            if isinstance(standing, Leading):
                stage.change(elector, lambda: stage.store.edit(holderIdentity="other", leaseDurationSeconds=1))
            elif standing == Standby(holder="other"):
                break
    assert [type(one) for one in seen if one != Standby(holder="")] == [Leading, Stopping, Standby]
    assert "somebody else" in seen[-2].reason


def test_a_signal_ends_the_waiting(stage: Stage) -> None:
    """A signal handler that raises ends the waiting of a standby, and leaves the block."""
    stage.store.edit(holderIdentity="other", leaseDurationSeconds=1000)

    def interrupt(*_: Any) -> None:
        raise SystemExit(3)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(SystemExit), stage.blocking() as elector:
            for standing in elector.standings():
                assert standing == Standby(holder="other")
                timer = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
                timer.start()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_work_that_does_not_end_ends_the_process(stage: Stage) -> None:
    """L12: a function that does not return ends the process at the exit point; no release."""
    with stage.blocking(drain_timeout=0.2, **QUICK) as elector:
        for standing in elector.standings():
            if isinstance(standing, Leading):
                stage.change(elector, lambda: stage.store.annotate(transfer_to="*"))
                wait_for(lambda: stage.exits)
                assert stage.holder == "me"
                break
    assert "has not come back" in stage.exits[0]


def test_a_client_that_cannot_be_made_is_told(stage: Stage, caplog: Any) -> None:
    """A dead election is raised, and the log says why."""

    def broken() -> MemoryClient:
        raise OSError("no such file")

    with pytest.raises(ElectionDied), BlockingElector("op", namespace="ns", client=broken) as elector:
        next(elector.standings())
    assert "no such file" in caplog.text


def test_an_election_that_dies_while_leading(stage: Stage, caplog: Any) -> None:
    """L7: the user is told by the clock, by the guardian, and gets the reason."""
    with pytest.raises(ElectionDied), stage.blocking(**QUICK) as elector:
        for standing in elector.standings():
            if isinstance(standing, Leading):
                driver = elector._seat.election._driver
                stage.change(elector, lambda driver=driver: driver.post(None))
                assert standing.ended.wait(60)
                term = standing.term
    wait_for(lambda: not term.valid)
    with pytest.raises(NotLeader):
        term.check()
    assert not stage.exits


def test_leaving_without_an_answer_is_bounded(stage: Stage, caplog: Any) -> None:
    """Leaving waits for the confirmation of the release until the Lease has expired, and not for ever."""

    async def fault(verb: str) -> None:
        raise LeaseAPIError("connection refused")

    with stage.blocking(**QUICK) as elector:
        for standing in elector.standings():
            if isinstance(standing, Leading):
                stage.clients[0].fault = fault
                break
    assert stage.holder == "me"


def test_a_blocked_loop_does_not_lose_the_lease(stage: Stage) -> None:
    """The election runs in its own thread, so that a blocked loop of the user does not lose the Lease."""

    async def main() -> None:
        async with Elector("op", namespace="ns", identity="me", client=stage.connect, **QUICK) as elector:
            async for standing in elector.standings():
                if isinstance(standing, Leading):
                    updates = stage.clients[0].requests["update"]
                    enough = updates + 6  # three seconds of renewals: more than the deadline
                    wait_for(lambda enough=enough: stage.clients[0].requests["update"] > enough)
                    standing.term.check()
                    assert not standing.ended.is_set()
                    return

    asyncio.run(main())
    assert stage.holder == ""


def test_leaving_the_block_beside_run_ends_its_work_first(stage: Stage) -> None:
    """L12: a block that is left while another thread is in `run()` waits for the work before it releases."""
    begun, ended = threading.Event(), list[str]()

    def work(leading: Leading[threading.Event]) -> None:
        begun.set()
        assert leading.ended.wait(60)
        ended.append(stage.holder)

    def run() -> None:
        with pytest.raises(RuntimeError, match="left while its work was run"):
            elector.run(work)
        ended.append("run")

    with stage.blocking() as elector:
        running = threading.Thread(target=run)
        running.start()
        assert begun.wait(60)
    assert ended[0] == "me"
    assert stage.holder == ""
    running.join(60)
    assert ended == ["me", "run"]
    assert not stage.exits
