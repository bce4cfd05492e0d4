"""docs/tutorial.md: what it tells the reader to do is done, and what it says is printed is printed."""

import contextlib
import os
import random
import re
import resource
import socket
import sys
from pathlib import Path

import pytest

from tests.docs.reference import DOCS
from tests.docs.terminals import Terminal, steps

PAGE = (DOCS / "tutorial.md").read_text(encoding="utf-8")
FASTER = {"LEASE_DURATION": "8s", "RENEW_DEADLINE": "7s", "RETRY_PERIOD": "1s"}
"""The reader has the defaults; nothing on the page depends on them but the 15 s in its text."""


@pytest.fixture(autouse=True)
def without_cores():
    """SIGQUIT dumps the core, where it is allowed to."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


def free_port() -> int:
    """A port that is free, and that no connection is given by chance before it is used."""
    while True:
        with socket.socket() as one:
            port = random.randrange(20_000, 32_000)
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", port))
                return port


def test_the_reader_sees_a_failover(tmp_path):
    """Step by step, in four terminals: who leads, who stands by, and that each one goes on after the other."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "handlers.py").write_text(code)
    port = str(free_port())
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(DOCS).parent), "COLUMNS": "200"}
    environment |= {f"KOPF_RUN_LEADER_ELECTION_{name}": value for name, value in FASTER.items()}
    terminals: dict[str, Terminal] = {}
    try:
        for number, line in steps(PAGE):
            terminal = terminals.setdefault(number, Terminal(number, tmp_path, environment))
            terminal.do(line.replace("8901", port))
    finally:
        for terminal in terminals.values():
            terminal.close()
    told = {number: terminal.text for number, terminal in terminals.items()}
    assert "15 s" in PAGE
    assert (told["2"] + told["3"]).count("Planting rose.") == 1, told
    assert "Traceback" not in "".join(told.values()), told
