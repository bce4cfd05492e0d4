"""Where to listen, as controller-runtime writes it: `:8081`, `127.0.0.1:8081`, `[::1]:8081`, or `0` for nowhere."""

import os
import re
import socket
from typing import NamedTuple

from kopf_leader.errors import SettingsError

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%]+)]|(?P<host>[^:\[\]\s]*)):(?P<port>\d{1,5})")
MAX_PORT = 65535


class Address(NamedTuple):
    """A place to listen at."""

    host: str
    """Empty: every interface."""
    port: int
    """0: any free one."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(said: object, *, what: str) -> Address | None:
    """Read an address; None for `0` and for an empty text. Raises `SettingsError`; `what` names it in the sentence."""
    text = said.strip() if isinstance(said, str) else said
    if text in ("0", ""):
        return None
    match = _ADDRESS.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match["port"]) > MAX_PORT:
        raise SettingsError(
            [f"The {what} is {said!r}: write ':8081', a host and a port ('127.0.0.1:8081'), or '0' to switch it off."]
        )
    return Address(match["v6"] or match["host"] or "", int(match["port"]))


def bind(address: Address, *, what: str) -> socket.socket:
    """A socket that listens there. Raises `SettingsError` when that cannot be had: the port is in use, for example."""
    try:
        if address.host:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, where = found[0][0], found[0][4]
            listener = socket.create_server((str(where[0]), address.port), family=family)
        elif socket.has_dualstack_ipv6():
            listener = _dual(address.port)
        else:
            listener = socket.create_server(("", address.port))
    except (OSError, OverflowError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
        reason = os.strerror(number) if number else str(error)
        raise SettingsError(
            [f"The {what} {str(address)!r} cannot be listened at ({reason}): free it, choose another one, or pass '0'."]
        ) from None
    listener.setblocking(False)
    return listener


def _dual(port: int) -> socket.socket:
    try:
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError:
        return socket.create_server(("", port))  # IPv6 is compiled in and switched off
