"""What an answer means: a Lease, an event, or one sentence about what went wrong (L4, L17). Pure, for every client.

An answer counts as the API server's only if it looks like one: a 404 or 409 without a Status object comes from a
load balancer or from a proxy in between and says nothing about the Lease, so it is told without a status.
"""

import email.utils
import json
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kopf_leader.clients import hidden
from kopf_leader.clients.base import JSON, WatchEvent
from kopf_leader.errors import LeaseAPIError

MAX_BODY = 4 * 1024 * 1024  # bytes; etcd takes no object above 1.5 MiB
EVENT_KINDS = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})
# A gateway says these as well as the API server does, and they call for the same measures.
_BELIEVED_FROM_ANYONE = frozenset({401, 403, 408, 429})


class TooLong(ValueError):  # noqa: N818 (named by what it says of the answer)
    """The answer is longer than any Lease can be."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What was asked for; the beginning of each sentence about it."""

    method: str
    verb: str
    """The verb that RBAC knows it by."""
    namespace: str
    name: str
    subject: str = ""
    """What it was asked of, if not of the Lease."""
    rule: str = ""
    """What RBAC has to allow for it, if it is not of the Lease."""
    server: str = "the server"
    login: str = "the credentials"
    """What was shown to the server, in words that give nothing away."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What is taken out of everybody else's words."""

    def __str__(self) -> str:
        watch = " (watch)" if self.verb == "watch" else ""
        return f"{self.method} of {self.subject or f'the Lease {self.namespace}/{self.name}'}{watch}"

    def quote(self, text: str) -> str:
        """Somebody else's text, in one line, of bounded length and without secrets."""
        return hidden.say(text, self.secrets)


def lease_of(asked: Asked, status: int, headers: Mapping[str, str], content: bytes) -> JSON:
    """The Lease in an answer. Raises `LeaseAPIError` for every other answer."""
    if status not in (200, 201):
        raise refusal(asked, status, headers, content)
    try:
        lease = _object(content)
    except (ValueError, RecursionError) as exc:
        raise nonsense(asked, status, content) from exc
    if lease.get("kind") != "Lease" or not is_about(lease, asked.name):
        raise nonsense(asked, status, content)
    return lease


def object_of(asked: Asked, status: int, headers: Mapping[str, str], content: bytes) -> JSON:
    """The object of this name in an answer, of whatever kind. Raises `LeaseAPIError` for every other answer."""
    accepted(asked, status, headers, content)
    try:
        found = _object(content)
    except (ValueError, RecursionError) as exc:
        raise nonsense(asked, status, content) from exc
    if not is_about(found, asked.name):
        raise nonsense(asked, status, content)
    return found


def accepted(asked: Asked, status: int, headers: Mapping[str, str], content: bytes) -> JSON:
    """Nothing, where only the success counts. Raises `LeaseAPIError` for every other answer."""
    if status not in (200, 201):
        raise refusal(asked, status, headers, content)
    return {}


def is_about(thing: JSON, name: str) -> bool:
    """Whether an object has this name: one look at another Lease, taken for ours, would make two leaders."""
    metadata = thing.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get("name") == name


def event_of(asked: Asked, line: bytes) -> WatchEvent | None:
    """The event in a line of a watch, None if it is about another Lease.

    Raises `LeaseAPIError` for an ERROR event and for anything unknown.
    """
    try:
        event = _object(line)
    except (ValueError, RecursionError) as exc:
        raise nonsense(asked, 200, line) from exc
    kind, thing = event.get("type"), event.get("object")
    if kind == "ERROR" and isinstance(thing, dict):
        raise failed_watch(asked, thing)
    if not isinstance(thing, dict) or not isinstance(kind, str) or kind not in EVENT_KINDS:
        raise nonsense(asked, 200, line)
    return WatchEvent(kind=kind, object=thing) if kind == "BOOKMARK" or is_about(thing, asked.name) else None


