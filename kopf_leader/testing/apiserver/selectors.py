"""Label and field selectors, as they stand in a query string.

The grammar follows apimachinery ``pkg/labels/selector.go`` and ``pkg/fields/selector.go``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from kopf_leader.testing.apiserver.statuses import Body, bad_request

Test = Callable[[str | None], bool]
Fields = Callable[[Body], dict[str, str]] | None

KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
SET = re.compile(rf"({KEY})\s+(in|notin)\s*\(([^()]*)\)")
EQUAL = re.compile(rf"({KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
COMPARE = re.compile(rf"({KEY})\s*([<>])\s*(-?\d+)")
EXISTS = re.compile(rf"(!?)\s*({KEY})")


@dataclass(frozen=True)
class Selector:
    """What a list or a watch is narrowed to."""

    labels: tuple[tuple[str, Test], ...] = ()
    fields: tuple[tuple[str, str, bool], ...] = ()
    selectable: Fields = None
    name: str = ""  # when the fields name exactly one object: the authoriser sees it as a request for this object

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, body: Body) -> bool:
        """Whether the object is one of those asked for."""
        metadata = body["metadata"]
        labels = metadata.get("labels") or {}
        if not all(test(labels.get(key)) for key, test in self.labels):
            return False
        return all((self._field(body, name) == value) is equal for name, value, equal in self.fields)

    def _field(self, body: Body, name: str) -> str:
        if name in {"metadata.name", "metadata.namespace"}:
            return str(body["metadata"].get(name.removeprefix("metadata."), ""))
        return self.selectable(body).get(name, "") if self.selectable else ""


def parse(labels: str, fields: str, selectable: Fields = None) -> Selector:
    """Both selectors of a request; refused (400) when they cannot be understood or name an unknown field."""
    known = sorted(selectable({"metadata": {}})) if selectable else []
    terms = tuple(_field_term(part, known) for part in fields.split(",") if part.strip())
    name = next((value for key, value, equal in terms if key == "metadata.name" and equal), "")
    return Selector(tuple(_labels(labels)), terms, selectable, name)


def _field_term(text: str, known: list[str]) -> tuple[str, str, bool]:
    match = re.fullmatch(r"\s*([^=!]+?)(==|=|!=)(.*)", text)
    if match is None:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    name, operator, value = match.groups()
    if name not in {"metadata.name", "metadata.namespace", *known}:
        if known:
            raise bad_request(f"field label not supported: {name}")
        raise bad_request(
            f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"',
        )
    return name, value, operator != "!="


def _labels(text: str) -> list[tuple[str, Test]]:
    terms: list[tuple[str, Test]] = []
    rest = text.strip()
    while rest:
        for pattern, build in ((SET, _set), (EQUAL, _equal), (COMPARE, _compare), (EXISTS, _exists)):
            match = pattern.match(rest)
            if match and _ends(rest[match.end() :]):
                terms.append(build(match))
                rest = rest[match.end() :].strip()[1:].strip()
                break
        else:
            raise bad_request(f"unable to parse requirement: found {text!r}, expected: a label selector")
    return terms


def _ends(rest: str) -> bool:
    return not rest.strip() or rest.strip().startswith(",")


def _set(match: re.Match[str]) -> tuple[str, Test]:
    key, operator, listed = match.groups()
    values = {value.strip() for value in listed.split(",")}
    if operator == "in":
        return key, lambda value: value is not None and value in values
    return key, lambda value: value is None or value not in values


def _equal(match: re.Match[str]) -> tuple[str, Test]:
    key, operator, wanted = match.groups()
    if operator == "!=":
        return key, lambda value: value != wanted
    return key, lambda value: value == wanted


def _compare(match: re.Match[str]) -> tuple[str, Test]:
    key, operator, bound = match.groups()
    limit = int(bound)

    def test(value: str | None) -> bool:
        if value is None or not re.fullmatch(r"-?\d+", value):
            return False
        return int(value) > limit if operator == ">" else int(value) < limit

    return key, test


def _exists(match: re.Match[str]) -> tuple[str, Test]:
    negated, key = match.groups()
    if negated:
        return key, lambda value: value is None
    return key, lambda value: value is not None
