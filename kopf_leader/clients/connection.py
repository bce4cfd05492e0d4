"""Credentials as a value of our own, with the fields of a `kopf.ConnectionInfo`, for where there is no kopf."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, repr=False)
class Connection:
    """What a log-in brings; see `Credentials`. The `…_data` are PEM, or that in base64. It is never printed."""

    server: str
    origin: str
    """Where all of this is from, for messages."""
    ca_path: str | None = None
    ca_data: str | bytes | None = None
    insecure: bool | None = None
    username: str | None = None
    password: str | None = None
    scheme: str | None = None
    token: str | None = None
    certificate_path: str | None = None
    certificate_data: str | None = None
    private_key_path: str | None = None
    private_key_data: str | None = None
    proxy_url: str | None = None
    trust_env: bool = False
    expiration: datetime | None = None
    priority: int = 0
