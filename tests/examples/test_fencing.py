"""examples/09-fencing, on both API servers: a former leader's write is refused, and without the fence it is not."""

import importlib.util
import os
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.conftest import EXAMPLES, QUICK, Place

FOLDER = EXAMPLES / "09-fencing"
RUN = ["kopf", "run", "-A", "handlers.py"]


def load() -> Any:
    """The example's table."""
    spec = importlib.util.spec_from_file_location("table", FOLDER / "table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Unfenced:
    """The same table, but that it asks for no fence."""

    def __init__(self, module: Any, path: Path) -> None:
        class Open(module.Table):  # type: ignore[misc,name-defined] # loaded from the example's folder
            def _raise(self, database: Any, token: int) -> None:
                pass

        self.write = Open(path).write


def rows(path: Path) -> dict[str, tuple[str, int]]:
    database = sqlite3.connect(path)
    try:
        return {name: (field, token) for name, field, token in database.execute("SELECT * FROM things")}
    finally:
        database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "things.db"


def test_a_write_of_a_former_leader_is_refused(path: Path) -> None:
    """A token that is smaller than one that was here is refused, on every row, and nothing of it stays."""
    module = load()
    table = module.Table(path)
    table.enter(5)
    table.write("one", "of 5", token=5)
    table.write("one", "of 5 again", token=5)
    module.Table(path).enter(9)
    for name in ("one", "a row that nobody has written"):
        with pytest.raises(module.Stale, match="The token 5 is of a former leader"):
            table.write(name, "late", token=5)
    with pytest.raises(module.Stale):
        table.enter(8)
    assert rows(path) == {"one": ("of 5 again", 5)}
    table.write("one", "of 9", token=9)
    assert rows(path) == {"one": ("of 9", 9)}


def test_leases_have_fences_of_their_own(path: Path) -> None:
    """The tokens of two Leases are not compared."""
    module = load()
    module.Table(path, lease="one").enter(9)
    module.Table(path, lease="two").enter(5)


def test_without_the_fence_it_goes_through(path: Path) -> None:
    """The test above can fail: the same write without the fence overwrites what the new leader has written."""
    module = load()
    module.Table(path).write("one", "of the new leader", token=9)
    Unfenced(module, path).write("one", "late", token=5)
    assert rows(path) == {"one": ("late", 5)}


def test_a_failing_write_leaves_nothing_behind(path: Path) -> None:
    """Fence and row change together or not at all: a write that fails has raised nothing."""
    module = load()
    table = module.Table(path)
    with pytest.raises(sqlite3.Error):
        table.write("one", object(), token=9)
    table.write("one", "of 5", token=5)
    assert rows(path) == {"one": ("of 5", 5)}


def test_the_readme_shows_the_statement() -> None:
    """The statement of the README is the table's."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"\n{load().RAISE}\n" in readme
    assert f"\n{shlex.join(RUN)}\n" in readme


def test_a_frozen_leader_s_late_write(place: Place, path: Path) -> None:
    """A frozen leader, replaced: what it had in hand is refused when it arrives; without the fence it goes through."""
    module = load()
    place.stage("09-fencing", RUN, TABLE=str(path), **QUICK)
    place.start("a")
    place.create("one")
    place.handled("one")
    (field, old) = rows(path)["one"]
    assert field == "one"
    place.start("b")
    place.says("b", "Standing by")
    place.replicas["a"].freeze()
    place.says("b", "Became leader")
    place.create("two")
    place.handled("two")
    new = rows(path)["two"][1]
    assert new > old
    for name in ("one", "two"):
        with pytest.raises(module.Stale):
            module.Table(path).write(name, "late", token=old)
    assert rows(path) == {"one": ("one", old), "two": ("two", new)}
    Unfenced(module, path).write("two", "late", token=old)
    assert rows(path)["two"] == ("late", old)
    place.replicas["a"].thaw()
    place.wait(
        lambda: not place.replicas["a"].alive or "Stops leading" in place.replicas["a"].text(), "the end of a's term"
    )
    place.replicas["b"].stop()
    assert place.replicas["b"].wait() == 0, place.replicas.tails()


LATE = """
import logging
import types
import kopf, kopf_leader
import handlers
handlers.raise_the_fence(term=types.SimpleNamespace(token=9))
kopf_leader.current_term = lambda: types.SimpleNamespace(token=5)  # of the former leader, within its handler
try:
    handlers.store(spec={"field": "late"}, name="one", logger=logging.getLogger())
except kopf.PermanentError as error:
    print(error)
"""


def test_the_handler_of_a_former_leader_gives_up(path: Path) -> None:
    """The example's own handler, with a token of the past: nothing is stored, and kopf is told not to try again."""
    env = {**os.environ, "PYTHONPATH": f"{FOLDER.parents[1]}{os.pathsep}{FOLDER}", "TABLE": str(path)}
    done = subprocess.run([sys.executable, "-c", LATE], env=env, capture_output=True, text=True, check=False)
    assert done.stdout == "The token 5 is of a former leader: this write is refused.\n", done.stderr
    assert rows(path) == {}
