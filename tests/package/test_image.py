"""The container image: its Dockerfile is read, and its steps are run where no engine is needed."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from kopf_leader import __version__
from tests.package.dockerfile import build, config, stages
from tests.package.places import ROOT, run

pytestmark = pytest.mark.timeout(300)


def test_the_last_stage_installs_nothing_and_is_not_root():
    """Multi-stage, a numeric user, no pip and no shell step in what is shipped, no moving tag."""
    first, last = stages()
    assert any(word == "RUN" for word, _ in first)
    assert not any(word == "RUN" for word, _ in last)
    assert config()["User"] == "65532:65532"
    assert len({word for word, _ in last}) == len(last)  # as config() takes for granted
    assert all(":" in rest and "latest" not in rest for word, rest in first + last if word == "FROM")


def test_hadolint_has_nothing_to_say():
    """The linter of Dockerfiles, and of the shell in them: no finding of any weight."""
    found = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert found is not None, "there is no hadolint: run `make lint` once, which sets the environment up"
    assert run(found, "--no-color", "--failure-threshold", "style", ROOT / "Dockerfile") == ""


def test_only_what_is_copied_reaches_the_build():
    """.dockerignore lets in what the Dockerfile copies, and nothing else."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        name for word, rest in stages()[0] if word == "COPY" for name in rest.split()[:-1] if not name.startswith("--")
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_its_steps_make_an_environment_that_works(tmp_path: Path):
    """The build stage, step by step, in a folder instead of an image; then the entrypoint, as the chart calls it."""
    venv = build(tmp_path)
    entrypoint = venv / "bin" / "kopf-leader"
    assert __version__ in run(entrypoint, "--version", cwd=tmp_path)
    assert "--metrics-bind-address" in run(entrypoint, "run", "--help", cwd=tmp_path)
    run(venv / "bin" / "python", "-c", "import prometheus_client, kopf_leader.operations.metrics", cwd=tmp_path)