def failed_watch(asked: Asked, status: JSON) -> LeaseAPIError:
    """The error of a watch that ended by an ERROR event: its code stands inside a 200."""
    code = status.get("code")
    told = code if isinstance(code, int) and 100 <= code < 600 else None  # a bool is none
    why = _ending(asked, status.get("message"))
    return LeaseAPIError(f"{asked} was ended by the server with the error {told}{why}.", status=told)


def refusal(asked: Asked, status: int, headers: Mapping[str, str], content: bytes) -> LeaseAPIError:
    """The error for an answer that is no success."""
    try:
        answer = _object(content)
    except (ValueError, RecursionError):
        answer = {}
    is_status = answer.get("kind") == "Status"
    if status < 400 or not (is_status or status >= 500 or status in _BELIEVED_FROM_ANYONE):
        return nonsense(asked, status, content, told=status if 300 <= status < 400 else None)
    why = _ending(asked, answer.get("message") if is_status else _text(content))
    if status == 401:
        sentence = f"{asked} was refused (HTTP 401{why}): the server does not accept {asked.login}, log in again."
    elif status == 403:
        sentence = f"{asked} was refused (HTTP 403{why}): {remedy(asked)}."
    else:
        sentence = f"{asked} failed with HTTP {status}{why}."
    return LeaseAPIError(sentence, status=status, retry_after=_retry_after(headers, answer))


def remedy(asked: Asked) -> str:
    """The RBAC rule that is missing (L17); creating cannot be restricted to a name."""
    if asked.rule:
        return f'allow the verb "{asked.verb}" by the rule {asked.rule}'
    rule = 'apiGroups: ["coordination.k8s.io"], resources: ["leases"]'
    if asked.verb == "create":
        rule = f'{rule}, verbs: ["create"]'
    else:
        rule = f'{rule}, resourceNames: ["{asked.name}"], verbs: ["get", "watch", "update"]'
    return f'allow the verb "{asked.verb}" by the rule {{{rule}}} in a Role in the namespace {asked.namespace}'


def nonsense(asked: Asked, status: int, content: bytes, *, told: int | None = None) -> LeaseAPIError:
    """The error for an answer that the API server would not give."""
    text = f", {asked.quote(_text(content))!r}" if content.strip() else " and nothing else"
    return LeaseAPIError(
        f"{asked} was answered with HTTP {status}{text}, which the API server does not say: check that {asked.server} "
        "is its address, and what stands in between.",
        status=told,
    )


class Lines:
    """Cuts a stream into lines; empty ones are left out."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk has completed. Raises `TooLong`."""
        self._rest += chunk
        lines: list[bytearray] = []
        if b"\n" in chunk:
            *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > MAX_BODY:
            raise TooLong(f"A line of the watch is longer than {MAX_BODY} bytes.")
        return [bytes(line) for line in lines if line.strip()]

    def end(self) -> list[bytes]:
        """The last line, if the stream ended without the end of its line."""
        return self.feed(b"\n")


async def body_of(chunks: AsyncIterator[bytes]) -> bytes:
    """The whole of a stream. Raises `TooLong`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLong(f"The answer is longer than {MAX_BODY} bytes.")
    return bytes(body)


def _object(content: bytes) -> dict[str, Any]:
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("It is JSON, but no object.")  # noqa: TRY004 (nonsense, no type)
    return found


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _ending(asked: Asked, message: object) -> str:
    text = asked.quote(message).rstrip(".") if isinstance(message, str) else ""
    return f": {text}" if text else ""


def _retry_after(headers: Mapping[str, str], answer: JSON) -> float | None:
    """The pause that the server asks for, in seconds: by the header (a number or a date), else by the Status."""
    value: object = headers.get("Retry-After")
    if value is None:
        details = answer.get("details")
        value = details.get("retryAfterSeconds") if isinstance(details, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except ValueError:
        # Both dates by the server's clock where it tells the time: ours may be off.
        until, now = _date(value), _date(headers.get("Date")) or datetime.now(UTC)
        return max((until - now).total_seconds(), 0.0) if until else None
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _date(value: object) -> datetime | None:
    try:
        parsed = email.utils.parsedate_to_datetime(str(value))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
