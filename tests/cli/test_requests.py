"""`step-down`, `transfer`, `hold`, `resume`: what they ask for, what comes of it, and what they refuse."""

import json
import signal
import subprocess
import sys

import pytest
from aiohttp import web
from click.testing import CliRunner

from kopf_leader.cli.main import main
from tests.cli.leases import HELD
from tests.elector.test_thread import wait_for


@pytest.fixture
def three(either):
    """Three candidates, of which the first leads."""
    either.make()
    either.join("pod-a_1", "pod-b_2", "pod-c_3")
    return either


def test_step_down(three):
    """Another candidate leads when the command ends; the request is gone, other annotations are not."""
    done = three.run("step-down", "op")
    assert done.status == 0, done
    assert done.stdout.startswith("Asked pod-a_1 to step down.\n")
    leader = three.lease["spec"]["holderIdentity"]
    assert leader in ("pod-b_2", "pod-c_3")
    assert f"{leader} leads." in done.stdout
    assert three.annotations == {"of": "others"}


def test_step_down_alone(cluster):
    """The only candidate comes back last, which is soon: status 1 and a sentence."""
    cluster.make()
    cluster.join("pod-a_1")
    done = cluster.run("step-down", "op")
    assert (done.status, done.stdout) == (1, "Asked pod-a_1 to step down.\n")
    assert "no other candidate took over" in done.stderr


@pytest.mark.parametrize("target", ["pod-c", "pod-c_3"])
def test_transfer(three, target):
    """To an identity or to a pod: that one leads when the command ends."""
    three.pod("pod-c")
    done = three.run("transfer", "op", "--to", target)
    assert (done.status, done.stderr) == (0, ""), done
    assert done.stdout.endswith("pod-c_3 leads.\n")
    assert three.lease["spec"]["holderIdentity"] == "pod-c_3"


def test_transfer_to_the_leader(three):
    """The target leads already: status 0, and nothing is written."""
    version = three.lease["metadata"].get("annotations")
    done = three.run("transfer", "op", "--to", "pod-a", "--force")
    assert (done.status, done.stdout) == (0, "pod-a_1 leads already.\n")
    assert three.lease["metadata"]["annotations"] == version
    assert three.leader() == "pod-a_1"


def test_transfer_to_a_pod_that_is_not_there(three):
    """Refused with status 2 before anything is written: a wrong name would cost a handover."""
    done = three.run("transfer", "op", "--to", "pod-x")
    assert done.status == 2
    assert f"There is no pod pod-x in the namespace {three.namespace}" in done.stderr
    assert "--force" in done.stderr
    assert three.leader() == "pod-a_1"
    assert three.annotations == {"of": "others"}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_transfer_to_a_pod_that_cannot_take_over(either, phase):
    """A pod that has ended is refused likewise; --force writes all the same."""
    either.make({**HELD, "leaseDurationSeconds": 60})
    either.pod("pod-x", phase=phase)
    done = either.run("transfer", "op", "--to", "pod-x_1")
    assert done.status == 2
    assert "The pod pod-x has ended or is being deleted, and nothing was written" in done.stderr
    assert either.annotations == {"of": "others"}
    assert either.run("transfer", "op", "--to", "pod-x_1", "--force", "--no-wait").status == 0


def test_transfer_in_vain(three):
    """With --force to a name that nobody bears: somebody else takes over; status 1 and the name of who does."""
    done = three.run("transfer", "op", "--to", "pod-x", "--force")
    assert done.status == 1
    assert three.lease["spec"]["holderIdentity"] in done.stderr
    assert "no candidate called pod-x" in done.stderr


def test_pods_that_may_not_be_read(three):
    """Without the right to get pods: it goes on, and says that the name was not checked."""
    done = three.run("transfer", "op", "--to", "pod-b", token=three.person("get", "watch", "update"))
    assert done.status == 0, done
    assert "not checked" in done.stderr
    assert three.lease["spec"]["holderIdentity"] == "pod-b_2"


@pytest.mark.parametrize("target", ["*", "", "a b", "x" * 254, "ä"])
def test_no_name(cluster, target):
    """What cannot be anybody's name is refused before anything is asked of the server."""
    done = cluster.run("transfer", "op", "--to", target)
    assert done.status == 2
    assert "no name" in done.stderr
    assert not cluster.server.requests


