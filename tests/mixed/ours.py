"""A process with a candidate of kopf_leader for each of some Leases; SIGTERM resigns."""

import argparse
import asyncio
import contextlib
import logging
import signal

from kopf_leader import Elector
from kopf_leader.testing.facts import Notebook


async def stand(lease, arguments, duration, notebook):
    async def work(leading):
        with notebook.handling(handler="work", uid=lease, name=lease):
            await asyncio.Event().wait()

    timings = {"renew_deadline": arguments.renew_deadline, "retry_period": arguments.retry_period}
    async with Elector(lease, namespace=arguments.namespace, lease_duration=duration, **timings) as elector:
        await elector.run(work)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("--namespace", "--stand"):
        parser.add_argument(name, required=True)
    for name in ("--lease-duration", "--renew-deadline", "--retry-period"):
        parser.add_argument(name, type=float, required=True)
    parser.add_argument("--stagger", type=float, default=0, help="each further Lease's duration is longer by this")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    notebook = Notebook.from_environment()
    async with asyncio.TaskGroup() as group:
        for number, lease in enumerate(arguments.stand.split(",")):
            duration = arguments.lease_duration + number * arguments.stagger
            group.create_task(stand(lease, arguments, duration, notebook))


with contextlib.suppress(asyncio.CancelledError):
    asyncio.run(main())
