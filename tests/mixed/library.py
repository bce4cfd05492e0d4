"""A candidate of an official Python library's leader election: `library.py LIBRARY --stand LEASE ...`.

It runs in an environment that has the libraries and not kopf_leader, of which it takes the one file that writes facts.
The work is as obedient as each library lets it be: it ends at once when it is told to. As both electors come to an end
with their one term, so does the process, with status 1.
"""

# ruff: noqa: PLC0415 (each library is imported by its own candidate only: an import takes a second)

import argparse
import asyncio
import importlib.util
import logging
import os
import sys
import threading
from pathlib import Path


def facts():
    """kopf_leader/testing/facts.py by itself."""
    path = Path(__file__).parents[2] / "kopf_leader" / "testing" / "facts.py"
    spec = importlib.util.spec_from_file_location("facts", path)
    module = sys.modules["facts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def elect(arguments, lease, notebook):
    """`kubernetes`: the work is a thread, and all that tells it to end is the other callback."""
    from kubernetes import config
    from kubernetes.leaderelection import electionconfig, leaderelection
    from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

    config.load_kube_config(os.environ["KUBECONFIG"])
    told, ended = threading.Event(), threading.Event()

    def work():
        try:
            with notebook.handling(handler="work", uid=lease, name=lease):
                told.wait()
                raise asyncio.CancelledError  # so that the fact says that it was told
        except asyncio.CancelledError:
            ended.set()

    leaderelection.LeaderElection(
        electionconfig.Config(
            LeaseLock(lease, arguments.namespace, arguments.identity),
            lease_duration=arguments.lease_duration,
            renew_deadline=arguments.renew_deadline,
            retry_period=arguments.retry_period,
            onstarted_leading=work,
            onstopped_leading=told.set,
        )
    ).run()
    ended.wait(10)


async def elect_asyncio(arguments, lease, notebook):
    """`kubernetes_asyncio`: the work is a task, which is cancelled."""
    from kubernetes_asyncio import client, config
    from kubernetes_asyncio.leaderelection import electionconfig, leaderelection
    from kubernetes_asyncio.leaderelection.resourcelock.leaselock import LeaseLock

    await config.load_kube_config(os.environ["KUBECONFIG"])

    async def work():
        with notebook.handling(handler="work", uid=lease, name=lease):
            await asyncio.Event().wait()

    async def stopped():
        await asyncio.sleep(0)  # the work's task was cancelled just now: let it end

    async with client.ApiClient() as api:
        await leaderelection.LeaderElection(
            electionconfig.Config(
                LeaseLock(lease, arguments.namespace, arguments.identity, api),
                lease_duration=arguments.lease_duration,
                renew_deadline=arguments.renew_deadline,
                retry_period=arguments.retry_period,
                onstarted_leading=work,
                onstopped_leading=stopped,
            )
        ).run()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=["kubernetes", "kubernetes_asyncio"])
    for name in ("--namespace", "--identity", "--stand"):
        parser.add_argument(name, required=True)
    for name in ("--lease-duration", "--renew-deadline", "--retry-period"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    notebook = facts().Notebook.from_environment()
    if arguments.library == "kubernetes":
        elect(arguments, arguments.stand, notebook)
    else:
        asyncio.run(elect_asyncio(arguments, arguments.stand, notebook))
    sys.exit(1)


if __name__ == "__main__":
    main()
