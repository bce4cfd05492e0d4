"""examples/08-everything, on both API servers: the real one asks the webhook, for the embedded one the test does."""

import json
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.api import APIError
from tests.examples.conftest import EXAMPLES, Place

FOLDER = EXAMPLES / "08-everything"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RUN = ["kopf", "run", "-A", "handlers.py"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The certificate, made by the command that the README shows."""
    [command] = re.findall(r"^openssl .*$", README, re.MULTILINE)
    assert shutil.which("openssl"), "the README's certificate needs openssl: install it"
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


class Webhook:
    """The webhook of one replica, asked by the API server where it is a real one, and else by this test."""

    def __init__(self, place: Place, server: str, files: Path, port: int) -> None:
        self.place, self.real, self.files = place, server == "real", files
        [command] = re.findall(r"^(sed .*) \| kubectl apply -f -$", README, re.MULTILINE)
        shutil.copy(FOLDER / "webhook.yaml", files)
        done = subprocess.run(["bash", "-c", command], cwd=files, check=True, capture_output=True, text=True)
        self.configuration = yaml.safe_load(done.stdout.replace("9443", str(port)))
        self.url = self.configuration["webhooks"][0]["clientConfig"]["url"]
        if self.real:
            place.admin.create(WEBHOOKS, self.configuration)

    def refusal(self, name: str, field: str) -> str:
        """What is said against this object; it is not created if anything is."""
        try:
            if not self.real:
                self.ask(name, field)
            self.place.create(name, field)
        except (APIError, OSError) as error:
            return str(error)
        return ""

    def ask(self, name: str, field: str) -> None:
        """An AdmissionReview, as an API server sends it. Raises APIError when it is answered with no."""
        kind = {"group": "kopf.dev", "version": "v1"}
        request = {
            "uid": "1", "operation": "CREATE", "dryRun": False, "name": name, "namespace": self.place.namespace,
            "kind": {**kind, "kind": "KopfExample"}, "resource": {**kind, "resource": "kopfexamples"},
            "userInfo": {"username": "test"},
            "object": {"apiVersion": "kopf.dev/v1", "kind": "KopfExample", "metadata": {"name": name},
                       "spec": {"field": field}},
        }  # fmt: skip
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        asked = urllib.request.Request(self.url, json.dumps(review).encode(), {"Content-Type": "application/json"})
        context = ssl.create_default_context(cafile=self.files / "cert.pem")
        with urllib.request.urlopen(asked, context=context, timeout=30) as reply:
            answer: Any = json.load(reply)["response"]
        if not answer["allowed"]:
            raise APIError("POST", self.url, 403, answer["status"])

    def remove(self) -> None:
        if self.real:
            self.place.admin.delete(f"{WEBHOOKS}/my-operator")


def test_each_handler_runs_where_the_readme_says(place: Place, server: str, files: Path) -> None:
    """Daemon and timer on the leader; the index and the webhook on the standby as well, and what is marked for all."""
    assert f"\n{shlex.join(RUN)}\n" in README
    ports = {name: free_port() for name in "ab"}
    place.stage("08-everything", RUN, WEBHOOK_FILES=str(files))
    place.start("a", WEBHOOK_PORT=str(ports["a"]))
    place.says("a", "Became leader")
    place.start("b", WEBHOOK_PORT=str(ports["b"]))
    place.says("b", "Standing by")
    webhook = Webhook(place, server, files, ports["b"])  # the standby is asked
    try:
        place.wait(lambda: not webhook.refusal("one", "1"), "the standby's webhook to admit")
        place.wait(lambda: "created-for" in str(place.status("one")), "the handling of one")
        place.says("b", "Remembered one.")
        refusals: list[str] = []
        place.wait(lambda: refusals.append(webhook.refusal("two", "1")) or "is taken" in refusals[-1], "a refusal")
        place.says("a", "Attending to one.")
        place.wait(lambda: "checked-in-term" in place.status("one"), "the timer")
        first = place.status("one")["checked-in-term"]
        assert place.leads("a")
        assert not [words for words in ("Creating", "Attending") if words in place.replicas["b"].text()]

        place.replicas["a"].stop()
        assert place.replicas["a"].wait() == 0, place.replicas.tails()
        assert "No longer attending to one." in place.replicas["a"].text()
        place.says("b", "Attending to one.")
        place.wait(lambda: place.status("one")["checked-in-term"] > first, "the timer of the next leader")
        assert "is taken" in webhook.refusal("three", "1")
    finally:
        webhook.remove()
    place.end()