def test_hold_and_resume(three):
    """Held: nobody leads, for all to see and to know why. Resumed: somebody does."""
    done = three.run("hold", "op", "--reason", "an upgrade\nof the database")
    assert done.status == 0, done
    assert done.stdout.endswith("Nobody leads.\n")
    assert three.lease["spec"]["holderIdentity"] == ""
    assert three.annotations == {"of": "others", "kopf-leader/hold": "an upgrade of the database"}
    wait_for(lambda: not three.leader())
    shown = three.run("status", "op")
    assert shown.status == 1
    assert "held" in shown.stdout
    assert "hold: an upgrade of the database" in shown.stdout

    again = three.run("hold", "op", "--reason", "an upgrade of the database")
    assert (again.status, again.stdout) == (0, "The Lease is on hold.\nNobody leads.\n")
    other = three.run("hold", "op", "--reason", "another")
    assert other.status == 1
    assert "on hold already (an upgrade of the database)" in other.stderr
    for command in (["step-down", "op"], ["transfer", "op", "--to", "pod-b", "--force"]):
        refused = three.run(*command)
        assert refused.status == 1
        assert "Nobody leads" in refused.stderr
        assert "on hold (an upgrade of the database)" in refused.stderr

    done = three.run("resume", "op")
    assert done.status == 0, done
    assert three.lease["spec"]["holderIdentity"] in done.stdout
    assert three.annotations == {"of": "others"}
    nothing = three.run("resume", "op")
    assert nothing.status == 0
    assert "no hold" in nothing.stdout


def test_hold_on_a_dead_leaders_lease(cluster):
    """A holder that is silent for the Lease's whole duration does not lead; the hold keeps others from taking over."""
    cluster.make(HELD)
    done = cluster.run("hold", "op", "--reason", "x")
    assert done.status == 0, done
    assert "Nobody leads: dead_1 has been silent" in done.stdout
    assert cluster.lease["spec"]["holderIdentity"] == "dead_1"


def test_hold_of_a_lease_that_is_free(cluster):
    """Before the operator is even deployed: done at once, and the empty spec is left as it is."""
    cluster.make()
    before = cluster.lease["spec"]
    done = cluster.run("hold", "op", "--reason", "not yet")
    assert (done.status, done.stdout) == (0, "The Lease is on hold.\nNobody leads.\n")
    assert cluster.lease["spec"] == before


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_no_reason(cluster, reason):
    """A hold without a reason is refused: somebody else will wonder about it."""
    done = cluster.run("hold", "op", "--reason", reason)
    assert done.status == 2
    assert not cluster.server.requests


COMMANDS = [["step-down", "op"], ["transfer", "op", "--to", "x", "--force"], ["hold", "op", "--reason", "x"]]
COMMANDS += [["resume", "op"], ["status", "op"]]


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_no_such_lease(either, command):
    """Without the Lease: a sentence, status 2, and nothing is created."""
    done = either.run(*command)
    assert (done.status, done.stdout) == (2, "")
    assert f"There is no Lease {either.namespace}/op" in done.stderr
    assert done.stderr.strip().count("\n") == 0 or "not checked" in done.stderr
    with pytest.raises(ValueError):
        _ = either.lease


@pytest.mark.parametrize("command", COMMANDS, ids=[command[0] for command in COMMANDS])
def test_no_rights(either, command):
    """Without any right: status 2, and the sentence names the rule that is missing."""
    either.make(HELD)
    done = either.run(*command, token=either.person("delete"))
    assert done.status == 2
    assert 'resourceNames: ["op"], verbs: ["get", "watch", "update"]' in done.stderr


@pytest.mark.parametrize("command", COMMANDS[:3], ids=[command[0] for command in COMMANDS[:3]])
def test_who_may_only_look(either, command):
    """With the right to look only: status 2, the verb is named, and nothing is written."""
    either.make(HELD)
    before = either.lease
    done = either.run(*command, token=either.person("get", "watch"))
    assert done.status == 2
    assert 'allow the verb "update"' in done.stderr
    assert either.lease == before


def test_no_wait(cluster):
    """--no-wait: written, and the command ends."""
    cluster.make(HELD)
    done = cluster.run("step-down", "op", "--no-wait")
    assert (done.status, done.stdout) == (0, "Asked dead_1 to step down.\n")
    assert cluster.annotations["kopf-leader/transfer-to"] == "*"


def test_the_time_is_up(cluster):
    """Nobody answers: status 1; who holds the Lease, what stands on it, and how that is withdrawn; which works."""
    cluster.make({**HELD, "leaseDurationSeconds": 60})
    done = cluster.run("step-down", "op", "--timeout", "300ms")
    assert done.status == 1
    for words in ("The time is up (0.3 s)", "dead_1 holds the Lease", "stands: step down", "kopf-leader resume"):
        assert words in done.stderr
    withdrawn = cluster.run("resume", "op", "--no-wait")
    assert (withdrawn.status, withdrawn.stdout) == (0, "The transfer is withdrawn.\n")
    assert cluster.annotations == {"of": "others"}


