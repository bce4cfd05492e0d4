"""From the keywords of an elector to a candidate: its settings, its client, its election; checked before it starts."""

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from kopf_leader.clients.base import LeaseClient
from kopf_leader.clients.choose import client_for
from kopf_leader.clients.namespace import find_namespace
from kopf_leader.elector.election import Election, Follower
from kopf_leader.elector.identity import make_identity
from kopf_leader.elector.thread import ElectionThread
from kopf_leader.errors import SettingsError
from kopf_leader.protocol.durations import parse_duration
from kopf_leader.protocol.settings import OWN_IDENTITY, Settings, Takeover

logger = logging.getLogger("kopf_leader")

DURATIONS = ("lease_duration", "renew_deadline", "retry_period", "request_timeout", "drain_timeout")


class Candidacy(TypedDict, total=False):
    """The keywords of an elector; times in seconds, or texts like `'1m30s'`. What is left out or None has a default."""

    namespace: str | None
    """The Lease's namespace; by default the pod's, or the one of the kubeconfig's context."""
    client: Any
    """How to reach the Lease: see `Elector`."""
    identity: str | None
    """Who this candidate is, unique; by default `<pod or host name>_<random>` (L10)."""
    lease_duration: float | str | None
    """How long a silent leader is waited for; by default 15."""
    renew_deadline: float | str | None
    """How long a leader that cannot renew goes on; by default 10."""
    retry_period: float | str | None
    """The pause between renewals, and between attempts; by default 2."""
    request_timeout: float | str | None
    """The longest that one request may take; by default half of the renew deadline."""
    drain_timeout: float | str | None
    """How long the work may go on when it has to end; by default 10 (L12)."""
    takeover: Takeover | None
    """What a silent leader is taken over on: `'expiry'` (the default), or `'evidence'`, proof of its death as well."""
    priority: int | None
    """A candidate asks a leader of lower priority for the lead; by default 0."""
    labels: Mapping[str, str] | None
    """Labels to put on the Lease."""


def prepare(name: str, asked: Mapping[str, Any]) -> tuple[Settings, Callable[[], LeaseClient]]:
    """The settings, and what makes the client. Raises `SettingsError`, and TypeError for a keyword that is none."""
    if unexpected := asked.keys() - Candidacy.__annotations__.keys():
        raise TypeError(f"got an unexpected keyword argument {min(unexpected)!r}")
    given = {key: value for key, value in asked.items() if value is not None}
    client, namespace = given.pop("client", None), given.pop("namespace", None)
    for key in DURATIONS:
        if key in given:
            given[key] = parse_duration(given[key], what=key.replace("_", " "))
    takeover = given.get("takeover", "expiry")
    if takeover == "evidence" and "identity" in given:
        raise SettingsError([OWN_IDENTITY])
    given.setdefault("identity", make_identity(takeover=takeover))
    namespace = namespace if namespace is not None else find_namespace(remedy="pass namespace=…")
    settings = Settings(name=name, namespace=namespace, **given)
    return settings, _client(client, settings)


def _client(client: Any, settings: Settings) -> Callable[[], LeaseClient]:
    where, timeout = {"namespace": settings.namespace, "name": settings.name}, settings.attempt_timeout
    if client is not None:
        return client_for(client, timeout=timeout, **where)
    from kopf_leader.clients.local import LocalLeaseClient  # noqa: PLC0415 (imports aiohttp)

    return functools.partial(LocalLeaseClient, timeout=timeout, **where)


def stand(settings: Settings, client: Callable[[], LeaseClient], follower: Follower) -> Election:
    """The election, not yet started; says in one log line where and as whom."""
    logger.info(
        "Standing for the Lease %s/%s as %s: lease duration %g s, renew deadline %g s, retry period %g s.",
        settings.namespace,
        settings.name,
        settings.identity,
        settings.lease_duration,
        settings.renew_deadline,
        settings.retry_period,
        extra={"lease": f"{settings.namespace}/{settings.name}", "identity": settings.identity},
    )
    return ElectionThread(settings=settings, client=client, follower=follower)


def release_timeout(settings: Settings) -> float:
    """How long to wait for the end of an election that was told to leave, in seconds.

    It gives up by itself when the Lease has expired (L15); after that its connections are closed.
    """
    return settings.lease_duration + 2 * settings.attempt_timeout
