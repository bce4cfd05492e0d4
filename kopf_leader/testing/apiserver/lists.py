"""Lists: selectors, pages that all show one version, and lists of the past."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from kopf_leader.testing.apiserver.resources import Resource
from kopf_leader.testing.apiserver.selectors import Selector
from kopf_leader.testing.apiserver.statuses import (
    Body,
    Problem,
    Refused,
    bad_request,
    expired,
    forbidden_field,
    invalid_object,
)
from kopf_leader.testing.apiserver.storage import Snapshot, Storage, Stored, encode

LIST_TOO_OLD = "The resourceVersion for the provided list is too old."
PAGE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class Page:
    """Where a list goes on: the version it shows and the last key shown. A negative version: the newest one."""

    version: int
    after: str = ""

    def token(self) -> str:
        """As the ``continue`` parameter."""
        raw = json.dumps({"v": "meta.k8s.io/v1", "rv": self.version, "start": self.after})
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, token: str) -> Page:
        """Back from the parameter; refused (400) when it is none of ours."""
        try:
            known = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            return cls(int(known["rv"]), str(known["start"]))
        except (ValueError, KeyError, TypeError) as error:
            raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None


def whole_number(query: Mapping[str, str], name: str) -> int:
    """A number of the query, 0 when absent; refused (400) when it is none."""
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def version_of(query: Mapping[str, str]) -> int | None:
    """The ``resourceVersion`` of a list; None when there is none or any will do."""
    text = query.get("resourceVersion", "")
    if text in ("", "0"):
        return None
    if not text.isdecimal():
        raise bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def refuse_options(told: str) -> Refused:
    """422 for a combination of list options that makes no sense."""
    problem = forbidden_field("resourceVersionMatch", told)
    return invalid_object("meta.k8s.io", "ListOptions", "", [problem])


def _starting_page(storage: Storage, query: Mapping[str, str]) -> Page:
    if query.get("continue"):
        page = Page.of(query["continue"])
        return Page(storage.version, page.after) if page.version < 0 else page
    wanted = version_of(query)
    match = query.get("resourceVersionMatch", "")
    if match not in ("", "Exact", "NotOlderThan"):
        sentence = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        raise invalid_object(
            "meta.k8s.io", "ListOptions", "", [Problem("resourceVersionMatch", "FieldValueNotSupported", sentence)]
        )
    if match and not query.get("resourceVersion"):
        raise refuse_options("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if wanted is not None and wanted > storage.version:
        message = f"Timeout: Too large resource version: {wanted}, current: {storage.version}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        raise Refused(504, message, reason="Timeout", details={"causes": [cause], "retryAfterSeconds": 1})
    return Page(wanted if wanted is not None and match == "Exact" else storage.version)


def _snapshot(storage: Storage, resource: Resource, page: Page) -> Snapshot:
    try:
        return storage.collection(resource.collection).at(page.version)
    except LookupError:
        if not page.after:
            raise expired(LIST_TOO_OLD) from None
        refusal = expired(PAGE_TOO_OLD)
        refusal.status["metadata"] = {"continue": Page(-1, page.after).token()}
        raise refusal from None


def select(
    storage: Storage, resource: Resource, namespace: str, selector: Selector, query: Mapping[str, str]
) -> tuple[list[Stored], Body]:
    """The objects of a list and its metadata."""
    limit = max(whole_number(query, "limit"), 0)
    page = _starting_page(storage, query)
    snapshot = _snapshot(storage, resource, page)
    prefix = f"{namespace}/" if namespace else ""
    found: list[Stored] = []
    meta: Body = {"resourceVersion": str(page.version)}
    last = ""
    for key, stored in snapshot.items(prefix=prefix, after=page.after):
        if selector and not selector.matches(stored.body):
            continue
        if limit and len(found) == limit:
            meta["continue"] = Page(page.version, last).token()
            if not selector:
                meta["remainingItemCount"] = snapshot.count(prefix=prefix, after=last)
            break
        found.append(stored)
        last = key
    return found, meta


def render(resource: Resource, objects: list[Stored], meta: Body) -> bytes:
    """The list as JSON, of the encodings that the objects keep."""
    form = f"{resource.api_version} item"
    items = b",".join(stored.encoded(form, resource.render_item) for stored in objects)
    head = encode({"kind": resource.list_of, "apiVersion": resource.api_version, "metadata": meta})
    return head[:-1] + b',"items":[' + items + b"]}"
