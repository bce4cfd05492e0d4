"""From options to a candidate: where its Lease is, who it is, and by which client it gets there."""

import functools
import logging
from collections.abc import Callable

from kopf_leader.clients.base import LeaseClient
from kopf_leader.clients.bound import trouble_with_fencing
from kopf_leader.clients.choose import client_for
from kopf_leader.clients.kopf import KopfLeaseClient, Login, Patience
from kopf_leader.clients.namespace import SERVICE_ACCOUNT_NAMESPACE, find_namespace
from kopf_leader.elector.always import AlwaysLeader
from kopf_leader.elector.election import Election, Follower
from kopf_leader.elector.identity import make_identity
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.gate.options import Options
from kopf_leader.operations.site import Operations
from kopf_leader.protocol.settings import Settings

logger = logging.getLogger("kopf_leader")


def stand(options: Options, follower: Follower, login: Login, *, operations: Operations | None = None) -> Election:
    """The election of an operator that starts now, not yet started itself; says in one log line where and how.

    `login` is called on the elections' event loop. Raises `SettingsError` when the namespace is not to be found.
    """
    identity = options.identity or make_identity(takeover=options.takeover if options.enabled else "expiry")
    operations = operations or Operations()
    if not options.enabled:
        logger.info("No leader election (%s is off): this process handles alone.", OPTIONS["enabled"].flag)
        alone = AlwaysLeader(identity=identity, follower=follower)
        operations.attend(alone)
        return alone
    namespace, namespace_source = locate(options)
    settings = options.settings(namespace=namespace, identity=identity)
    client = _client(options, settings, login)
    logger.info(
        "Standing for the Lease %s/%s as %s: lease duration %g s, renew deadline %g s, retry period %g s; the "
        "namespace is from %s.",
        namespace,
        settings.name,
        identity,
        settings.lease_duration,
        settings.renew_deadline,
        settings.retry_period,
        namespace_source,
        extra={"lease": f"{namespace}/{settings.name}", "identity": identity},
    )
    if (trouble := trouble_with_fencing(identity)) is not None:
        logger.info("%s", trouble)  # no more: nobody can tell here whether there is a fence
    return operations.stand(settings=settings, client=client, follower=follower)


def _client(options: Options, settings: Settings, login: Login) -> Callable[[], LeaseClient]:
    """What makes the client."""
    where, timeout = {"namespace": settings.namespace, "name": settings.name}, settings.attempt_timeout
    if options.client is not None:
        return client_for(options.client, timeout=timeout, **where)
    return functools.partial(KopfLeaseClient, login=login, patience=Patience(request=timeout), **where)


def locate(options: Options) -> tuple[str, str]:
    """The Lease's namespace, and where it is from, in words. Raises `SettingsError` when none is to be found."""
    if options.namespace is not None:
        return options.namespace, options.source("namespace")
    found = find_namespace()
    return found, "the service account" if SERVICE_ACCOUNT_NAMESPACE.is_file() else "the kubeconfig's current context"
