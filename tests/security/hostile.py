"""What somebody with the right to edit the Lease can write into it, to be shown to others; and what may be shown."""

import json
import urllib.request

WORDS = {
    "escape": "\x1b]0;owned\x07\x1b[2J\x1b[31m",
    "C1": "\x9b31m\x9d0;owned\x9c",
    "lines": "a\r\nERROR forged\x0b\x0c\x85\u2028\u2029line",
    "direction": "\u202egpj.exe\u2066\u200f",
    "unseen": "a\u200b\ufeff\u00ad\x00\x08\x7f\U000e0041b",
}
HALF = "\ud800x"  # of a surrogate pair: no API server stores it, something between here and there may send it
NASTY = "".join(WORDS.values())
HUGE = NASTY + "long " * 15_000
HELD = {
    "leaseDurationSeconds": 1,
    "acquireTime": "2026-01-02T03:04:05.000000Z",
    "renewTime": "2026-01-02T03:04:05.000000Z",
    "leaseTransitions": 3,
}


def unseen(text: str) -> set[str]:
    """The characters in it that a terminal or a reader would not see as characters; line feeds are told by counting."""
    return {sign for sign in text if not sign.isprintable() and sign != "\n"}


def edit(server, **body):
    """A merge-patch of the Lease `default/op` on the embedded API server, by somebody who may."""
    request = urllib.request.Request(
        f"{server.url}/apis/coordination.k8s.io/v1/namespaces/default/leases/op",
        data=json.dumps(body).encode(),
        method="PATCH",
        headers={"Authorization": f"Bearer {server.admin_token}", "Content-Type": "application/merge-patch+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
