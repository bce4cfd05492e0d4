"""A migration from kopf's peering: the holder of the Lease lets handlers start only when no operator of the old kind is
at work, and holds off those that start later. With `from_peering` only; docs/migrating-from-peering.md is its manual.

kopf's own peering is switched off here: it would announce every replica, standbys too, and compares clocks. What is
done instead needs the shape of its records only (`peers`). Standbys do nothing at all. Whoever holds the Lease:

1. waits as long as anybody else's record lives in one of the objects, whatever its priority;
2. writes the record of its Lease, at the top of all priorities, and waits for the *grace*. It covers two things that no
   record shows: an operator that stops removes its record first, and its handlers may go on until its process ends; and
   one that started at the same moment may not have seen our record, nor have written its own. If somebody comes
   meanwhile, the record is withdrawn, and all begins anew;
3. refreshes the record as `working`, on a version in which nobody else is, and lets the gate open. The grace is left
   out if the record was there, fresh and `working`: then the lead only goes from one holder to the next;
4. refreshes it as long as anything runs under the term. Others that start find it and pause, equal priorities or not,
   so going back needs no gap either. It gives way (steps down, drains, then withdraws the record) to a peer whose
   priority is above the one configured (`kopf freeze`, `--dev`), when somebody has removed its record, and when the
   record could not be refreshed for half of its lifetime;
5. withdraws the record at the end of the term if somebody waits for that; else leaves it for the next holder, who has a
   few seconds to take it over.

All of this happens in a thread of its own, as a blocked event loop of kopf's must not let the record die.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kopf_leader.clients.kopf import Patience
from kopf_leader.clients.peerings import PeeringClient, PeeringObject
from kopf_leader.elector.clock import SystemClock
from kopf_leader.errors import LeaseAPIError, SettingsError
from kopf_leader.gate import closing, seam_peering
from kopf_leader.gate.peers import PARTING, Peer, Sights, State, holder_of, listed, proves, record, records_of
from kopf_leader.gate.seam_parts import Parts
from kopf_leader.gate.tenure import Tenure

logger = logging.getLogger("kopf_leader.gate")

PERIOD = 2.0  # seconds between two looks at the objects
AGAIN = 0.1  # seconds until the next look when somebody else's write came in between
REFRESH = 10.0  # seconds between two refreshes of the record
LIFETIME = 60  # seconds; at least
REQUEST = 5.0  # seconds for one request
ATTEMPTS = 4  # at removing the record in the end

Login = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class PeeringRules:
    """What a migration goes by; times in seconds."""

    grace: float
    """How long an old replica may be at work without a record."""
    priority: float
    """Above it others pause us; the one that is configured for peering."""
    lifetime: int
    """Of our record: half of it has to suffice for a whole drain."""


@dataclass
class _Stay:
    """What was done for one term."""

    tenure: Tenure
    announced: set[PeeringObject] = field(default_factory=set)
    since: float | None = None  # when all objects had the record
    refreshed: float = 0.0  # when the last round of writes was begun that succeeded
    admitted: bool = False
    gave_way: bool = False
    lost: bool = False  # somebody has removed the record


@dataclass(frozen=True)
class _Look:
    """The objects as they were read."""

    versions: Mapping[PeeringObject, str]
    ours: Mapping[PeeringObject, object]
    peers: Mapping[PeeringObject, list[Peer]]

    @property
    def others(self) -> list[Peer]:
        """Everybody else, wherever they are."""
        return [peer for peers in self.peers.values() for peer in peers]


class Peering:
    """Says when a term may begin its work. Methods may be called from any thread, and but for `join` return at once."""

    def __init__(
        self,
        *,
        rules: PeeringRules,
        objects: Callable[[], Iterable[PeeringObject]],
        login: Login,
        changed: Callable[[], None],
        give_way: Callable[[], None],
    ) -> None:
        """`objects` gives what is to be read, nothing while that is not known; `changed` is called upon admission."""
        self._rules = rules
        self._objects = objects
        self._login = login
        self._changed = changed
        self._give_way = give_way
        self._now = SystemClock().time
        self._sights = Sights()
        self._said = ""
        self._tenure: Tenure | None = None
        self._stay: _Stay | None = None
        self._leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="peering", daemon=True)

    def admit(self, tenure: Tenure) -> None:
        """Ask for the admission of a term."""
        self._tenure = tenure
        if self._thread.ident is None:
            self._thread.start()
        self.wake()

    def admits(self, tenure: Tenure) -> bool:
        """Whether its work may begin."""
        stay = self._stay
        return stay is not None and stay.tenure is tenure and stay.admitted

    def wake(self) -> None:
        """Look now: something has changed."""
        loop, woken = self._loop, self._woken
        if loop is not None and woken is not None:
            try:
                loop.call_soon_threadsafe(woken.set)
            except RuntimeError:  # closed meanwhile
                logger.debug("The peering has ended already.")

    def join(self, timeout: float | None = None) -> bool:
        """Take the record back, or leave it to the next holder, and end; wait (seconds) for it. Whether it is done."""
        self._leaving = True
        self.wake()
        if self._thread.ident is None:
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # In the thread.

    def _run(self) -> None:
        while not self._leaving:
            try:
                asyncio.run(self._live())
            except Exception as error:
                logger.critical(
                    "The migration from peering has failed, and this replica steps down: report this as a defect of "
                    "kopf_leader.",
                    exc_info=error,
                )
                self._stay = None
                self._give_way()
                time.sleep(PERIOD)

    async def _live(self) -> None:
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()
        client: PeeringClient | None = None
        try:
            while True:
                self._woken.clear()
                stay, tenure = self._stay, self._tenure
                if stay is not None and client is not None and stay.tenure.over:
                    await self._part(client, stay)
                    self._stay = None
                elif self._leaving:
                    return
                elif tenure is None or tenure.over:
                    await closing.wait(self._woken, REFRESH)
                else:
                    client = client or self._client(tenure)
                    if stay is None:
                        stay = self._stay = _Stay(tenure)
                        self._said = ""
                    await closing.wait(self._woken, await self._round(client, stay))
        finally:
            if client is not None:
                await client.close()

    def _client(self, tenure: Tenure) -> PeeringClient:
        namespace, _, name = tenure.term.lease.partition("/")
        return PeeringClient(namespace=namespace, name=name, login=self._login, patience=Patience(request=REQUEST))

    async def _round(self, client: PeeringClient, stay: _Stay) -> float:
        """Look, and do what follows from it; for how many seconds there is nothing to do then."""
        pause = PERIOD
        try:
            look = await self._look(client, stay.tenure)
            if look is None:
                self._say(stay, "kopf has not found the objects of peering yet, or the definition of them is missing")
            elif stay.admitted:
                await self._keep(client, stay, look)
            elif (
                stay.tenure.may_start
            ):  # by the clock: nobody else holds the Lease, whose record would be withdrawn here
                await self._approach(client, stay, look)
        except LeaseAPIError as error:
            if error.status == 409:
                pause = AGAIN  # somebody has written meanwhile
            else:
                self._say(stay, str(error), level=logging.WARNING)
            if error.status == 401:
                await self._log_in(client)
        if stay.admitted and self._now() - stay.refreshed > self._rules.lifetime / 2:
            self._step_down(stay, "its record in the peering could not be refreshed")
        if stay.since is not None and not stay.admitted:
            return max(AGAIN, min(pause, stay.since + self._rules.grace - self._now()))
        return pause

    async def _log_in(self, client: PeeringClient) -> None:
        try:
            await client.login()
        except LeaseAPIError as error:
            logger.debug("%s", error)

    async def _look(self, client: PeeringClient, tenure: Tenure) -> _Look | None:
        objects = [*self._objects()]
        found = await _all([client.read_peering(one) for one in objects])
        own, now, wall = _own(tenure), self._now(), time.time()
        bodies = dict(zip(objects, found, strict=True))
        peers = {
            one: self._sights.live(str(one), body.get("status"), own=own, now=now, wall=wall)
            for one, body in bodies.items()
        }
        versions = {one: str(body["metadata"]["resourceVersion"]) for one, body in bodies.items()}
        ours = {one: records_of(body.get("status")).get(own) for one, body in bodies.items()}
        return _Look(versions, ours, peers) if objects else None

    async def _approach(self, client: PeeringClient, stay: _Stay, look: _Look) -> None:
        """One step on the way to the admission."""
        if look.others:
            await self._withdraw(client, stay, look)
            self._say(stay, f"others are at work by the records in the peering: {listed(look.others)}")
            return
        silent = self._now() - stay.refreshed > self._rules.lifetime / 2  # others may have taken the record for dead
        if silent or self._missing(stay, look) or not look.versions.keys() <= stay.announced:
            stay.since, stay.announced = None, set()
        wall = time.time()
        taken_over = stay.since is None and all(proves(ours, wall=wall) for ours in look.ours.values())
        if taken_over or (stay.since is not None and self._now() - stay.since >= self._rules.grace):
            await self._write(client, stay, look, "working")
            stay.admitted = True
            logger.info("Nobody else is in the peering: the work on the Lease %s begins.", stay.tenure.term.lease)
            self._changed()
        elif stay.since is None or self._now() - stay.refreshed >= REFRESH:
            await self._write(client, stay, look, "waiting")
            if stay.since is None:
                stay.since = self._now()
                self._say(stay, f"nobody else is in the peering any more, handlers start in {self._rules.grace:g} s")

    async def _keep(self, client: PeeringClient, stay: _Stay, look: _Look) -> None:
        """Keep the record alive while anything may run, and see whether to give way."""
        new = look.versions.keys() - stay.announced  # in a namespace that is served from now on
        above = [peer for peer in look.others if peer.priority > self._rules.priority]
        there = [peer for one in new for peer in look.peers[one]]
        if self._missing(stay, look):
            stay.lost = True
            self._step_down(stay, "somebody has removed its record from the peering")
        elif above or there:
            self._step_down(stay, f"it has to give way to {listed(above + there)}")
        if stay.admitted and not stay.lost and (new or self._now() - stay.refreshed >= REFRESH):
            await self._write(client, stay, look, "working")

    def _missing(self, stay: _Stay, look: _Look) -> bool:
        """Whether the record was removed, or written by somebody else, where this term had written it."""
        mine = stay.tenure.term.identity
        return any(holder_of(look.ours[one]) != mine for one in stay.announced & look.ours.keys())

    async def _write(self, client: PeeringClient, stay: _Stay, look: _Look, state: State) -> None:
        begun = self._now()
        body = record(holder=stay.tenure.term.identity, state=state, lifetime=self._rules.lifetime)
        own = _own(stay.tenure)

        async def write(one: PeeringObject, version: str) -> None:
            await client.patch_status(one, version, {own: body})
            stay.announced.add(one)

        await _all([write(one, version) for one, version in look.versions.items()])
        stay.announced &= look.versions.keys()
        stay.refreshed = begun

    async def _withdraw(self, client: PeeringClient, stay: _Stay, look: _Look) -> None:
        """Remove the record, whichever holder has written it: nothing runs under this Lease."""
        stay.since, stay.announced = None, set()
        present = [one for one, ours in look.ours.items() if ours is not None]
        await _all([client.patch_status(one, look.versions[one], {_own(stay.tenure): None}) for one in present])

    async def _part(self, client: PeeringClient, stay: _Stay) -> None:
        """Nothing runs under this term any more: say so, to others or to the next holder."""
        for _ in range(ATTEMPTS):
            try:
                look = await self._look(client, stay.tenure)
                if look is None or self._missing(stay, look) or not stay.announced:
                    return
                leaves_it = stay.admitted and not look.others and not stay.gave_way
                mine = stay.tenure.term.identity
                last = record(holder=mine, state="working", lifetime=PARTING) if leaves_it else None
                there = [one for one, ours in look.ours.items() if holder_of(ours) == mine]
                await _all([client.patch_status(one, look.versions[one], {_own(stay.tenure): last}) for one in there])
                if look.others:
                    logger.info("The record in the peering is removed, in favour of %s.", listed(look.others))
            except LeaseAPIError as error:
                if error.status != 409:
                    logger.warning(
                        "The record in the peering is left behind, and holds off others for up to %d s: %s",
                        self._rules.lifetime,
                        error,
                    )
                    return
            else:
                return

    def _step_down(self, stay: _Stay, why: str) -> None:
        if not stay.gave_way:
            stay.gave_way = True
            if stay.tenure.shut:
                return  # it ends anyway
            logger.warning("The leader of the Lease %s steps down: %s.", stay.tenure.term.lease, why)
            self._give_way()

    def _say(self, stay: _Stay, why: str, *, level: int = logging.INFO) -> None:
        """Say once what is waited for."""
        if why != self._said:
            self._said = why
            paused = "" if stay.admitted else ", and paused"
            logger.log(level, "Holding the Lease %s%s: %s.", stay.tenure.term.lease, paused, why.removesuffix("."))


def migrate(
    parts: Parts, *, grace: float, drain: float, changed: Callable[[], None], give_way: Callable[[], None]
) -> Peering:
    """The migration of an operator that starts now; kopf's own part in its peering ends. Times are in seconds.

    `drain` is how long a term may take to end. Raises `SettingsError` where there is no peering to migrate from.
    """
    settings = parts.settings.peering
    if settings.standalone or not seam_peering.peering_wanted(parts.settings):
        sentence = "A migration from peering is asked for (--leader-election-from-peering), but no peering: "
        raise SettingsError([sentence + "keep the old version's --peering=NAME, or drop that flag."])
    find = seam_peering.peering_objects(parts, PeeringObject)
    rules = PeeringRules(
        grace=grace,
        priority=settings.priority,
        lifetime=math.ceil(max(LIFETIME, settings.lifetime, 4 * drain)),
    )
    settings.mandatory = False  # else kopf would pause for want of the peering that it is told not to use
    return Peering(rules=rules, objects=find, login=parts.login, changed=changed, give_way=give_way)


def _own(tenure: Tenure) -> str:
    """The name of our record, which all candidates of the Lease share."""
    return f"kopf-leader/{tenure.term.lease}"


async def _all(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """Wait for all of them, then raise the first error, if any."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
