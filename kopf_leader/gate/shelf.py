"""The newest body of each object of a stream, made small.

As bytes a body takes a fifth of what it takes parsed. The objects of one resource resemble each other, so on a standby,
which may hold ten thousand of them for weeks, only what tells each from a *sample*, the first one, is kept: zlib with
the sample for a dictionary takes microseconds. A leader keeps them as they are, for the sake of its events.
"""

import marshal
import zlib
from collections.abc import Iterator
from typing import Any

_SAMPLE = 8192  # bytes of the sample at most: a larger one would cost more time than it saves room
_LEVEL = 1
_RAW = -zlib.MAX_WBITS  # no header, no checksum: it never leaves the process
_MEMORY = 5  # zlib's memLevel: setting up its default takes longer than the compressing


class Shelf:
    """Bodies by uid; what was put last comes last."""

    def __init__(self) -> None:
        self._bodies: dict[str, tuple[str, bytes, bool]] = {}  # version, body, whether it is compressed
        self._sample = b""

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self._bodies)

    def __iter__(self) -> Iterator[str]:
        """Their uids."""
        return iter(self._bodies)

    def __contains__(self, uid: str) -> bool:
        """Whether the object is there."""
        return uid in self._bodies

    def put(self, uid: str, version: str, body: Any, *, compress: bool) -> None:
        """Keep this body as the newest of the object."""
        data = marshal.dumps(body)
        if compress:
            self._sample = self._sample or data[:_SAMPLE]
            packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zdict=self._sample)
            data = packer.compress(data) + packer.flush()
        self.drop(uid)
        self._bodies[uid] = version, data, compress

    def drop(self, uid: str) -> None:
        """Keep the object no more."""
        self._bodies.pop(uid, None)

    def version(self, uid: str) -> str | None:
        """The version that is kept; None if there is none."""
        kept = self._bodies.get(uid)
        return None if kept is None else kept[0]

    def body(self, uid: str) -> Any:
        """The body, made anew. Raises KeyError."""
        _, data, compressed = self._bodies[uid]
        if compressed:
            data = zlib.decompressobj(_RAW, zdict=self._sample).decompress(data)
        return marshal.loads(data)  # noqa: S302 (packed here)

    def sort(self) -> None:
        """Bring them into the order of their versions, which have to be numbers."""
        self._bodies = dict(sorted(self._bodies.items(), key=lambda item: int(item[1][0])))
