"""Handlers beside the operator's own: the process stands for a second Lease, with work and a history of its own."""

import os
import threading
from pathlib import Path

import kopf

import kopf_leader
from kopf_leader.testing.facts import HISTORY, REPLICA, Notebook

NAMESPACE = "KOPF_LEADER_SECOND_NAMESPACE"
notebook = Notebook(Path(os.environ[HISTORY] + ".second"), os.environ[REPLICA])
leaving, at_work = threading.Event(), threading.Event()


def work(leading):
    at_work.set()
    with notebook.handling(handler="second", uid="second", name="second"):
        while not (leaving.is_set() or leading.ended.wait(0.1)):
            pass
    at_work.clear()


def stand():
    elector = kopf_leader.BlockingElector(
        "second", namespace=os.environ[NAMESPACE], lease_duration=6, renew_deadline=4, retry_period=1
    )
    with elector:
        elector.run(work)


thread = threading.Thread(target=stand, name="second lease", daemon=True)


@kopf.on.startup()
def begin(**_):
    thread.start()


@kopf.on.cleanup()
def leave(**_):
    leaving.set()
    if at_work.is_set():
        thread.join()
