"""Who a process is in an election."""

import os
import secrets
import socket

from kopf_leader.protocol.settings import MAX_NAME


def make_identity(name: str | None = None) -> str:
    """An identity that no other process has (L10): `<pod or host name>_<random>`, valid for `Settings`.

    The pod's name is taken from the variable POD_NAME, where the pod's manifest hands it over.
    """
    suffix = f"_{secrets.token_hex(5)}"
    name = name or os.environ.get("POD_NAME") or socket.gethostname()
    visible = "".join(letter if "!" <= letter <= "~" else "-" for letter in name) or "unknown"
    return visible[: MAX_NAME - len(suffix)] + suffix