@pytest.mark.parametrize("command", ["step-down", "status"])
def test_interrupted(cluster, command):
    """Ctrl-C: status 130, no traceback, and what was asked for may stand: it is said."""
    cluster.make({**HELD, "leaseDurationSeconds": 60})
    kubeconfig = cluster.server.write_kubeconfig(cluster.folder / "kc")
    process = subprocess.Popen(
        [sys.executable, "-m", "kopf_leader", command, "op", "--kubeconfig", kubeconfig]
        + (["--watch"] if command == "status" else []),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: cluster.server.watches)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert ("the request may stand" in stderr) == (command == "step-down")


class Nemesis:
    """Lets something happen to the first PUTs of a person."""

    def __init__(self, cluster, *answers):
        self.cluster, self.answers, self.bodies = cluster, list(answers), []
        cluster.server.on_request = self

    async def __call__(self, request):
        if request.method != "PUT" or request.headers.get("User-Agent") != "kopf-leader-cli":
            return None
        self.bodies.append(await request.json())
        return self.answers.pop(0)() if self.answers else None


def problem(status):
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "as it happens"}
    return lambda: web.json_response(body, status=status)


def test_a_conflict_is_judged_anew(cluster):
    """409: read again and written on the newer version, a bounded number of times; the version and the uid are sent."""
    cluster.make(HELD)
    nemesis = Nemesis(cluster, problem(409), problem(409))
    assert cluster.run("step-down", "op", "--no-wait").status == 0
    assert len(nemesis.bodies) == 3
    for body in nemesis.bodies:
        assert body["metadata"]["uid"] == cluster.lease["metadata"]["uid"]
        assert body["metadata"]["resourceVersion"]
        assert body["spec"] == cluster.lease["spec"]
        assert body["metadata"]["annotations"] == {"of": "others", "kopf-leader/transfer-to": "*"}


def test_conflicts_without_end(cluster):
    """After ten attempts it gives up, with status 2, and says that nothing was written."""
    cluster.make(HELD)
    nemesis = Nemesis(cluster, *[problem(409)] * 20)
    done = cluster.run("step-down", "op", "--no-wait")
    assert done.status == 2
    assert len(nemesis.bodies) == 10
    assert "10 attempts, nothing was written" in done.stderr


def test_an_unknown_outcome_is_looked_at(cluster):
    """A 500 hides whether it was written: it is read again, and written again where it was not."""
    cluster.make(HELD)
    nemesis = Nemesis(cluster, problem(500))
    assert cluster.run("hold", "op", "--reason", "x", "--no-wait").status == 0
    assert len(nemesis.bodies) == 2
    assert cluster.annotations["kopf-leader/hold"] == "x"


def test_a_landed_request_is_not_sent_twice(cluster):
    """A step-down that landed under a 500 and was obeyed is not written again: it would move the lead twice."""
    cluster.make(HELD)

    def obeyed():
        cluster.server.on_request = None
        stored = cluster.lease
        spec = {**HELD, "holderIdentity": "next_2", "acquireTime": "2026-01-02T03:04:06.000000Z"}
        put(cluster, {**stored, "spec": spec})
        return problem(500)()

    Nemesis(cluster, obeyed)
    done = cluster.run("step-down", "op")
    assert done.status == 0, done
    assert done.stdout == "Asked dead_1 to step down.\nnext_2 leads.\n"
    assert cluster.annotations == {"of": "others"}


def put(cluster, body):
    """Replace the Lease as another client would, from within the server's loop."""
    service = cluster.server._service
    resource = service.registry.named("leases", None)
    service.objects.replace(resource, "default", "op", body)


def test_higher_priority_is_warned_of(cluster):
    """Whoever is sent away by a transfer and has a priority will ask for the lead again: it is said."""
    cluster.make(HELD, priority="666")
    done = cluster.run("transfer", "op", "--to", "pod-b", "--force", "--no-wait")
    assert done.status == 0
    assert "priority 666" in done.stdout


def test_an_unreachable_server(cluster, tmp_path):
    """No server: one sentence, status 2."""
    cluster.server.on_request = None
    path = tmp_path / "nowhere"
    path.write_text(json.dumps({
        "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
    }))  # fmt: skip
    for command in (["status", "op"], ["step-down", "op"]):
        result = CliRunner().invoke(main, [*command, "--kubeconfig", str(path)])
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: GET of the Lease default/op broke off")
        assert result.stderr.count("\n") == 1
