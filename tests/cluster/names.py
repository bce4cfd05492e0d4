"""A name server that knows one name: kopf's own log-in goes to `kubernetes.default.svc`, by that name."""

from __future__ import annotations

import socket
import struct
import threading

NAME = "kubernetes.default.svc"
SUFFIXES = ("", ".cluster.local")
A, NO_SUCH_NAME, ANSWER, TTL = 1, 3, 0x8400, 30


class Names:
    """Answers over UDP, in a thread, until it is closed."""

    def __init__(self, host: str, answer: str) -> None:
        self._answer = socket.inet_aton(answer)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 53))
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, asker = self._socket.recvfrom(4096)
            if not query:
                return
            self._socket.sendto(reply(query, self._answer), asker)


def reply(query: bytes, answer: bytes) -> bytes:
    """The answer to a question (RFC 1035, section 4): this address, no address of that kind, or no such name."""
    labels, position = [], 12
    while length := query[position]:
        labels.append(query[position + 1 : position + 1 + length].decode("ascii", "replace").lower())
        position += 1 + length
    question = query[12 : position + 5]
    (kind,) = struct.unpack("!H", query[position + 1 : position + 3])
    known = ".".join(labels) in [NAME + suffix for suffix in SUFFIXES]
    found = known and kind == A
    flags = ANSWER | (struct.unpack("!H", query[2:4])[0] & 0x0100) | (0 if known else NO_SUCH_NAME)
    head = query[:2] + struct.pack("!HHHHH", flags, 1, int(found), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, A, 1, TTL, len(answer)) + answer  # the name: that of the question
    return head + question + (record if found else b"")
