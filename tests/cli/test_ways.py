"""The three ways to enable the election, and none of them: the examples, as real processes on the embedded API server.

Each runs with the command and the variables that its README shows.
"""

import os
import pathlib
import shlex
import socket
import subprocess
import sys

import pytest
import yaml

from kopf_leader.testing.apiserver import EmbeddedAPIServer
from kopf_leader.testing.processes import ReplicaSet

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RELEASED = {"holderIdentity": "", "leaseDurationSeconds": 1}
AUTO = {"KOPF_RUN_MODULES": "kopf_leader.auto", "KOPF_RUN_LEADER_ELECTION_ID": "my-operator"}
FLAGS = ("--enable-leader-election", "--leader-election-id=my-operator")
WAYS = {
    "01-minimal": (["kopf_leader", "run", "-A", "handlers.py", *FLAGS], {}),
    "02-enable-in-code": (["kopf", "run", "-A", "handlers.py"], {}),
    "03-stock-kopf-run": (["kopf", "run", "-A", "handlers.py"], AUTO),
}
QUICK = {
    "KOPF_RUN_LEADER_ELECTION_LEASE_DURATION": "4s",
    "KOPF_RUN_LEADER_ELECTION_RENEW_DEADLINE": "3s",
    "KOPF_RUN_LEADER_ELECTION_RETRY_PERIOD": "500ms",
}


class Scene:
    """The API server with the examples' resource, and replicas of one example."""

    def __init__(self, server, folder, example, *, replicas=("a",), lease=True, variables=None, command=None):
        usual, environment = WAYS.get(example, ([], {}))
        self.server = server
        server.create("customresourcedefinitions", yaml.safe_load((EXAMPLES / "crd.yaml").read_text()))
        if lease:  # one that was never held is taken at once (L11)
            server.create("leases", {"metadata": {"name": "my-operator"}, "spec": {}}, namespace="default")
        self.replicas = ReplicaSet(
            ["python", "-m", *(command or usual)],
            folder / "replicas",
            environment={"PYTHONPATH": str(ROOT), **environment, **(variables or {})},
            cwd=EXAMPLES / example,
        )
        self.kubeconfig = server.write_kubeconfig(folder / "kubeconfig-of-the-server")
        for name in replicas:
            self.replicas.start(name, kubeconfig=self.kubeconfig, environment={"POD_NAME": f"pod-{name}"})

    def handle(self, name):
        """Create an object and wait until the create handler's result is stored."""
        body = {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name}, "spec": {"field": name}}
        self.server.create("kopfexamples", body, namespace="default")
        self.replicas.wait_until(lambda: self.stored(name) == {"created-for": name}, what=f"the handling of {name}")

    def stored(self, name):
        (found,) = (
            o for o in self.server.objects("kopfexamples", namespace="default") if o["metadata"]["name"] == name
        )
        return found.get("status", {}).get("create")

    @property
    def leases(self):
        return self.server.objects("leases", namespace="default")

    @property
    def spec(self):
        (lease,) = self.leases
        assert lease["metadata"]["name"] == "my-operator"
        return lease.get("spec", {})

    def leader(self):
        """The name of the replica that holds the Lease."""
        return self.spec["holderIdentity"].removeprefix("pod-").partition("_")[0]


@pytest.fixture
def scene(tmp_path):
    """A function that sets the scene for an example."""
    with EmbeddedAPIServer().in_thread() as server:
        scenes = []

        def make(*args, **kwargs):
            scenes.append(Scene(server, tmp_path, *args, **kwargs))
            return scenes[-1]

        yield make
        for scene in scenes:
            scene.replicas.close()


@pytest.mark.parametrize("example", WAYS)
def test_the_readme_shows_what_is_run_here(example):
    """Nothing shown is unrun: the README of each example has the command and the variables of these tests."""
    shown = (EXAMPLES / example / "README.md").read_text()
    command, variables = WAYS[example]
    assert shlex.join(command).replace("kopf_leader", "kopf-leader") in shown
    for name, value in variables.items():
        assert f"export {name}={value}" in shown


