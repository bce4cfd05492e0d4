"""The seam, continued: what streams bring, and how the gate reads objects, by kopf's client and the verb `list` alone.

Operators may list and watch what they handle, and often may not `get` it: so a single object is a list by its name.
The API server answers such a list from a single key.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from kopf_leader.gate.seam import CHUNK_SIZE, Stream
from kopf_leader.gate.seam_parts import get_once

logger = logging.getLogger("kopf_leader.gate")

PATIENCE = 10.0  # seconds for one answer: connections that were cut off silently must not hold up a promotion
FIRST = 50  # objects in the first page of many, which is waited for
_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"

Versions = dict[str, str]
"""uid: resourceVersion."""


async def level(settings: Any, stream: Stream) -> str:
    """The version of the collection as it is now. Raises what kopf's client does."""
    answer = await _list(settings, stream, stream.namespace, {"limit": "1"})
    return _level(answer)


async def version_of(settings: Any, stream: Stream, metadata: Mapping[str, Any]) -> tuple[str | None, str]:
    """The version that this object has now, or None if it is gone, and that of the collection.

    Raises what kopf's client does.
    """
    named = {"fieldSelector": f"metadata.name={metadata.get('name')}"}
    answer = await _list(settings, stream, metadata.get("namespace"), named)
    return _versions(answer).get(str(metadata.get("uid"))), _level(answer)


async def all_versions(settings: Any, stream: Stream) -> AsyncIterator[tuple[Versions, str]]:
    """The versions of all objects of a stream as they are now, in pages, in the order of their names; the collection's.

    Raises what kopf's client does, also when the listing takes so long that the server forgets it.
    """
    watching = settings.watching
    parameters = {"limit": str(FIRST)}
    for parameter, name in (("labelSelector", "label_selectors"), ("fieldSelector", "field_selectors")):
        if hasattr(watching, name):
            parameters[parameter] = ",".join(sorted(set(getattr(watching, name).collect(stream.resource))))
    parameters = {name: value for name, value in parameters.items() if value}
    while True:
        answer = await _list(settings, stream, stream.namespace, parameters)
        yield _versions(answer), _level(answer)
        if not (token := answer["metadata"].get("continue")):
            return
        parameters |= {"continue": token, "limit": str(CHUNK_SIZE)}


async def _list(settings: Any, stream: Stream, namespace: str | None, parameters: dict[str, str]) -> Any:
    return await get_once("kopf._cogs.clients.api", "get")(
        url=stream.resource.get_url(namespace=namespace, params=parameters),
        settings=settings,
        headers={"Accept": _METADATA},
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        logger=logger,
    )


def _level(answer: Mapping[str, Any]) -> str:
    return str(answer["metadata"].get("resourceVersion") or "")  # some aggregated APIs have none


def _versions(answer: Mapping[str, Any]) -> Versions:
    return {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
        for item in answer.get("items") or ()
        if "uid" in item["metadata"]
    }


def streams_initially(settings: Any) -> bool:
    """Whether kopf has the server send what there is at the beginning of the watch, and does not list (since 1.43)."""
    return bool(getattr(settings.watching, "initial_streaming", False))


def ends_listing(event: Any) -> bool:
    """Whether this bookmark says that all that there is has been sent."""
    metadata = event["object"].get("metadata", {}) if isinstance(event, dict) else {}
    return bool((metadata.get("annotations") or {}).get("k8s.io/initial-events-end") == "true")


def uid_of(event: Any) -> str:
    """What kopf tells objects apart by."""
    return str(get_once("kopf._core.reactor.queueing", "get_uid")(event))
