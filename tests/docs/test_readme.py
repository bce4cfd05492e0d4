"""What the README tells people to type exists."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md")))]


def test_the_make_targets_exist() -> None:
    """The two commands of the README do all the set-up: each target that is shown exists."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\$ make (\w+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


@cache
def help_of_run() -> str:
    """What `kopf-leader run --help` prints."""
    command = [sys.executable, "-m", "kopf_leader", "run", "--help"]
    env = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_and_variable_exists(page: str) -> None:
    """Each flag of ours that a page names is one of `kopf-leader run`, and each variable one that it reads."""
    text = (ROOT / page).read_text(encoding="utf-8")
    help_ = help_of_run()
    for flag in re.findall(r"--(?:no-)?(?:enable-leader-election|leader-election-[a-z-]+|[a-z-]+-bind-address)", text):
        assert flag in help_, f"{page} names {flag}"
    for variable in re.findall(r"KOPF_RUN_[A-Z_]*LEADER_ELECTION[A-Z_]*|KOPF_RUN_[A-Z_]+_BIND_ADDRESS", text):
        assert variable in help_, f"{page} names {variable}"
