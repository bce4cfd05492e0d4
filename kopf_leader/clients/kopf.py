"""The Lease by kopf's credentials: the default client of an operator.

It does not use kopf's sessions, as those are closed too early (kopf `running.py`: right after the cleanup handlers,
before the Lease is released) and live in a loop that handlers can block.
"""

import kopf

from kopf_leader.clients.direct import DirectLeaseClient, Login, Patience

__all__ = ["KopfLeaseClient", "Login", "Patience"]


class KopfLeaseClient(DirectLeaseClient):
    """A `LeaseClient` with the credentials of kopf's login handlers."""

    READABLE = (kopf.LoginError,)
