"""kopf's own client, in a stock `kopf run`: an operator with every kind of handler does its work on both servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.api import eventually
from tests.contract.bodies import custom

OBJECTS = [f"w-{number:02}" for number in range(20)]


class Operator:
    """One `kopf run` after another, on the same facts."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str, *, streaming: bool) -> None:
        self.facts = folder / "facts.jsonl"
        self.log = folder / "operator.log"
        self.facts.touch()
        self._namespace = namespace
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "CONTRACT_FACTS": str(self.facts),
            "CONTRACT_STREAMING": "1" if streaming else "",
        }

    def counted(self, what: str) -> Counter[str]:
        """How often it happened to which object."""
        facts = [json.loads(line) for line in self.facts.read_text().splitlines()]
        return Counter(name for kind, name in facts if kind == what)

    async def saw(self, what: str) -> Counter[str]:
        """Wait until it has happened to all objects."""

        async def all_of_them():
            return set(self.counted(what)) == set(OBJECTS)

        try:
            await eventually(all_of_them, f"{what} of {len(OBJECTS)} objects")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.log.read_text()[-6000:]}") from None
        return self.counted(what)

    @asynccontextmanager
    async def running(self):
        """The process; it must end by itself after SIGTERM."""
        handlers = Path(__file__).with_name("operator.py")
        command = [sys.executable, "-m", "kopf", "run", "-n", self._namespace, "--standalone", "-v", str(handlers)]
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, env=self._environment, stdout=log, stderr=log)
        try:
            yield
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.mark.parametrize("streaming", [False, True], ids=["lists", "streams"])
async def test_an_operator_does_its_work(server, api, widgets, namespace, tmp_path, streaming):
    """Create, update, delete and resume handlers, timers, daemons, finalizers and Events, for 20 objects."""
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", token=server.admin_token, namespace=namespace)
    operator = Operator(tmp_path, kubeconfig, namespace, streaming=streaming)
    for name in OBJECTS[:10]:
        (await api.post(widgets, custom("Widget", name, spec={"number": 1}))).ok(201)
    async with operator.running():
        await eventually(lambda: _some(operator, "create"), "the first handler")
        for name in OBJECTS[10:]:
            (await api.post(widgets, custom("Widget", name, spec={"number": 1}))).ok(201)
        assert set((await operator.saw("create")).values()) == {1}
        await operator.saw("timer")
        await operator.saw("daemon")
        await eventually(lambda: _all_made(api, widgets), "all objects to be patched")
        for name in OBJECTS:
            (await api.merge(f"{widgets}/{name}", {"spec": {"number": 2}})).ok()
        assert set((await operator.saw("update-2")).values()) == {1}
    assert set(operator.counted("create").values()) == {1}
    events = (await api.get(f"/api/v1/namespaces/{namespace}/events")).ok()["items"]
    assert {event["involvedObject"]["name"] for event in events} == set(OBJECTS)
    async with operator.running():
        await operator.saw("resume")
        for name in OBJECTS:
            assert (await api.delete(f"{widgets}/{name}")).status == 200
        await operator.saw("delete")
        await eventually(lambda: _none_left(api, widgets), "all objects to be gone")
        await operator.saw("daemon-stopped")
    assert set(operator.counted("create").values()) == {1}
    assert "Traceback" not in operator.log.read_text(), operator.log.read_text()[-6000:]


async def _some(operator, what):
    return operator.counted(what)


async def _all_made(api, widgets):
    items = (await api.get(widgets)).ok()["items"]
    return all(item.get("status", {}).get("made") and item["metadata"].get("finalizers") for item in items)


async def _none_left(api, widgets):
    return not (await api.get(widgets)).ok()["items"]
