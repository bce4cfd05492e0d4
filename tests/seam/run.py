"""The gate's tests on each supported release of kopf, each in an environment of its own.

python -m tests.seam.run              all releases
python -m tests.seam.run 1.40.0 -x    this one; what is no release goes to pytest

The environments are made once, in ${XDG_CACHE_HOME:-~/.cache}/kopf-leader/venvs/<kopf version>, and made anew when what
belongs into them has changed.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from tests import environments

ROOT = Path(__file__).parents[2]
NOTHING_CHOSEN = 5
"""pytest's exit status where the arguments choose tests of another part."""
RELEASES = ("1.40.0", "1.42.0", "1.43.0", "1.44.1", "newest")
NEEDED = ("click", "cryptography", "jsonpatch", "pytest", "pytest-asyncio", "pytest-timeout", "trustme")
# Long runs, and what does not depend on kopf, are left to the tests on the release that is developed with.
TESTS = "tests/gate"
LEFT_OUT = ("test_flapping.py",)
# They mostly wait, and about as long in each part. What no part before it has is the last one's.
PARTS = {
    "ends": ("test_exits.py", "test_hooks_exits.py", "test_stopping.py"),
    "terms": ("test_hooks_*.py", "test_closing.py", "test_migration.py"),
    "rest": ("test_*.py",),
}


def files(part: str) -> list[str]:
    """The files of a part; each file is in one part."""
    left = {path.name for path in (ROOT / TESTS).glob("test_*.py")} - {*LEFT_OUT}
    for name, patterns in PARTS.items():
        chosen = {one for one in left if any(fnmatch(one, pattern) for pattern in patterns)}
        if name == part:
            return [f"{TESTS}/{one}" for one in sorted(chosen)]
        left -= chosen
    raise KeyError(part)


def prepare(release: str) -> Path:
    """Make the environment unless it is there; its Python. Raises `environments.PreparationError`."""
    kopf = "kopf" if release == "newest" else f"kopf=={release}"
    constraints = _constraints()
    recipe = [*NEEDED, constraints]
    return environments.make(release, recipe=recipe, packages=[kopf, *NEEDED], constraints=constraints)


def version(release: str) -> str:
    """The release of kopf that the environment has. Raises `PreparationError`."""
    ask = "import importlib.metadata; print(importlib.metadata.version('kopf'))"
    return subprocess.run([prepare(release), "-c", ask], check=True, capture_output=True, text=True).stdout.strip()


def run(release: str, part: str, arguments: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a part of the gate's tests with this release."""
    python = prepare(release)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", *files(part)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    for name in [name for name in env if name.startswith("PYTEST_XDIST")]:
        del env[name]
    return subprocess.run(
        [*command, *arguments],
        check=False,
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _constraints() -> str:
    """What everybody is pinned to, but kopf and this package."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith(("kopf==", "-e"))) + "\n"


def main(arguments: Sequence[str]) -> int:
    chosen = [argument for argument in arguments if argument in RELEASES or re.fullmatch(r"\d+\.\d+\.\d+", argument)]
    rest = [argument for argument in arguments if argument not in chosen]
    status = 0
    for release in chosen or RELEASES:
        for part in PARTS:
            print(f"=== kopf {release}, {part}", flush=True)
            done = run(release, part, rest)
            print(done.stdout, flush=True)
            status = status or (done.returncode if done.returncode != NOTHING_CHOSEN else 0)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
