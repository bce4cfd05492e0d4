"""An operator in the main thread of a process of its own, for what ends processes. Reads commands, prints what happens.

python -m tests.gate.child <scenario>, with the cluster in CHILD_CLUSTER as JSON.
"""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

import kopf

from kopf_leader import every_replica, on
from kopf_leader.gate.attach import attach
from kopf_leader.gate.rules import Rules
from kopf_leader.protocol.state import Reason
from tests.controlplane.api import Api
from tests.gate.elections import FakeElection
from tests.gate.operators import PLURAL, Cluster, wait_for

config = json.loads(os.environ["CHILD_CLUSTER"])
cluster = Cluster(Api(config["url"], Path(config["ca"]), config["token"]), config["namespace"])
scenario = sys.argv[1]
DRAIN = 1.0 if scenario in ("swallow", "everywhere") else 30.0
made: list[FakeElection] = []


def say(text):
    os.write(1, f"{text}\n".encode())


@kopf.on.login()
def login(**_):
    return cluster.info()


@kopf.on.create(PLURAL)
def synchronous(**_):
    say("handling")
    if scenario in ("sync", "deaf-logs"):
        threading.Event().wait()


@kopf.daemon(PLURAL)
async def daemon(stopped, **_):
    if scenario == "blocked":
        say("blocking")
        time.sleep(1000)  # noqa: ASYNC251 (the point of it)
    if scenario == "swallow":
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                say("swallowed")
    await stopped.wait()


if scenario.startswith("hook of "):

    @getattr(on, scenario.removeprefix("hook of "))()
    def hook(**_):
        say("in the hook")
        threading.Event().wait()


if scenario == "everywhere":

    @kopf.daemon(PLURAL)
    @every_replica
    def marked(**_):
        say("marked")
        threading.Event().wait()


class Echo(FakeElection):
    """Says what it is told."""

    def note(self, what):
        super().note(what)
        say(what)


class Stuck(logging.Handler):
    """A log handler that never comes back."""

    def emit(self, record):
        if record.levelno >= logging.CRITICAL:
            threading.Event().wait()


def make_election(follower, login):
    made.append(Echo(follower, login, drain=DRAIN))
    return made[0]


def tell_when_ready():
    wait_for(lambda: made and made[0].started.is_set(), "a start")
    say("ready")


def obey():
    for line in sys.stdin:
        match line.split():
            case ["lead"]:
                made[0].lead(seconds=1000)
            case ["stop", reason, cancel_in, exit_in]:
                made[0].stop(Reason[reason], cancel_in=float(cancel_in), exit_in=float(exit_in))
            case ["block"]:
                wait_for(lambda: gate.counters.opened, "the gate to open")
                gate._conductor._loop.call_soon_threadsafe(lambda: (say("blocking"), time.sleep(1000)))


gate = attach(
    make_election=make_election,
    rules=Rules(drain_timeout=DRAIN, stuck_timeout=float(os.environ.get("CHILD_STUCK", "inf"))),
)
if scenario == "deaf-logs":
    logging.getLogger().addHandler(Stuck())
logging.basicConfig(level=logging.INFO)
threading.Thread(target=obey, daemon=True).start()
threading.Thread(target=tell_when_ready, daemon=True).start()
kopf.run(namespaces=[cluster.namespace])
say("over")
