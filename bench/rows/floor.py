"""What the API server itself needs: one connection writes the release, a watcher on another writes the acquisition.

By users like those of the candidates, so that the API server has the same to do for them: RBAC, and the audit log.
Before a release both rest for as long as the candidates do: right after another request it is a quarter faster.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from typing import Any

import aiohttp

from bench.ground import LEASES, Ground
from kopf_leader.testing.facts import now

PAUSE = (0.1, 0.3)  # seconds, before a release: nothing is asked of the API server meanwhile


class Floor:
    """A Lease of its own, and no election around it."""

    def __init__(self, ground: Ground) -> None:
        plane = ground.control_plane
        namespace = plane.namespace("bench")
        (self._name,) = ground.leases(namespace, "floor", 1)
        self._path = f"{plane.url}{LEASES.format(namespace)}"
        self._context = ssl.create_default_context(cafile=str(plane.ca_file))
        users = [f"{namespace}-{who}" for who in ("one", "other")]
        for user in users:
            plane.grant_lease_rights(user, namespace, self._name)
        self._tokens = [plane.user(user) for user in users]

    async def measure(self, *, rounds: int, anew: bool = False) -> list[float]:
        """Milliseconds from sending the release to the answer to the acquiring write.

        `anew`: the acquiring write has no open connection, as when nothing was written for long.
        """
        self._acquired: asyncio.Queue[int] = asyncio.Queue()
        releasing, acquiring = self._session(self._tokens[0]), self._session(self._tokens[1], force_close=anew)
        async with releasing, acquiring:
            watching = asyncio.create_task(self._succeed(acquiring))
            times = []
            try:
                for number in range(rounds + 1):
                    async with releasing.get(f"{self._path}/{self._name}") as response:
                        lease = await response.json()
                    await asyncio.sleep(random.uniform(*PAUSE))
                    sent = now()
                    await self._write(releasing, lease, "", 2 * number)
                    times.append((await asyncio.wait_for(self._acquired.get(), 60) - sent) / 1e6)
            finally:
                watching.cancel()
            return times[1:]  # the first one opens the connections

    def _session(self, token: str, *, force_close: bool = False) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(ssl=self._context, force_close=force_close)
        return aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"})

    async def _write(self, http: aiohttp.ClientSession, lease: dict[str, Any], holder: str, number: int) -> None:
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": number}
        async with http.put(f"{self._path}/{self._name}", json={**lease, "spec": spec}) as response:
            response.raise_for_status()
            await response.read()

    async def _succeed(self, http: aiohttp.ClientSession) -> None:
        query = {"watch": "1", "fieldSelector": f"metadata.name={self._name}"}
        async with http.get(self._path, params=query) as response:
            async for line in response.content:
                lease = json.loads(line)["object"]
                if lease["spec"].get("holderIdentity") == "":
                    await self._write(http, lease, "successor", lease["spec"]["leaseTransitions"] + 1)
                    self._acquired.put_nowait(now())
