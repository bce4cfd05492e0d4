"""The group of commands: quick where nothing is asked of kopf, and clear about what is missing."""

import importlib
import subprocess
import sys

import pytest
from click.testing import CliRunner

import kopf_leader
from kopf_leader.cli import main as main_module
from kopf_leader.cli.main import main


def test_version(invoke):
    """`kopf-leader --version` prints the one version there is."""
    assert invoke("--version").result.stdout == f"kopf-leader, version {kopf_leader.__version__}\n"


def test_help_names_the_commands(invoke):
    """`kopf-leader --help` names each command, with what it is for."""
    shown = invoke("--help").result.stdout
    for name, what in main_module.COMMANDS.items():
        assert name in shown
        assert what.split()[0] in shown


def test_an_unknown_command_is_refused(invoke):
    """Exit status 2, as click has it."""
    assert invoke("fly").status == 2


@pytest.mark.parametrize("command", [["-m", "kopf_leader"], ["-c", "from kopf_leader.cli.main import main; main()"]])
def test_version_and_help_import_neither_kopf_nor_rich(command):
    """`kopf-leader --version` and `--help` are quick: they import what they print, and nothing more."""
    for flag in ("--version", "--help"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", *command, flag], capture_output=True, text=True, timeout=60, check=True
        )
        imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
        assert "click" in imported
        assert not imported & {"kopf", "rich", "aiohttp"}


def test_an_operator_imports_only_what_it_was_asked_for():
    """An operator that asks for nothing special starts the sooner: what only an option needs is imported for that."""
    code = (
        "import kopf_leader, kopf_leader.gate.candidate as candidate, sys; kopf_leader.enable('op', namespace='ns'); "
        "from kopf_leader.gate.enable import apply; candidate.stand(apply(), None, None); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    imported = set(done.stdout.split())
    assert "kopf_leader.elector.driver" in imported
    ours = {"clients.blocking", "clients.kubernetes", "clients.pykube", "clients.peerings", "elector.witness"}
    ours |= {"gate.peering", "operations.endpoints", "operations.metrics"}
    assert not imported & {f"kopf_leader.{name}" for name in ours}
    assert not imported & {"concurrent.futures.process", "prometheus_client"}


@pytest.mark.parametrize("missing", ["rich", "jsonpatch"])
def test_the_demo_says_which_extra_it_needs(monkeypatch, missing):
    """Without rich or jsonpatch, `kopf-leader demo` says what to install."""

    def import_module(name):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(importlib, "import_module", import_module)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert missing in result.stderr
    assert "pip install 'kopf-leader[demo]'" in result.stderr


def test_a_defect_of_ours_is_not_called_a_missing_extra(monkeypatch):
    """A module of the package itself that is missing is a defect, and shows as one."""

    def import_module(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert isinstance(CliRunner().invoke(main, ["demo"]).exception, ModuleNotFoundError)
