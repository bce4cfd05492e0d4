"""A process with an `Elector` for each of many Leases, on one event loop: `python -m bench.many NAMESPACE LEASE...`."""

import asyncio
import sys

from kopf_leader import Elector


async def stand(namespace: str, lease: str) -> None:
    async def work(_: object) -> None:
        print(lease, flush=True)
        await asyncio.Event().wait()

    async with Elector(lease, namespace=namespace) as elector:
        await elector.run(work)


async def main() -> None:
    async with asyncio.TaskGroup() as group:
        for lease in sys.argv[2:]:
            group.create_task(stand(sys.argv[1], lease))


if __name__ == "__main__":
    asyncio.run(main())
