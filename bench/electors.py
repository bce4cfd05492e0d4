"""A process with candidates of the elector that the `kubernetes` library brings, sync or aio, of any number of Leases.

Told what to do, and printing what it did, like `bench.ours`, with the same durations. These electors cannot resign:
they have no end but that of their process, and none of them releases.
"""

# ruff: noqa: PLC0415 (each library is imported by its own candidate only)

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from typing import Any

from bench.ours import tell
from kopf_leader.testing.facts import now

DURATIONS = {"lease_duration": 15, "renew_deadline": 10, "retry_period": 2}


def nothing() -> None:
    """What the leader does."""


async def nothing_aio() -> None:
    """The same."""


def stand(arguments: argparse.Namespace, lease: str) -> None:
    """`kubernetes`: a thread for each Lease."""
    from kubernetes import config
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

    class Lock(LeaseLock):  # type: ignore[misc]  # the library has no types
        def update(self, name: str, namespace: str, election_record: Any) -> Any:
            answer = super().update(name, namespace, election_record)
            if answer is not False:
                tell(now(), "accepted", lease, arguments.identity)
            return answer

    config.load_kube_config(arguments.kubeconfig)
    lock = Lock(lease, arguments.namespace, arguments.identity)
    settings = electionconfig.Config(lock, onstarted_leading=nothing, onstopped_leading=nothing, **DURATIONS)
    threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()


async def stand_aio(arguments: argparse.Namespace, leases: asyncio.Queue[str]) -> None:
    """`kubernetes.aio`: a task for each Lease."""
    from kubernetes.aio import client, config
    from kubernetes.aio.leaderelection import electionconfig, leaderelection
    from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

    class Lock(LeaseLock):  # type: ignore[misc]  # as above
        async def update(self, name: str, namespace: str, election_record: Any) -> Any:
            answer = await super().update(name, namespace, election_record)
            if answer is not False:
                tell(now(), "accepted", name, arguments.identity)
            return answer

    await config.load_kube_config(arguments.kubeconfig)
    async with client.ApiClient() as api, asyncio.TaskGroup() as group:
        while True:
            lock = Lock(await leases.get(), arguments.namespace, arguments.identity, api)
            settings = electionconfig.Config(
                lock, onstarted_leading=nothing_aio, onstopped_leading=nothing_aio, **DURATIONS
            )
            group.create_task(leaderelection.LeaderElection(settings).run())


async def obey_aio(arguments: argparse.Namespace) -> None:
    """Lines from standard input, read by a thread."""
    leases: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(leases.put_nowait, line.split()[1])

    threading.Thread(target=listen, daemon=True).start()
    await stand_aio(arguments, leases)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=["kubernetes", "kubernetes.aio"])
    for name in ("--kubeconfig", "--namespace", "--identity"):
        parser.add_argument(name, required=True)
    arguments = parser.parse_args()
    if arguments.library == "kubernetes":
        for line in sys.stdin:
            stand(arguments, line.split()[1])
    else:
        asyncio.run(obey_aio(arguments))


if __name__ == "__main__":
    main()
