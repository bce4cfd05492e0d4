"""A process with candidates of kopf_leader, told what to do by lines on its standard input ("stand LEASE", "resign
LEASE"), that prints a line of JSON for each write of a Lease and each change of leadership.

The same as `tests/clientgo`, which prints the same lines: an `ElectionThread` per Lease with the client that is asked
for as by `enable(client=…)`, by default the one that kopf's credentials are for, and the default durations.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import kopf

from kopf_leader.clients.base import JSON, LeaseClient, WatchEvent
from kopf_leader.clients.choose import client_for
from kopf_leader.clients.kopf import KopfLeaseClient, Patience
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Exit, StopLeading
from kopf_leader.protocol.term import Term
from kopf_leader.testing.facts import now


def tell(t: int, kind: str, lease: str, holder: str) -> None:
    """One line, in one write: threads do not mix within it."""
    sys.stdout.write(json.dumps({"t": t, "kind": kind, "lease": lease, "holder": holder}) + "\n")
    sys.stdout.flush()


class Stamper:
    """A client that notes when a request leaves and when its answer is there."""

    def __init__(self, inner: LeaseClient, lease: str) -> None:
        self._inner = inner
        self._lease = lease

    async def read(self) -> JSON:
        answer = await self._inner.read()
        tell(now(), "read", self._lease, "")
        return answer

    async def create(self, body: JSON) -> JSON:
        return await self._inner.create(body)  # the benchmarks create the Leases themselves

    async def replace(self, body: JSON) -> JSON:
        holder, sent = body["spec"]["holderIdentity"], now()
        try:
            answer = await self._inner.replace(body)
            accepted = now()
        finally:
            tell(sent, "sent", self._lease, holder)  # not before: telling and being heard take time of the processors
        tell(accepted, "accepted", self._lease, holder)
        return answer

    def watch(self, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        return self._inner.watch(version)

    async def login(self) -> None:
        await self._inner.login()

    async def close(self) -> None:
        await self._inner.close()


class Idle:
    """A leader with nothing to drain."""

    def __init__(self, lease: str, identity: str) -> None:
        self.election: ElectionThread | None = None
        self._lease = lease
        self._identity = identity

    def start_leading(self, term: Term) -> None:  # noqa: ARG002 (the protocol's shape)
        tell(now(), "leading", self._lease, self._identity)

    def stop_leading(self, stop: StopLeading) -> None:
        assert self.election is not None
        self.election.drained(stop.token)

    def exit_process(self, exit_: Exit) -> None:
        raise AssertionError(f"nothing to drain, and yet: {exit_}")

    def new_leader(self, holder: str) -> None:
        """Not of interest."""


def stand(make: Callable[[Settings], LeaseClient], settings: Settings) -> ElectionThread:
    """Start a candidate."""
    follower = Idle(settings.name, settings.identity)
    election = ElectionThread(
        settings=settings, client=lambda: Stamper(make(settings), settings.name), follower=follower
    )
    follower.election = election
    election.start()
    return election


def maker(library: str, kubeconfig: Path) -> Callable[[Settings], LeaseClient]:
    """What makes the client of a Lease."""
    if library != "own":  # it finds its configuration by itself: KUBECONFIG is set
        return lambda settings: client_for(
            library, namespace=settings.namespace, name=settings.name, timeout=settings.attempt_timeout
        )()
    content = json.loads(kubeconfig.read_text())  # the control plane writes them as JSON
    cluster = content["clusters"][0]["cluster"]
    token = content["users"][0]["user"]["token"]

    async def login() -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=cluster["server"], ca_path=cluster["certificate-authority"], token=token)

    return lambda settings: KopfLeaseClient(
        namespace=settings.namespace,
        name=settings.name,
        login=login,
        patience=Patience(request=settings.attempt_timeout),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--kubeconfig", "--namespace", "--identity"):
        parser.add_argument(name, required=True)
    parser.add_argument("--client", default="own")
    arguments = parser.parse_args()
    make = maker(arguments.client, Path(arguments.kubeconfig))
    elections: dict[str, ElectionThread] = {}
    for line in sys.stdin:
        verb, _, lease = line.strip().partition(" ")
        if verb == "stand":
            if lease in elections:
                elections[lease].join(30)
            settings = Settings(name=lease, namespace=arguments.namespace, identity=arguments.identity)
            elections[lease] = stand(make, settings)
        elif verb == "resign":
            elections[lease].resign(leave=True)
        else:
            raise SystemExit(f"unknown command {verb!r}")


if __name__ == "__main__":
    main()
