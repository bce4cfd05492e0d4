"""docs/commands.md says what there is: its options, its names, its commands and its rights are the real ones."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from kopf_leader.cli import main as main_module
from kopf_leader.cli.checkup import latency
from kopf_leader.cli.main import main
from tests.cli.leases import HELD
from tests.cli.test_doctor import CHECKS
from tests.cli.test_status import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
COMMANDS = ("status", "step-down", "transfer", "hold", "resume", "doctor", "manifest")
LINES = re.findall(r"^\$ kopf-leader ([^|\n]+)", PAGE, re.MULTILINE)
ROWS = re.findall(
    r"^\| `(\S+)` \| (.+) \| (.+) \| (.+) \|$", PAGE.partition("## Exit status")[2].partition("\n## ")[0], re.MULTILINE
)
STATUSES = {name: [status for status, cell in enumerate(cells) if cell != "-"] for name, *cells in ROWS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_on_the_page(name):
    """What a command takes is described."""
    command = main.get_command(click.Context(main), name)
    options = {max(option.opts, key=len) for option in command.params if isinstance(option, click.Option)}
    assert options
    assert {option for option in options if option not in PAGE} <= {"--output", "--namespace"}  # as -o and -n


@pytest.mark.parametrize("line", LINES)
def test_the_lines_are_commands(line):
    """Each line after `$ kopf-leader` is taken as it stands."""
    name, *arguments = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    assert command.make_context(name, arguments).params["lease_id"] == "my-operator"


def test_every_name_is_on_the_page():
    """The names in JSON and YAML are those of the page."""
    assert all(f"`{name}`" in PAGE for name in NAMES)


def test_the_rights_are_enough(cluster):
    """With the page's Role, and nothing else, a person can look, hold, resume, transfer and have stepped down."""
    (block,) = re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)
    role = yaml.safe_load(block.replace("my-operator", "op").replace("operators", "default"))
    name = role["metadata"]["name"]
    cluster.server.create("roles", role, namespace="default")
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    cluster.server.create("rolebindings", binding, namespace="default")
    cluster.server.create("pods", {"metadata": {"name": "pod-b"}}, namespace="default")
    token = cluster.server.add_user("jane", groups=())
    cluster.make({**HELD, "leaseDurationSeconds": 60})
    for command in (
        ["status", "op", "--observe=100ms"], ["step-down", "op", "--no-wait"],
        ["transfer", "op", "--to", "pod-b", "--no-wait"], ["resume", "op", "--no-wait"],
        ["hold", "op", "--reason=x", "--no-wait"], ["resume", "op", "--no-wait"],
    ):  # fmt: skip
        done = cluster.run(*command, token=token)
        assert (done.status, done.stderr) == (0, ""), done


@pytest.mark.parametrize("name", [*COMMANDS, "run", "demo"])
def test_the_statuses_are_those_of_the_help(name):
    """One table has each command, and the statuses that the command's own help names."""
    assert len(ROWS) == len(STATUSES)
    assert set(STATUSES) == set(main_module.COMMANDS)
    command = main.get_command(click.Context(main), name)
    said = " ".join(command.help.split()).partition("Exit status: ")[2]
    assert [int(status) for status in re.findall(r"(?:^|[;,] )([0-9]+)\b", said)] == STATUSES[name]


LONG = {**HELD, "leaseDurationSeconds": 60}
CASES = [
    # (command, status, the Lease's spec, what stands on it, arguments)
    ("status", 0, LONG, {}, ["--observe=0"]),
    ("status", 1, {}, {}, []),
    ("status", 2, None, {}, []),
    ("step-down", 0, LONG, {}, ["--no-wait"]),
    ("step-down", 1, {}, {}, []),
    ("step-down", 2, None, {}, []),
    ("transfer", 0, LONG, {}, ["--to=dead"]),
    ("transfer", 1, {}, {}, ["--to=x"]),
    ("transfer", 2, LONG, {}, ["--to=x"]),
    ("hold", 0, {}, {}, ["--reason=x"]),
    ("hold", 1, {}, {"hold": "y"}, ["--reason=x"]),
    ("hold", 2, None, {}, ["--reason=x"]),
    ("resume", 0, {}, {}, []),
    ("resume", 1, {}, {"hold": "x"}, ["--timeout=100ms"]),
    ("resume", 2, None, {}, []),
    ("doctor", 0, {}, {}, ["--observe=0"]),
    ("doctor", 1, {}, {}, ["--observe=0", "--leader-election-renew-deadline=1h"]),
    ("doctor", 2, {}, {}, ["--observe=soon"]),
]


@pytest.mark.parametrize(("name", "status", "spec", "asks", "arguments"), CASES, ids=[f"{c[0]}-{c[1]}" for c in CASES])
def test_the_statuses_are_real(cluster, monkeypatch, name, status, spec, asks, arguments):
    """Each status of the table is what the command ends with, and other than 0 comes with a sentence."""
    monkeypatch.setattr(latency, "SAMPLES", 3)
    if name == "transfer" and status == 1:
        arguments = [*arguments, "--force"]
    if name == "transfer" and status == 0:
        cluster.pod("dead")
    if spec is not None:
        cluster.make(spec, **asks)
    done = cluster.run(name, "op", *arguments)
    assert done.status == status, done
    assert status == 0 or "Traceback" not in done.stderr + done.stdout
    assert status == 0 or done.stderr + done.stdout


def test_every_status_is_tried():
    """The rest is tried elsewhere: `manifest` in test_manifest.py, `run` by gate and test_run.py, `demo` by demo."""
    tried = {(name, status) for name, status, *_ in CASES}
    listed = {(name, status) for name, statuses in STATUSES.items() for status in statuses}
    assert listed - tried == {(name, s) for name in ("run", "demo", "manifest") for s in STATUSES[name]}


def test_the_role_is_the_manifests():
    """The Role on the page is the one that the manifest prints."""
    (block,) = re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)
    result = CliRunner().invoke(main, ["manifest", "my-operator", "-n", "operators"])
    assert yaml.safe_load(block) in [*yaml.safe_load_all(result.stdout)]


def test_every_check_is_on_the_page():
    """The checks of doctor are those of the page."""
    listed = re.findall(
        r"`([a-z:]+)`",
        "".join(re.findall(r"^\| (`.+?) \| ", PAGE.partition("## doctor")[2].partition("\n## ")[0], re.MULTILINE)),
    )
    assert set(listed) == {*CHECKS, "switch", "duration", "token", "fence", "life", "right:pods"}
