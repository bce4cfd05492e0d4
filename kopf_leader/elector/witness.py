"""Who looks for a proof that the holder is dead, and tells the machine (L6, `protocol/evidence.py`).

Only a standby that goes by evidence has one at work: it follows the pod of the holder, with one read and one watch
beside those of the Lease. Whatever fails here leaves everything as it is without it: the Lease is waited for.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from kopf_leader.clients.base import JSON, LeaseClient, PodClient
from kopf_leader.clients.namespace import SERVICE_ACCOUNT_NAMESPACE
from kopf_leader.elector.place import Unprovable, find_place, is_marked, leave_mark
from kopf_leader.elector.requests import given_up_within
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.evidence import life_in, lived_before, told_dead
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import version_of
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Dead, Event, State, Tenure, Wish, tenure_of

logger = logging.getLogger("kopf_leader")

_MARKS: list[socket.socket] = []  # of elections that were cut off: what they have let start may still run


class Witness:
    """Follows the holder of the Lease while this candidate stands by. Lives on the election's loop."""

    def __init__(
        self,
        settings: Settings,
        client: LeaseClient,
        *,
        post: Callable[[Event], None],
        pause: Callable[[Exception | None], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._client = client if isinstance(client, PodClient) else None
        self._post = post
        self._pause = pause
        self._tenure: Tenure | None = None
        self._following: asyncio.Task[None] | None = None
        self._said: set[str] = set()
        self._mark: socket.socket | None = None

    def begin(self) -> None:
        """Leave word, so that others can learn of the death of this process."""
        try:
            place = find_place()
            self._mark = leave_mark(self._settings.identity)
            place.leave_word(self._settings.identity)
        except (Unprovable, OSError) as error:
            self._warn("own", f"Nobody will be able to prove the death of this process, as {error}: it is waited for.")
        if self._client is None:
            self._warn("client", "The client in use cannot read pods: only an earlier run of this container is told.")

    def look(self, state: State) -> None:
        """Follow whoever holds the Lease now, if it is waited for."""
        tenure = _waited_for(state)
        if tenure == self._tenure:
            return
        self._tenure = tenure
        self._stop()
        if tenure is None:
            return
        if lived_before(self._settings.identity, tenure.holder) and not is_marked(tenure.holder):
            self._tell(tenure, "it was an earlier run of this container")
        elif self._client is not None and (found := life_in(tenure.holder)) is not None:
            self._following = asyncio.create_task(self._follow(self._client, found[0], tenure), name="witness")

    async def close(self, *, over: bool) -> None:
        """Follow nobody any more. The mark stays for as long as the process, unless nothing is held: `over`."""
        if over and self._mark is not None:
            self._mark.close()
        elif self._mark is not None:
            _MARKS.append(self._mark)
        task = self._stop()
        if task is not None:
            await asyncio.wait({task})

    def _stop(self) -> "asyncio.Task[None] | None":
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
        return task

    async def _follow(self, client: PodClient, name: str, tenure: Tenure) -> None:
        """Look at the pod until it tells of the death, or is gone, which tells nothing."""
        namespace = pods_namespace(self._settings.namespace)
        while True:
            failure: Exception | None = None
            try:
                with given_up_within():
                    async with asyncio.timeout(self._settings.attempt_timeout):
                        pod = await client.read_pod(namespace, name)
                    if self._judged(pod, tenure):
                        return
                    async with aclosing(client.watch_pod(namespace, name, str(version_of(pod)))) as events:
                        async for event in events:
                            if event.kind != "BOOKMARK" and self._judged(event.object, tenure):
                                return
            except LeaseAPIError as error:
                if error.status == 403:
                    self._warn("right", f"Takeover by evidence has to wait for expiries: {error}")
                if error.status in (403, 404):
                    return
                failure = error
            except Exception as error:  # noqa: BLE001 (a time-out, nonsense in a pod: the election goes on)
                failure = error
            logger.debug("The pod of the holder is read again: %s", failure or "the watch has ended")
            await self._pause(failure)

    def _judged(self, pod: JSON, tenure: Tenure) -> bool:
        dead = told_dead(pod, tenure.holder)
        if dead:
            self._tell(tenure, "the kubelet tells that its container has ended")
        return dead

    def _tell(self, tenure: Tenure, why: str) -> None:
        lease = f"{self._settings.namespace}/{self._settings.name}"
        line = "The holder %s of the Lease %s is dead: %s."
        logger.info(line, plain(tenure.holder), lease, why, extra={"lease": lease, "holder": plain(tenure.holder)})
        self._post(Dead(tenure))

    def _warn(self, topic: str, sentence: str) -> None:
        if topic not in self._said:
            self._said.add(topic)
            logger.warning("%s", sentence)


def _waited_for(state: State) -> Tenure | None:
    """The hold of somebody else that this candidate waits for."""
    if state.sight is None or not state.sight.record.holder or state.hold is not None or state.reign is not None:
        return None
    return tenure_of(state.sight) if state.wish is Wish.STAND and not state.over else None


def pods_namespace(lease_namespace: str) -> str:
    """Where this pod is, and so the others of this operator; outside of a cluster, where the Lease is."""
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or lease_namespace
    except (OSError, ValueError):
        return lease_namespace
