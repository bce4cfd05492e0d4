"""What the API server answers when it refuses: ``Status`` objects worded as kube-apiserver words them.

Clients read the code, the reason and, in a pinch, the message; so all three are held to the real ones by the contract
suite. The wording follows apimachinery ``pkg/api/errors/errors.go``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
"""A decoded JSON object."""

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True)
class Problem:
    """One field that does not pass: its path, the cause's type and the sentence about it."""

    field: str
    type: str
    sentence: str

    @property
    def message(self) -> str:
        """As it stands in the Status: the path first."""
        return f"{self.field}: {self.sentence}"


def invalid(field: str, value: object, detail: str) -> Problem:
    """The value is of the right type and breaks a rule."""
    return Problem(field, "FieldValueInvalid", f"Invalid value: {quoted(value)}: {detail}")


def required(field: str, detail: str = "") -> Problem:
    """The field must not be empty."""
    return Problem(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def forbidden_field(field: str, detail: str) -> Problem:
    """The field may not be set, or not in this way."""
    return Problem(field, "FieldValueForbidden", f"Forbidden: {detail}")


def quoted(value: object) -> str:
    """As Go prints values in such sentences: strings in double quotes, everything else as JSON."""
    return json.dumps(value, ensure_ascii=False, default=str)


class Refused(Exception):  # noqa: N818 - not an error of ours: an answer
    """A request refused: carries the HTTP status and the Status object to answer with."""

    def __init__(self, code: int, message: str, *, reason: str = "", details: Body | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: Body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.status["message"] = message
        if reason:
            self.status["reason"] = reason
        if details is not None:
            self.status["details"] = details
        self.status["code"] = code


class PageNotFound(Exception):  # noqa: N818 - not an error of ours: an answer
    """A path nobody serves: kube-apiserver answers with plain text, not with a Status."""


def details(group: str, plural: str, name: str = "", **more: Any) -> Body:
    """The details of a Status, without what is empty."""
    return {key: value for key, value in {"name": name, "group": group, "kind": plural, **more}.items() if value}


def qualified(group: str, plural: str) -> str:
    """``leases.coordination.k8s.io``, or ``namespaces`` in the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> Refused:
    """404 for an object."""
    message = f'{qualified(group, plural)} "{name}" not found'
    return Refused(404, message, reason="NotFound", details=details(group, plural, name))


def no_such_resource() -> Refused:
    """404 for a resource or a subresource of a group that is served."""
    return Refused(404, "the server could not find the requested resource", reason="NotFound", details={})


def method_not_allowed() -> Refused:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return Refused(405, message, reason="MethodNotAllowed", details={})


def already_exists(group: str, plural: str, name: str, *, going: bool) -> Refused:
    """409 for a POST; ``going`` when the object found is being deleted."""
    message = f'{qualified(group, plural)} "{name}" already exists'
    if going:
        message = f"object is being deleted: {message}"
    return Refused(409, message, reason="AlreadyExists", details=details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> Refused:
    """409 for a write on something else than what is stored."""
    message = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {why}'
    return Refused(409, message, reason="Conflict", details=details(group, plural, name))


def uid_conflict(group: str, plural: str, name: str, *, key: str, wanted: str, found: str) -> Refused:
    """409 for a PUT whose uid is not the stored one; ``found`` is empty when nothing is stored."""
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )
    return conflict(group, plural, name, why)


def invalid_object(group: str, kind: str, name: str, problems: Sequence[Problem]) -> Refused:
    """422 with one cause per problem."""
    told = [problem.message for problem in problems]
    unique = list(dict.fromkeys(told))
    text = unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
    causes = [{"reason": p.type, "message": p.sentence, "field": p.field} for p in problems]
    message = f'{qualified(group, kind)} "{name}" is invalid: {text}'
    return Refused(422, message, reason="Invalid", details=details(group, kind, name, causes=causes))


def bad_request(message: str) -> Refused:
    """400."""
    return Refused(400, message, reason="BadRequest")


def forbidden(group: str, plural: str, name: str, why: str, **more: Any) -> Refused:
    """403 for a resource."""
    subject = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    return Refused(
        403, f"{subject} is forbidden: {why}", reason="Forbidden", details=details(group, plural, name, **more)
    )


def unauthorized() -> Refused:
    """401: a token nobody knows."""
    return Refused(401, "Unauthorized", reason="Unauthorized")


def expired(message: str) -> Refused:
    """410: the version asked for is not kept any more."""
    return Refused(410, message, reason="Expired")


def unsupported_media(accepted: Sequence[str]) -> Refused:
    """415."""
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return Refused(415, message, reason="UnsupportedMediaType")


def internal(message: str) -> Refused:
    """500, without a reason: what kube-apiserver answers to some clients' mistakes."""
    return Refused(500, message)
