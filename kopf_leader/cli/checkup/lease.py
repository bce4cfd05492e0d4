"""The Lease itself: is it there, who holds it, for how long, and what stands on it?"""

from collections.abc import Iterator

from kopf_leader.cli.checkup.finding import Finding, fail, ok, warn
from kopf_leader.cli.lease.lookout import Lookout, Standing
from kopf_leader.cli.lease.reach import Place
from kopf_leader.cli.lease.show import reason
from kopf_leader.clients.base import LeaseClient
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import ANYBODY, sight_of, whole_seconds
from kopf_leader.protocol.settings import Settings

GHOSTLY = 10  # a recorded duration of so many of ours, by a holder that is silent, is a ghost's (L6)
GRACE = 2.0  # seconds for a change to come by the watch once it was read


async def look(client: LeaseClient, place: Place, settings: Settings, observe: float) -> list[Finding]:
    """Look at it for up to `observe` seconds, until a renewal is seen. Raises `LeaseAPIError`."""
    async with Lookout(client) as lookout:
        await lookout.until(lambda now: not now.record.holder or now.renewed is not None, observe)
        watch = await _watch(client, lookout)
        standing = lookout.standing()
    if watch is None or standing.sight is None:
        return [warn("lease", f"the Lease {place} was deleted just now", "run this again")]
    return [*_judge(place, standing, settings), watch]


def missing(place: Place, *, namespace: bool | None) -> Finding:
    """There is none."""
    manifest = f"kopf-leader manifest {place.name} -n {place.namespace} | kubectl apply -f -"
    if namespace is False:
        return fail("lease", f"there is no namespace {place.namespace}", "correct -n, or create the namespace")
    return warn(
        "lease",
        f"there is no Lease {place}: the first candidate creates it, and waits for one lease duration",
        f"check the name, or create it beforehand: {manifest}",
    )


async def _watch(client: LeaseClient, lookout: Lookout) -> Finding | None:
    """L16: a watch that holds changes back makes every handover as slow as an expiry. None: there is no Lease."""
    if lookout.polls:
        return warn("watch", "the Lease cannot be watched, only read", "see right:watch above")
    try:
        version = sight_of(await client.read()).version
    except LeaseAPIError as error:
        if error.status != 404:
            raise
        return None
    if await lookout.until(lambda now: now.sight is not None and now.sight.version >= version, GRACE):
        said = "it tells of renewals" if lookout.standing().renewed is not None else "it is open; nothing has happened"
        return ok("watch", said)
    return fail(
        "watch",
        f"it is open, and a change was not told within {GRACE:g} s",
        "look for a proxy or a load balancer that holds answers back, between here and the API server",
    )


def _judge(place: Place, standing: Standing, settings: Settings) -> Iterator[Finding]:
    record = standing.record
    yield ok("lease", f"{place} is there, transitions: {record.transitions}")
    yield _holder(place, standing, settings)
    ours = whole_seconds(settings.lease_duration)
    if record.holder and record.duration != ours:
        yield warn(
            "duration",
            f"the holder has recorded {_seconds(record.duration)}, the lease duration here is {ours} s",
            "give all candidates the same lease duration; if they have, pass it here by "
            "--leader-election-lease-duration",
        )
    elif record.holder:
        yield ok("duration", f"the holder's is the same as here, {ours} s")
    yield _requests(place, standing)


def _holder(place: Place, standing: Standing, settings: Settings) -> Finding:
    if not standing.record.holder:
        return _free(standing)
    holder = plain(standing.record.holder)
    silence = f"no renewal was seen for {standing.silence:.1f} s of {standing.duration:g} s"
    if standing.proven:
        return ok("holder", f"{holder} leads, and was seen to renew")
    release = (
        f"if nothing runs under that name any more, kubectl patch lease -n {place.namespace} {place.name} --type=merge "
        '-p \'{"spec":{"holderIdentity":"","leaseDurationSeconds":1}}\''
    )
    if standing.duration > GHOSTLY * settings.lease_duration:
        return fail("holder", f"{holder}: {silence}, for which everybody waits", release)
    if standing.state == "expired":
        return fail(
            "holder",
            f"{holder} is gone ({silence}), and nobody has taken over",
            "start the operator, or look at the logs of its replicas",
        )
    change = f"look for longer: --observe {standing.duration:g}s"
    return warn("holder", f"{holder}: {silence}", change)


def _free(standing: Standing) -> Finding:
    record = standing.record
    if record.released or record.empty:
        return ok("holder", "nobody; the next candidate takes it at once")
    return warn(
        "holder",
        f"nobody, but the Lease is not released (edited by hand?): it is waited for, {standing.duration:g} s",
        "wait, or set leaseDurationSeconds to 1 if nothing runs any more",
    )


def _requests(place: Place, standing: Standing) -> Finding:
    asks, holder = standing.asks, standing.record.holder
    resume = f"kopf-leader resume {place.name} -n {place.namespace}"
    if asks.hold is not None:
        return warn("requests", f"on hold, nobody leads: {reason(asks.hold)}", f"{resume} ends that")
    if asks.transfer_to and holder:
        whom = "anybody else" if asks.transfer_to == ANYBODY else plain(asks.transfer_to)
        stands = "leads already" if asks.calls(holder) else f"has not got the lead from {plain(holder)} yet"
        return warn("requests", f"a transfer to {whom} stands on the Lease, who {stands}", f"{resume} withdraws it")
    return ok("requests", "none")


def _seconds(duration: int | None) -> str:
    return "no duration" if duration is None else f"{duration} s"