@pytest.mark.parametrize("example", WAYS)
def test_each_way_elects_handles_and_releases(scene, example):
    """Enabled in any of the three ways: it leads, handles, ends with 0 at SIGTERM and gives the Lease back (L14)."""
    scene = scene(example)
    scene.handle("one")
    assert scene.leader() == "a"
    assert scene.replicas.stop() == {"a": 0}, scene.replicas.tails()
    assert scene.spec.items() >= RELEASED.items()
    log = scene.replicas["a"].text()
    assert log.count("Standing for the Lease default/my-operator as pod-a_") == 1
    assert "the namespace is from the kubeconfig's current context" in log
    assert "Traceback" not in log


def test_the_environment_wins_over_the_code(scene):
    """`enable(lease_duration="15s")` in the code and a variable: the Lease has the variable's; and it is created."""
    scene = scene("02-enable-in-code", lease=False, variables=QUICK)
    scene.handle("one")
    assert scene.spec["leaseDurationSeconds"] == 4
    assert scene.replicas.stop() == {"a": 0}, scene.replicas.tails()


def test_the_next_one_goes_on(scene):
    """The README of the first example: two replicas, SIGTERM on the leader, and the next one goes on."""
    scene = scene("01-minimal", replicas=("a", "b"))
    scene.handle("one")
    first = scene.leader()
    scene.replicas[first].stop()
    assert scene.replicas[first].wait() == 0
    scene.handle("two")
    assert {first, scene.leader()} == {"a", "b"}
    assert list(scene.replicas.stop().values()) == [0], scene.replicas.tails()
    assert scene.spec.items() >= RELEASED.items()


OFF = {"KOPF_RUN_ENABLE_LEADER_ELECTION": "false"}
ALONE = {
    "no flag": ("01-minimal", {"command": ["kopf_leader", "run", "-A", "handlers.py"]}),
    "flag": (
        "02-enable-in-code",
        {"command": ["kopf_leader", "run", "--no-enable-leader-election", "-A", "handlers.py"]},
    ),
    "variable against code": ("02-enable-in-code", {"variables": OFF}),
    "variable against auto": ("03-stock-kopf-run", {"variables": OFF}),
}


@pytest.mark.parametrize(("example", "how"), ALONE.values(), ids=ALONE)
def test_without_the_election_it_is_plain_kopf(scene, example, how):
    """Not enabled, or switched off by what is said louder: it handles alone, by the same path (L19); no Lease."""
    scene = scene(example, lease=False, **how)
    scene.handle("one")
    assert scene.replicas.stop() == {"a": 0}, scene.replicas.tails()
    assert scene.replicas["a"].text().count("No leader election") == 1
    assert scene.leases == []
    assert not [plural for _, _, plural in scene.server.requests if plural == "leases"]


def test_peering_asked_for_in_a_startup_handler_is_refused(scene, tmp_path):
    """Known only when the startup handlers have run: exit status 2 all the same, and a sentence with the way out."""
    handlers = tmp_path / "handlers.py"
    handlers.write_text(
        "import kopf\n\n@kopf.on.startup()\ndef configure(settings, **_):\n    settings.peering.mandatory = True\n"
        "\n@kopf.on.create('kopfexamples')\ndef create(**_): ...\n"
    )
    scene = scene("01-minimal", command=["kopf_leader", "run", "-A", str(handlers), *FLAGS])
    assert scene.replicas["a"].wait() == 2, scene.replicas.tails()
    last = scene.replicas["a"].text().splitlines()[-1]
    assert last.startswith("Error: ")
    assert "drop the settings of peering, or disable the election" in last
    assert scene.spec.get("holderIdentity") is None


@pytest.mark.parametrize("which", ["HEALTH_PROBE", "METRICS"])
@pytest.mark.parametrize("way", WAYS)
def test_a_port_in_use(way, which):
    """`kopf-leader run`, and a stock `kopf run` in each way: one sentence, status 2, before kopf starts."""
    command, variables = WAYS[way]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, timeout=120, check=False,
            cwd=EXAMPLES / way,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables, f"KOPF_RUN_{which}_BIND_ADDRESS": address},
        )  # fmt: skip
    assert done.returncode == 2, done
    assert done.stderr.startswith("Error: The ")
    assert f"{address!r} cannot be listened at (Address already in use): free it" in done.stderr
    assert done.stderr.count("\n") == 1
