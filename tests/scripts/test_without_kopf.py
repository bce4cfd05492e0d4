"""Scripts without kopf, as processes on both API servers: one works at a time, whatever becomes of the other."""

import pathlib
from urllib.parse import urlsplit

import pytest

from kopf_leader.testing.history import check
from kopf_leader.testing.processes import ReplicaSet
from kopf_leader.testing.proxy import Proxy

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "04-without-kopf"
FORMS = ["run", "standings", "kubernetes", "pykube"]
RELEASED = {"holderIdentity": "", "leaseDurationSeconds": 1}


class Stage:
    """Replicas of the worker, each behind a proxy of its own."""

    def __init__(self, cluster, folder, form):
        cluster.make("job")
        self.cluster = cluster
        self.folder = folder
        self.form = form
        self.proxies = {}
        command = ["python", str(ROOT / "tests" / "scripts" / "worker.py"), form]
        self.replicas = ReplicaSet(command, folder / "replicas", environment={"PYTHONPATH": str(ROOT)})

    def start(self, name, *arguments):
        address = urlsplit(self.cluster.url)
        self.proxies[name] = Proxy(address.hostname, address.port).start()
        url = f"{address.scheme}://127.0.0.1:{self.proxies[name].port}"
        kubeconfig = self.cluster.kubeconfig(self.folder / name, url=url)
        self.replicas.start(name, kubeconfig=kubeconfig, arguments=arguments, environment={"POD_NAME": f"pod-{name}"})

    def works(self, name, since=0):
        """Wait until this replica works, begun after `since`; the time."""
        found = []

        def begun():
            facts = self.replicas.history().facts
            found[:] = [f["t"] for f in facts if (f["kind"], f["replica"]) == ("start", name) and f["t"] > since]
            return bool(found)

        self.replicas.wait_until(begun, what=f"work of {name}")
        return found[0]

    def judge(self, *, wake_allowance=0.0):
        verdict = check(self.replicas.history(), wake_allowance=wake_allowance)
        assert verdict.ok, f"{verdict.explain()}\n{self.replicas.tails()}"

    def close(self):
        for proxy in self.proxies.values():
            proxy.heal()
        self.replicas.close()
        for proxy in self.proxies.values():
            proxy.stop()


@pytest.fixture(params=FORMS)
def stage(request, cluster, tmp_path):
    stage = Stage(cluster, tmp_path, request.param)
    yield stage
    stage.close()


def test_two_compete(stage, cluster):
    """SIGTERM, then kill -9 of the one that holds the Lease: the other goes on, and never do two work at once."""
    stage.start("a")
    stage.works("a")
    stage.start("b")
    stage.replicas.wait_until(lambda: "Standing by" in stage.replicas["b"].text(), what="a standby")
    stage.replicas["a"].stop()
    assert stage.replicas["a"].wait() == 0, stage.replicas.tails()
    begun = stage.works("b")
    stage.start("c")
    stage.replicas.wait_until(lambda: "Standing by" in stage.replicas["c"].text(), what="a standby")
    assert cluster.holder("job").startswith("pod-b_")
    stage.replicas["b"].kill()
    stage.works("c", since=begun)
    assert stage.replicas.stop() == {"c": 0}, stage.replicas.tails()
    assert cluster.spec("job").items() >= RELEASED.items()
    stage.judge()
    assert "Traceback" not in stage.replicas["a"].text() + stage.replicas["c"].text()


def test_cut_off_it_stops_before_the_next_one_begins(stage):
    """A leader that cannot reach the API server has ended its work before anybody else begins; then it stands by."""
    stage.start("a")
    stage.works("a")
    stage.start("b")
    stage.replicas.wait_until(lambda: "Standing by" in stage.replicas["b"].text(), what="a standby")
    stage.proxies["a"].cut()
    begun = stage.works("b")
    stage.proxies["a"].heal()
    stage.replicas["b"].stop()
    assert stage.replicas["b"].wait() == 0
    stage.works("a", since=begun)
    assert stage.replicas.stop() == {"a": 0}, stage.replicas.tails()
    stage.judge()


def test_work_that_stays_ends_its_process(stage, cluster):
    """L12: what does not end at the exit point ends with its process, with stacks, and without a release."""
    stage.start("a", "stays")
    stage.works("a")
    stage.start("b")
    stage.replicas.wait_until(lambda: "Standing by" in stage.replicas["b"].text(), what="a standby")
    stage.proxies["a"].cut()
    assert stage.replicas["a"].wait() == 1
    log = stage.replicas["a"].text()
    assert "exits now, without giving the Lease back: the Lease could not be renewed in time" in log
    assert "worker.py" in log.partition("The stacks of all threads")[2]
    stage.works("b")
    stage.judge()


def test_frozen_and_woken(stage):
    """A process that was frozen beyond its term does not work on beside the next one, but for the blink of waking."""
    stage.start("a")
    stage.works("a")
    stage.start("b")
    stage.replicas.wait_until(lambda: "Standing by" in stage.replicas["b"].text(), what="a standby")
    stage.replicas["a"].freeze()
    stage.works("b")
    stage.replicas["a"].thaw()
    stage.replicas.wait_until(
        lambda: not stage.replicas["a"].alive or "Stops leading" in stage.replicas["a"].text(), what="the end of a term"
    )
    stage.replicas.stop()
    stage.judge(wake_allowance=3.0)


@pytest.fixture(params=["job.py", "script.py"])
def example(request, cluster, tmp_path):
    cluster.make("my-job")
    replicas = ReplicaSet(
        ["python", request.param], tmp_path / "replicas", environment={"PYTHONPATH": str(ROOT)}, cwd=EXAMPLE
    )
    kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig")
    replicas.begin = lambda name: replicas.start(name, kubeconfig=kubeconfig, environment={"POD_NAME": f"pod-{name}"})
    replicas.file = request.param
    yield replicas
    replicas.close()


def test_the_example(example, cluster):
    """The README's story: of two, one works; at SIGTERM it puts away and releases, and the other goes on."""
    assert f"\npython {example.file}\n" in (EXAMPLE / "README.md").read_text()
    example.begin("a")
    example.wait_until(lambda: "Working, with the fencing token" in example["a"].text(), what="work")
    example.begin("b")
    example.wait_until(lambda: "Standing by" in example["b"].text(), what="a standby")
    assert cluster.holder("my-job").startswith("pod-a_")
    example["a"].stop()
    assert example["a"].wait() == 0, example.tails()
    example.wait_until(lambda: "Working, with the fencing token" in example["b"].text(), what="work of the other")
    assert example.stop() == {"b": 0}, example.tails()
    assert cluster.spec("my-job").items() >= RELEASED.items()
    logs = example["a"].text() + example["b"].text()
    assert logs.count("Put away.") == 2
    assert "Traceback" not in logs
