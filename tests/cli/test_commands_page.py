"""docs/commands.md says what there is: its options, its names, its commands and its rights are the real ones."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from kopf_leader.cli.main import main
from tests.cli.leases import HELD
from tests.cli.test_status import NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
COMMANDS = ("status", "step-down", "transfer", "hold", "resume")
LINES = re.findall(r"^\$ kopf-leader (.+)$", PAGE, re.MULTILINE)


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
