"""The package itself: a wheel and an sdist that install and work where nothing else is."""

import email
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from kopf_leader import __version__
from tests.package.places import ROOT, empty_environment, install, run

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it."""
    python = empty_environment(tmp_path_factory.mktemp("env") / "venv")
    install(python, *built.glob("*.whl"))
    return python


def _metadata(built: Path) -> Message:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(wheel.read(name))


def test_both_are_built_for_this_version(built: Path):
    """`python -m build` gives a wheel for every platform and an sdist, of this very version."""
    names = sorted(path.name for path in built.iterdir())
    assert names == [f"kopf_leader-{__version__}-py3-none-any.whl", f"kopf_leader-{__version__}.tar.gz"]


def test_the_metadata_is_complete(built: Path):
    """What the package's page shows: licence, readme, supported versions, extras, links."""
    metadata = _metadata(built)
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert {"demo", "metrics", "kubernetes", "pykube"} <= set(metadata.get_all("Provides-Extra", []))
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_wheel_holds_the_package_and_nothing_else(built: Path):
    """Types are shipped; tests, examples and the chart are not."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert "kopf_leader/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {"kopf_leader", f"kopf_leader-{__version__}.dist-info"}


def test_the_sdist_holds_what_its_tests_need(built: Path):
    """Whoever packages it for a distribution can run the tests: nothing of them is left out."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = ("Makefile", "constraints.txt", "tests/rings.py", "charts/kopf-operator/values.yaml", "docs/protocol.md")
    assert set(wanted) <= names


def test_installing_brings_only_what_the_main_job_needs(python: Path):
    """No library of an extra comes along: neither clients, nor metrics, nor the demo's."""
    for module in ("kubernetes", "pykube", "prometheus_client", "rich"):
        run(python, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is not None)")


def test_the_command_works_where_it_was_installed(python: Path, tmp_path: Path):
    """The script is there, tells its version, and shows kopf's options beside the election's."""
    script = python.parent / "kopf-leader"
    assert __version__ in run(script, "--version")
    text = run(script, "run", "--help", cwd=tmp_path)
    assert "--enable-leader-election" in text
    assert "--liveness" in text


def test_every_module_can_be_imported_or_says_what_it_needs(python: Path):
    """Each module imports, but those that belong to an extra, which fail for want of that extra's library only."""
    script = """
import importlib, pkgutil, kopf_leader
for info in pkgutil.walk_packages(kopf_leader.__path__, "kopf_leader."):
    if info.name.endswith("__main__") or info.name == "kopf_leader.auto" or ".example." in info.name:  # which act
        continue
    try:
        importlib.import_module(info.name)
    except ModuleNotFoundError as error:
        print(info.name, error.name)
"""
    missing = dict(line.split() for line in run(python, "-c", script).splitlines())
    extras = {"kubernetes", "pykube", "prometheus_client", "rich", "jsonpatch", "urllib3"}
    assert {name.partition(".")[0] for name in missing.values()} <= extras
    assert "kopf_leader.gate.gate" not in missing


def test_the_sdist_builds_the_same_wheel(built: Path, tmp_path: Path):
    """From the sdist comes a wheel with the same files."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path / "again", source)
    first, second = next(built.glob("*.whl")), next((tmp_path / "again").glob("*.whl"))
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as two:
        assert sorted(one.namelist()) == sorted(two.namelist())
