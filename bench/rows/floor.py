"""What the API server itself needs: one connection writes the release, a watcher on another writes the acquisition."""

from __future__ import annotations

import asyncio
import json
import ssl

import aiohttp

from bench.ground import LEASES, Ground
from kopf_leader.testing.facts import now


def floor(ground: Ground, *, rounds: int) -> list[float]:
    """Milliseconds from sending the release to the answer to the acquiring write."""
    return asyncio.run(_floor(ground, rounds))


async def _floor(ground: Ground, rounds: int) -> list[float]:
    plane = ground.control_plane
    namespace = plane.namespace("bench")
    (name,) = ground.leases(namespace, "floor", 1)
    path = f"{plane.url}{LEASES.format(namespace)}"
    context = ssl.create_default_context(cafile=str(plane.ca_file))
    headers = {"Authorization": f"Bearer {plane.admin_token}"}
    acquired: asyncio.Queue[int] = asyncio.Queue()

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), headers=headers)

    async with session() as releasing, session() as acquiring:

        async def write(http: aiohttp.ClientSession, lease: dict[str, object], holder: str, number: int) -> None:
            spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": number}
            async with http.put(f"{path}/{name}", json={**lease, "spec": spec}) as response:
                response.raise_for_status()
                await response.read()

        async def succeed() -> None:
            query = {"watch": "1", "fieldSelector": f"metadata.name={name}"}
            async with acquiring.get(path, params=query) as response:
                async for line in response.content:
                    lease = json.loads(line)["object"]
                    if lease["spec"].get("holderIdentity") == "":
                        await write(acquiring, lease, "successor", lease["spec"]["leaseTransitions"] + 1)
                        acquired.put_nowait(now())

        watching = asyncio.create_task(succeed())
        times = []
        try:
            for number in range(rounds + 1):
                await asyncio.sleep(0.1)
                async with releasing.get(f"{path}/{name}") as response:
                    lease = await response.json()
                sent = now()
                await write(releasing, lease, "", 2 * number)
                times.append((await asyncio.wait_for(acquired.get(), 30) - sent) / 1e6)
        finally:
            watching.cancel()
        return times[1:]  # the first one opens the connections
