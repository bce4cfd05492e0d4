"""What handlers write down survives whatever happens to them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kopf_leader.testing import facts
from kopf_leader.testing.facts import History, Notebook


def kinds(path: Path) -> list[str]:
    return [fact["kind"] for fact in History.read(path).facts]


def test_a_handler_that_returns_writes_start_and_end(tmp_path: Path) -> None:
    """start, then end, with the same run; the rest as given."""
    notebook = Notebook(tmp_path / "history", "a")
    with notebook.handling(handler="create", uid="u", name="one", change="3") as run:
        pass
    start, end = History.read(notebook.path).facts
    assert (start["kind"], end["kind"], start["run"], end["run"]) == ("start", "end", run, run)
    assert (start["handler"], start["uid"], start["name"], start["change"]) == ("create", "u", "one", "3")
    assert start["replica"] == "a"
    assert start["t"] <= end["t"] <= facts.now()


def test_a_handler_that_raises_writes_failed(tmp_path: Path) -> None:
    """An exception is passed on, and the execution is written down as failed."""
    notebook = Notebook(tmp_path / "history")
    with pytest.raises(ZeroDivisionError), notebook.handling(handler="create", uid="u"):
        raise ZeroDivisionError
    assert kinds(notebook.path) == ["start", "failed"]


async def test_a_handler_that_is_cancelled_writes_cancelled(tmp_path: Path) -> None:
    """A cancellation is passed on, and the execution is written down as cancelled, at its real end."""
    notebook = Notebook(tmp_path / "history")
    began = asyncio.Event()

    async def handler() -> None:
        with notebook.handling(handler="create", uid="u"):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(handler())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kinds(notebook.path) == ["start", "cancelled"]


def test_two_runs_of_one_handler_are_told_apart(tmp_path: Path) -> None:
    """Every execution has a run of its own."""
    notebook = Notebook(tmp_path / "history")
    with notebook.handling(handler="h", uid="u") as first, notebook.handling(handler="h", uid="u") as second:
        assert first != second


def test_lines_of_many_processes_and_threads_stay_whole(tmp_path: Path) -> None:
    """One write per fact: nothing is torn or lost, however many write at once."""
    path = tmp_path / "history"
    program = (
        "import threading; from pathlib import Path; from kopf_leader.testing.facts import Notebook\n"
        f"book = Notebook(Path({str(path)!r}), 'r' * 200)\n"
        "def go():\n"
        "    for _ in range(100): book.write('mark', note='x' * 300)\n"
        "threads = [threading.Thread(target=go) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    children = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    history = History.read(path)
    assert history.problems == ()
    assert len(history.facts) == 1200


def test_the_environment_names_file_and_replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler needs nothing but its environment."""
    monkeypatch.setenv(facts.HISTORY, str(tmp_path / "history"))
    monkeypatch.setenv(facts.REPLICA, "b")
    Notebook.from_environment().write("mark", note="hello")
    fact = json.loads((tmp_path / "history").read_text())
    assert (fact["replica"], fact["note"]) == ("b", "hello")


def test_all_processes_share_the_clock(tmp_path: Path) -> None:
    """A fact of a child lies between two looks at our clock."""
    path = tmp_path / "history"
    program = (
        "from pathlib import Path; from kopf_leader.testing.facts import Notebook\n"
        f"Notebook(Path({str(path)!r})).write('mark')\n"
    )
    before = facts.now()
    subprocess.run([sys.executable, "-c", program], check=True)
    assert before < History.read(path).facts[0]["t"] < facts.now()


def test_threads_write_their_own_end(tmp_path: Path) -> None:
    """A synchronous handler's end is when its thread is done, whoever waits for it."""
    notebook = Notebook(tmp_path / "history")
    go = threading.Event()

    def handler() -> None:
        with notebook.handling(handler="sync", uid="u"):
            go.wait(30)

    thread = threading.Thread(target=handler)
    thread.start()
    go.set()
    thread.join()
    assert kinds(notebook.path) == ["start", "end"]


def test_a_missing_file_is_an_empty_history(tmp_path: Path) -> None:
    """Nobody has written yet."""
    assert History.read(tmp_path / "none") == History(())
