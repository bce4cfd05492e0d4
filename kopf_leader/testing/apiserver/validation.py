"""The API server's own checks of names and Leases.

Two kinds, as in kube-apiserver: *decoding* into the Go type (``check_lease``: TypeError, a 400; drops what is null or
unknown) and *validating* what was decoded (``validate_lease``: a list of problems, a 422). The wording is that of
apimachinery ``pkg/util/validation`` and kubernetes ``pkg/apis/coordination/validation``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from kopf_leader.testing.apiserver.statuses import Body, Problem, invalid

NameRule = Callable[[str], list[str]]
"""The sentences about what is wrong with a name; none when it is right."""

INT32 = 2**31
LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
SUBDOMAIN = rf"{LABEL}(\.{LABEL})*"
QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

SUBDOMAIN_SENTENCE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
LABEL_SENTENCE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
)
QUALIFIED_SENTENCE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}')"
)
VALUE_SENTENCE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{VALUE}')"
)


def _pattern(value: str, *, pattern: str, sentence: str, limit: int) -> list[str]:
    told = [f"must be no more than {limit} characters"] if len(value) > limit else []
    return told if re.fullmatch(pattern, value) else [*told, sentence]


def subdomain(name: str) -> list[str]:
    """Most names: DNS-1123 subdomains of at most 253 characters."""
    return _pattern(name, pattern=SUBDOMAIN, sentence=SUBDOMAIN_SENTENCE, limit=253)


def label(name: str) -> list[str]:
    """Namespaces: DNS-1123 labels of at most 63 characters."""
    return _pattern(name, pattern=LABEL, sentence=LABEL_SENTENCE, limit=63)


def path_segment(name: str) -> list[str]:
    """RBAC's names: whatever fits into a path."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{sign}'" for sign in "/%" if sign in name]


def qualified_name(name: str) -> list[str]:
    """Keys of labels and annotations, finalizers: ``name`` or ``domain/name``."""
    prefix, slash, rest = name.partition("/")
    if not slash:
        return _pattern(name, pattern=QUALIFIED, sentence=QUALIFIED_SENTENCE, limit=63)
    told = [f"prefix part {sentence}" for sentence in subdomain(prefix)]
    return told + _pattern(rest, pattern=QUALIFIED, sentence=QUALIFIED_SENTENCE, limit=63)


def label_value(value: str) -> list[str]:
    """Values of labels."""
    return _pattern(value, pattern=VALUE, sentence=VALUE_SENTENCE, limit=63)


def kind_of(value: object) -> str:
    """The JSON type of a value, as Go's decoder names it."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def mismatch(value: object, *, struct: str, path: str, wanted: str) -> TypeError:
    """What Go's decoder says about a value of the wrong type."""
    got = kind_of(value)
    if wanted in {"int32", "int64"} and got == "number":
        got = f"number {value}"
    return TypeError(f"json: cannot unmarshal {got} into Go struct field {struct}.{path} of type {wanted}")


MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{6}(Z|[+-]\d\d:\d\d)")


def micro_time(text: str) -> str:
    """A MicroTime as the API server shows it (UTC); TypeError unless it is RFC 3339 with six fractional digits."""
    if MICRO.fullmatch(text) is None:
        seconds = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text)
        rest, wanted = (text[seconds.end() :], ".000000") if seconds else (text, "2006")
        raise TypeError(f'parsing time "{text}" as "{MICRO_LAYOUT}": cannot parse "{rest}" as "{wanted}"')
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise TypeError(f'parsing time "{text}": {error}') from None
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def plain_time(text: str) -> str:
    """A Time (seconds) as the API server shows it; TypeError when it is not RFC 3339."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise TypeError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it') from None
    if moment.tzinfo is None or "T" not in text:
        raise TypeError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


LEASE_FIELDS = {
    "holderIdentity": "string",
    "leaseDurationSeconds": "int32",
    "acquireTime": "time",
    "renewTime": "time",
    "leaseTransitions": "int32",
}


def _lease_field(name: str, value: object) -> object:
    wanted = LEASE_FIELDS[name]
    if wanted == "int32":
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole and isinstance(value, int) and -INT32 <= value < INT32):
            raise mismatch(value, struct="LeaseSpec", path=f"spec.{name}", wanted="int32")
        return value
    if not isinstance(value, str):
        if wanted == "time":
            raise TypeError(f"json: cannot unmarshal {kind_of(value)} into Go value of type string")
        raise mismatch(value, struct="LeaseSpec", path=f"spec.{name}", wanted="string")
    return micro_time(value) if wanted == "time" else value


def check_lease(body: Body) -> Body:
    """Decode a Lease: the five known fields of the spec, null ones left out, times in UTC."""
    spec = body.get("spec")
    if spec is None:
        spec = {}
    if not isinstance(spec, dict):
        raise mismatch(spec, struct="Lease", path="spec", wanted="v1.LeaseSpec")
    kept = {name: _lease_field(name, spec[name]) for name in LEASE_FIELDS if spec.get(name) is not None}
    return {"metadata": body["metadata"], "spec": kept}


def validate_lease(body: Body) -> list[Problem]:
    """The rules for a Lease's spec (kubernetes ``pkg/apis/coordination/validation``, ``ValidateLeaseSpec``)."""
    spec = body["spec"]
    problems = []
    duration, transitions = spec.get("leaseDurationSeconds", 1), spec.get("leaseTransitions", 0)
    if duration <= 0:
        problems.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions < 0:
        problems.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return problems
