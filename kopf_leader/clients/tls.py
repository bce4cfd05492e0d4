"""TLS by what the credentials carry, and whether the files behind it have changed."""

import base64
import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterable
from typing import Any

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Stamp = tuple[int, int, int] | None


def ssl_context(info: Any) -> ssl.SSLContext:
    """The TLS of a `kopf.ConnectionInfo`: its CA (else the system's), its client certificate, verified or not.

    Raises OSError, ssl.SSLError or ValueError if a file or its data cannot be used.
    """
    build = getattr(info, "as_ssl_context", None)
    if build is not None:  # since kopf 1.43
        made: ssl.SSLContext = build()
        return made
    context = ssl.create_default_context(
        cafile=info.ca_path or None,
        cadata=_pem(info.ca_data) if info.ca_data else None,
    )
    with contextlib.ExitStack() as stack:
        certificate = info.certificate_path or _spill(stack, info.certificate_data)
        key = info.private_key_path or _spill(stack, info.private_key_data)
        if certificate and key:  # kopf takes both or neither
            context.load_cert_chain(certificate, key)
    if info.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def files_of(info: Any) -> tuple[Path, ...]:
    """The files that `ssl_context` reads."""
    paths = (getattr(info, field, None) for field in ("ca_path", "certificate_path", "private_key_path"))
    return tuple(path for path in paths if path)


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """What tells one content of each file from the next, without reading it; None for a file that is not there."""
    return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> Stamp:
    try:
        # Mounted secrets are links to a folder that is exchanged as a whole: the inode behind the link changes.
        found = os.stat(path)  # noqa: PTH116 (kopf's paths may be bytes)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _pem(data: str | bytes) -> str:
    text = data if isinstance(data, str) else data.decode("ascii")
    return text if text.lstrip().startswith("-----BEGIN ") else base64.b64decode(text).decode("ascii")


def _spill(stack: contextlib.ExitStack, data: str | bytes | None) -> str | None:
    """Data in a file of its own for a moment: Python's ssl loads client certificates from nowhere else."""
    if not data:
        return None
    file = stack.enter_context(tempfile.NamedTemporaryFile("w", encoding="ascii"))  # noqa: SIM115 (it is)
    file.write(_pem(data))
    file.flush()
    return file.name
