"""What kopf's login handlers bring, made ready for requests: headers, proxy, files to follow, words for messages.

By duck typing, as the class differs between releases of kopf: `proxy_url` and `kopf.AiohttpSession` came with 1.43,
`trust_env` with 1.45, and before 1.43 data was always base64. Nothing here is ever printed: the repr is the default
one of a class without fields.
"""

import base64
import dataclasses
import pathlib
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from typing import Any

from kopf_leader.clients import tls
from kopf_leader.clients.hidden import login_in

SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 (a path)


@dataclasses.dataclass(frozen=True, repr=False)
class Proxy:
    """The proxy on the way to the server; its password travels in a header, and thus in no error's text."""

    url: str
    authorization: str | None = None
    secrets: tuple[str, ...] = ()


class Credentials:
    """One answer of the login handlers. Follows the files behind it, by `refresh`."""

    def __init__(self, info: Any, *, token_file: str = SERVICE_ACCOUNT_TOKEN) -> None:
        self._info = info
        self.server, self._url_login = without_login(str(info.server).rstrip("/"))
        self.session = getattr(info, "aiohttp_session", None)
        """A ready-made session (`kopf.AiohttpSession`): it carries everything else by itself."""
        self.proxy = None if self.session is not None else _find_proxy(info, self.server)
        self._files = tls.files_of(info)
        self._stamps = tls.stamps(self._files)
        self._token_file = token_file
        # Kopf passes the token on and not its file. If it is the file's content, then it came from there.
        self._token_stamp = tls.stamps([token_file])
        self._follows = bool(self._token) and _read(token_file) == self._token

    @property
    def info(self) -> Any:
        """The `kopf.ConnectionInfo`, with the newest token."""
        return self._info

    @property
    def connection_key(self) -> object:
        """Two that are equal in this can share connections: the same way, shown as the same one.

        Who follow one file are the same, whichever of its tokens they have just now.
        """
        if self.session is not None:
            return self.session
        blank = {"token": None, "scheme": None, "username": None, "password": None, "expiration": None, "priority": 0}
        shown = ("file", self._token_file) if self._follows else ("header", self.authorization)
        return dataclasses.replace(self._info, **blank), self.proxy, self._stamps, shown

    @property
    def authorization(self) -> str | None:
        """The value of the header, in kopf's order of precedence; None if the connection itself must do."""
        username, password = self._field("username"), self._field("password")
        scheme, token = self._field("scheme"), self._token
        if username and password:
            return _basic(username, password)
        if token:
            return f"{scheme or 'Bearer'} {token}"
        return scheme or self._url_login

    @property
    def words(self) -> str:
        """What is shown to the server, for messages."""
        origin = self._field("origin") or "the login handlers"
        if self.session is not None:
            return f"the ready-made session of {origin}"
        if self._field("username") and self._field("password"):
            return f"the user name and password of {origin}"
        if self._token:
            return f"the token of {self._token_file if self._follows else origin}"
        if self._field("certificate_path") or self._field("certificate_data"):
            return f"the client certificate of {origin}"
        return f"a request without credentials ({origin} brought none)"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not occur in any message."""
        proxy = () if self.proxy is None else self.proxy.secrets
        return (*secrets_of(self._info), *proxy, *_parts(self.authorization))

    def expired(self) -> bool:
        """Whether the login handlers said that they end by now (by the wall clock; naive times are UTC, as in kopf)."""
        expiration: datetime | None = self._field("expiration")
        if expiration is None:
            return False
        return datetime.now(UTC) >= (expiration if expiration.tzinfo else expiration.replace(tzinfo=UTC))

    def refresh(self) -> "Credentials | None":
        """Look at the files: takes a new token over; returns a successor where new connections are needed."""
        stamp = tls.stamps([self._token_file]) if self._follows else self._token_stamp
        if stamp != self._token_stamp and (token := _read(self._token_file)):
            self._token_stamp = stamp
            self._info = dataclasses.replace(self._info, token=token)
        found = tls.stamps(self._files)
        # A file that is gone is no news: what has been read from it still serves.
        if found == self._stamps or None in found:
            return None
        successor = Credentials(self._info, token_file=self._token_file)
        successor._follows, successor._token_stamp = self._follows, self._token_stamp
        return successor

    @property
    def _token(self) -> str | None:
        token: str | None = self._field("token")
        return token

    def _field(self, name: str) -> Any:
        return getattr(self._info, name, None)


def _find_proxy(info: Any, server: str) -> Proxy | None:
    """Kopf's own for this cluster, else the environment's if kopf goes by it; found once, not for each request."""
    parts = urllib.parse.urlsplit(server)
    url: str | None = getattr(info, "proxy_url", None)
    if not url and getattr(info, "trust_env", False) and not urllib.request.proxy_bypass(parts.netloc):
        url = urllib.request.getproxies().get(parts.scheme)
    if not url:
        return None
    secrets = login_in(url)
    url, authorization = without_login(url)
    return Proxy(url=url, authorization=authorization, secrets=secrets)


def without_login(url: str) -> tuple[str, str | None]:
    """A URL without user name and password, and the header that says them. Raises ValueError, which quotes nothing."""
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.port is None or parts.port >= 0  # asking for it raises as well
    except ValueError:
        sound = False
    if not sound or "@" in parts.path + parts.query + parts.fragment:
        raise ValueError(
            "the address of the server or of the proxy is no URL: in its user name and password, write what is neither "
            "a letter nor a digit as %XX"
        ) from None
    login, _, host = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    basic = _basic(urllib.parse.unquote(username), urllib.parse.unquote(password)) if login else None
    return parts._replace(netloc=host).geturl(), basic


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def secrets_of(info: Any) -> tuple[str, ...]:
    """What must not occur in any message, of what a log-in has brought, whatever that is."""
    fields = ("password", "token", "private_key_data")
    known = [getattr(info, name, None) for name in fields]
    texts = (each.decode("latin-1") if isinstance(each, bytes) else each for each in known)
    urls = (getattr(info, name, None) for name in ("server", "proxy_url"))
    found = (*texts, *_parts(getattr(info, "scheme", None)), *(secret for url in urls for secret in login_in(url)))
    return tuple(secret for secret in found if isinstance(secret, str) and secret)


def _parts(authorization: object) -> tuple[str, ...]:
    """The header's value, and what comes after its scheme; a scheme alone is no secret, if it is one that is known."""
    if not isinstance(authorization, str) or authorization.lower() in ("bearer", "basic", "negotiate"):
        return ()
    return authorization, authorization.partition(" ")[2]


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
