"""Fifty promotions and demotions: nothing is left behind, nothing is lost, nothing runs twice."""

import asyncio
import gc
import os
import random
import threading
import time
from collections import Counter

import kopf
import pytest

from kopf_leader.gate.tenure import Tenure
from tests.gate.operators import PLURAL, wait_for

OBJECTS = int(os.environ.get("KOPF_LEADER_FLAP_OBJECTS", "100"))
TERMS = 50


def tasks_of(loop):
    """What runs on the operator's loop, by the kind of name."""
    return Counter("".join(c for c in task.get_name() if not c.isdigit()) for task in asyncio.all_tasks(loop))


@pytest.mark.timeout(1500)
def test_fifty_terms_leave_nothing_behind(operator, cluster, caplog):
    """Fifty terms: no task, thread, memory or object is left behind, no daemon runs twice, no edit is lost."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    op = operator()
    running: Counter[tuple[str, str]] = Counter()
    twice: list[tuple[str, str]] = []
    last: dict[str, int] = {}
    started: list[float] = []

    for number in range(OBJECTS):
        cluster.create(f"o{number}", i=0)

    @kopf.on.resume(PLURAL, **op.on)
    @kopf.on.create(PLURAL, **op.on)
    @kopf.on.update(PLURAL, **op.on)
    async def changed(name, spec, **_):
        started.append(time.monotonic())
        await asyncio.sleep(0.005)
        last[name] = spec["i"]

    def once(kind, name):
        running[kind, name] += 1
        if running[kind, name] > 1:
            twice.append((kind, name))

    @kopf.daemon(PLURAL, **op.on)
    async def daemon(name, stopped, **_):
        once("daemon", name)
        started.append(time.monotonic())
        try:
            await stopped.wait()
        finally:
            running["daemon", name] -= 1

    @kopf.timer(PLURAL, interval=0.2, **op.on)
    async def timer(name, **_):
        once("timer", name)
        started.append(time.monotonic())
        try:
            await asyncio.sleep(0.01)
        finally:
            running["timer", name] -= 1

    op.start()
    edits = 0
    stop_editing = threading.Event()

    def edit():
        nonlocal edits
        while not stop_editing.wait(0.04):
            edits += 1
            cluster.edit(f"o{chance.randrange(OBJECTS)}", i=edits)

    editor = threading.Thread(target=edit, daemon=True)
    editor.start()
    late = 0
    samples = []
    for term in range(TERMS):
        op.lead()
        time.sleep(chance.choice([0.0, 0.02, 0.1, 0.3, 1.0]))
        drains = dict.fromkeys(["drained"])
        op.election.stop()
        assert op.election.released.wait(120), f"term {term} was not drained"
        drains["drained"] = [at for what, at in op.election.log if what == "drained"][-1]
        late += sum(start > drains["drained"] for start in started)
        started.clear()
        assert not [key for key, count in running.items() if count], "something still runs in a drained term"
        if term in (TERMS // 2, TERMS - 1):
            wait_for(lambda: op.gate.counters.closed == op.gate.counters.opened, "the gate to be closed")
            time.sleep(6)  # kopf's workers end after five idle seconds
            samples.append((sum(tasks_of(op.loop).values()), threading.active_count(), tasks_of(op.loop)))
    stop_editing.set()
    editor.join(60)
    op.lead()
    newest = {item["metadata"]["name"]: item["spec"]["i"] for item in cluster.objects()}
    wait_for(lambda: last == newest, "the last edit of each object to be handled", 300)
    wait_for(lambda: sum(running[key] for key in running if key[0] == "daemon") == OBJECTS, "all daemons", 300)
    op.stop()
    assert op.failure is None
    assert late == 0
    assert twice == []
    assert samples[1][0] <= samples[0][0] + 2, samples
    assert samples[1][1] <= samples[0][1] + 2, samples
    assert len(op.conductor.parts.memories._items) == OBJECTS
    gc.collect()
    assert len([one for one in gc.get_objects() if type(one) is Tenure]) <= 3
    print(f"{edits} edits, {op.gate.counters}, {samples[1][:2]} tasks and threads")
    assert not [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL") and "request_cancel" not in r.message]
