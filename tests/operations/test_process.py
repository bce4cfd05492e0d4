"""Whole operators in processes of their own, on both API servers: what probes and people see of them."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from kopf_leader.testing.proxy import Proxy
from tests.operations.looks import Place, get, wait_for

ROOT = Path(__file__).parents[2]
HANDLERS = """
import asyncio, os, time
import kopf

def held(name):
    return os.path.exists(os.path.join(os.environ["HOLD"], name))

@kopf.on.startup()
def slow_start(**_):
    while held("start"):
        time.sleep(0.02)

@kopf.on.event("configmaps", annotations={"hold": "yes"})
async def handle(**_):
    open(os.path.join(os.environ["HOLD"], "handling"), "w").close()
    while held("handler"):
        await asyncio.sleep(0.02)
"""
ELECTION = ["--enable-leader-election", "--leader-election-id=op"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Operator:
    """One process, its port and its log."""

    def __init__(self, place: Place, name: str, *arguments: str, through: int | None = None) -> None:
        self.hold = place.folder / f"{name}.hold"
        self.hold.mkdir()
        self.log = place.folder / f"{name}.log"
        handlers = place.folder / "handlers.py"
        handlers.write_text(HANDLERS)
        self.port = free_port()
        kubeconfig = place.write_kubeconfig(place.folder / f"{name}.kubeconfig", place.admin.token)
        if through is not None:  # a proxy on this port
            kubeconfig.write_text(kubeconfig.read_text().replace(place.url, f"https://127.0.0.1:{through}"))
        self._command = [
            sys.executable, "-m", "kopf_leader", "run", "-n", place.namespace, "--log-format=json",
            f"--health-probe-bind-address=127.0.0.1:{self.port}", f"--metrics-bind-address=127.0.0.1:{self.port}",
            *arguments, str(handlers),
        ]  # fmt: skip
        self._environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "KUBECONFIG": str(kubeconfig), "HOLD": str(self.hold),
            "HOME": str(place.folder), "POD_NAME": name,
        }  # fmt: skip

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def get(self, path: str) -> tuple[int, str]:
        assert self.process.poll() is None, self.log.read_text()
        return get(self.port, path)

    def until(self, path: str, status: int, word: str = "") -> None:
        def look() -> bool:
            answer = self.get(path)
            return answer[0] == status and word in answer[1]

        wait_for(look, f"{path} to say {status} {word}")

    def wait(self) -> int:
        return self.process.wait(60)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def operator(place: Place) -> Iterator[Callable[..., Operator]]:
    """Start an operator; kill it after the test."""
    made: list[Operator] = []

    def make(name: str, *arguments: str, held: tuple[str, ...] = (), through: int | None = None) -> Operator:
        made.append(Operator(place, name, *arguments, through=through))
        for what in held:
            (made[-1].hold / what).touch()
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()


def test_from_the_start_to_the_end_of_the_drain(place: Place, operator: Callable[..., Operator]) -> None:
    """The endpoints are up before start-up handlers end, on a standby, and to the end of the drain; logs are clean."""
    place.admin.create(
        f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases", {"metadata": {"name": "op"}}
    )
    one = operator("one", *ELECTION, held=("start", "handler"))
    one.until("/healthz", 200, "ok")
    one.until("/readyz", 500, "[-]startup failed")
    (one.hold / "start").unlink()
    one.until("/readyz", 200)
    one.until("/metrics", 200, 'leader_election_master_status{name="op"} 1.0')

    two = operator("two", *ELECTION)
    two.until("/readyz", 200)
    two.until("/metrics", 200, 'leader_election_master_status{name="op"} 0.0')
    assert two.get("/livez") == (200, "ok")

    place.admin.create(
        f"/api/v1/namespaces/{place.namespace}/configmaps",
        {"metadata": {"name": "slow", "annotations": {"hold": "yes"}}},
    )
    wait_for((one.hold / "handling").exists, "the handler")
    one.process.terminate()
    one.until("/readyz", 500, "[-]shutdown failed")
    assert one.get("/healthz") == (200, "ok"), "it drains, and must not be killed for it"
    (one.hold / "handler").unlink()
    assert one.wait() == 0
    two.until("/metrics", 200, "kopf_leader_handover_seconds_count" + '{name="op"} 1.0')
    two.process.terminate()
    assert two.wait() == 0
    check_logs(one, two)
    wait_for(lambda: len(place.events()) == 4, "the Events of two terms")


def check_logs(*operators: Operator) -> None:
    """A clean shutdown logs no error and no traceback; JSON lines have their subjects as fields."""
    for one in operators:
        assert not [line for line in one.lines if line["severity"] not in ("info", "debug")], one.lines
        assert "Traceback" not in one.log.read_text()
        begin = [line for line in one.lines if line["message"].startswith("Became leader")]
        end = [line for line in one.lines if line["message"].startswith("Stops leading")]
        assert len(begin) == len(end) == 1
        for line in begin + end:
            assert line["lease"].endswith("/op")
            assert line["identity"].startswith(one.hold.stem)
            assert line["term"] > 0
        assert end[0]["reason"] == "leaving"


def test_a_demotion_and_what_comes_after_it(place: Place, operator: Callable[..., Operator]) -> None:
    """A leader that cannot renew says so in one line, as a field for each subject; it leads again, and ends cleanly."""
    place.admin.create(
        f"/apis/coordination.k8s.io/v1/namespaces/{place.namespace}/leases", {"metadata": {"name": "op"}}
    )
    target = urlsplit(place.url)
    with Proxy(target.hostname or "", target.port or 0) as proxy:
        one = operator(
            "one", *ELECTION, "--leader-election-lease-duration=4s", "--leader-election-renew-deadline=3s",
            "--leader-election-retry-period=500ms", through=proxy.port,
        )  # fmt: skip
        one.until("/metrics", 200, 'leader_election_master_status{name="op"} 1.0')
        proxy.refuse()
        wait_for(lambda: [line for line in one.lines if line["message"].startswith("Stops leading")], "the demotion")
        assert one.get("/livez") == (200, "ok"), "an API server that does not answer makes no process unhealthy"
        (line,) = (line for line in one.lines if line["message"].startswith("Stops leading"))
        assert "no renewal accepted for 3." in line["message"]
        assert "last error: " in line["message"]
        assert (line["severity"], line["reason"]) == ("warn", "renew_deadline")
        proxy.heal()
        one.until("/metrics", 200, 'leader_election_master_status{name="op"} 1.0')
        assert (
            'kopf_leader_transitions_total{name="op",reason="renew_deadline",to="standby"} 1.0'
            in one.get("/metrics")[1]
        )
        one.process.terminate()
        assert one.wait() == 0
    assert "Traceback" not in one.log.read_text()


def test_without_election(operator: Callable[..., Operator]) -> None:
    """With election disabled they work as well."""
    one = operator("one")
    one.until("/readyz", 200)
    assert one.get("/healthz") == (200, "ok")
    assert "leader_election_master_status" not in one.get("/metrics")[1]
    assert 'kopf_leader_events_dropped_total{name=""} 0.0' in one.get("/metrics")[1]
    one.process.terminate()
    assert one.wait() == 0


def test_a_port_in_use_is_refused_before_kopf_starts(place: Place) -> None:
    """A port in use: one sentence, exit status 2, before kopf starts."""
    one = Operator(place, "one", *ELECTION)
    with socket.create_server(("127.0.0.1", one.port)):
        one.start()
        assert one.wait() == 2
    text = one.log.read_text()
    assert text.startswith("Error: The health probe bind address and the metrics bind address '127.0.0.1:")
    assert "cannot be listened at (Address already in use)" in text
    assert text.count("\n") == 1


def test_an_unreadable_address_is_refused(place: Place) -> None:
    """An address that is none: one sentence that names the flag, exit status 2."""
    one = Operator(place, "one", *ELECTION, "--metrics-bind-address=8080")
    one.start()
    assert one.wait() == 2
    assert "metrics bind address (from --metrics-bind-address) is '8080': write ':8081'" in one.log.read_text()
