"""Who a process is in an election."""

import contextlib
import os
import secrets
import socket

from kopf_leader.protocol.settings import MAX_NAME, Takeover


def make_identity(name: str | None = None, *, takeover: Takeover = "expiry") -> str:
    """An identity that no other process has (L10): `<pod or host name>_<random>`, valid for `Settings`.

    The pod's name is taken from the variable POD_NAME, where the pod's manifest hands it over. For takeover by
    evidence, the rest says where the process lives, too, if its death can be told from there (`protocol/evidence.py`).
    """
    suffix = f"_{secrets.token_hex(5)}"
    if takeover == "evidence":
        from kopf_leader.elector.place import Unprovable, find_place  # noqa: PLC0415 (as in `driver`)

        with contextlib.suppress(Unprovable):
            suffix += f".{find_place().life}"
    name = name or os.environ.get("POD_NAME") or socket.gethostname()
    visible = "".join(letter if "!" <= letter <= "~" else "-" for letter in name) or "unknown"
    return visible[: MAX_NAME - len(suffix)] + suffix
