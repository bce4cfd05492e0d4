"""Leaving nothing behind in the user's cluster, and naming what could not be removed."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from kopf_leader.cli.demonstration import widgets
from kopf_leader.cli.demonstration.api import Answer, Api
from kopf_leader.cli.demonstration.plan import LEASE
from kopf_leader.clients.base import leases_path

NAMESPACES = "/api/v1/namespaces"
PATIENCE = 60.0  # seconds for the definition and the namespace to be gone
IDLE = 10.0  # seconds after which a cluster that does nothing about a namespace has no controller manager
Say = Callable[[str], None]


def ours(body: Mapping[str, Any]) -> bool:
    """Whether the demo made it."""
    labels = body["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in widgets.OURS.items())


async def remove(api: Api, namespace: str, say: Say) -> None:
    """Remove all that the demo made, wait until it is gone, and say what is left if something is."""
    say(f"Removing the namespace {namespace} and the definition {widgets.DEFINITION} …")
    left = f"Remove what is left: kubectl delete crd {widgets.DEFINITION}; kubectl delete namespace {namespace}"
    try:
        await _empty(api, namespace)
        await _delete(api, f"{NAMESPACES}/{namespace}")
        shared = await _others(api, namespace)
        if not shared:
            await _delete(api, f"{widgets.DEFINITIONS}/{widgets.DEFINITION}")
            await _gone(api, f"{widgets.DEFINITIONS}/{widgets.DEFINITION}")
        state = await _namespace_gone(api, namespace)
    except (Answer, OSError, TimeoutError) as error:
        say(f"Not everything could be removed ({str(error) or 'it takes too long'}). {left}")
    except asyncio.CancelledError:
        say(f"Interrupted while removing. {left}")
        raise
    else:
        if shared:
            say(f"Another demo uses the definition {widgets.DEFINITION} (in {', '.join(shared)}): it stays.")
        say(state)


async def _empty(api: Api, namespace: str) -> None:
    """Delete the widgets and the Lease. Nobody is left to take kopf's finalizer off, so that is done here."""
    path = widgets.path(namespace)
    listed = await api.exists(path) or {"items": []}
    for item in listed["items"]:
        one = f"{path}/{item['metadata']['name']}"
        if item["metadata"].get("finalizers"):
            await api.request("PATCH", one, {"metadata": {"finalizers": None}})
        await _delete(api, one)
    await _delete(api, leases_path(namespace, LEASE))


async def _delete(api: Api, path: str) -> None:
    try:
        await api.request("DELETE", path)
    except Answer as answer:
        if answer.status not in (404, 409):  # 409: it is being removed already
            raise


async def _others(api: Api, namespace: str) -> list[str]:
    """The namespaces in which somebody else has widgets."""
    listed = await api.exists(f"/apis/{widgets.GROUP}/{widgets.VERSION}/{widgets.PLURAL}") or {"items": []}
    return sorted({item["metadata"]["namespace"] for item in listed["items"]} - {namespace})


async def _gone(api: Api, path: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await api.exists(path) is not None:  # noqa: ASYNC110 (it happens elsewhere)
            await asyncio.sleep(0.1)


async def _namespace_gone(api: Api, namespace: str) -> str:
    """Wait for the namespace; what became of it, in a sentence."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    while (found := await api.exists(f"{NAMESPACES}/{namespace}")) is not None:
        worked_on = bool((found.get("status") or {}).get("conditions"))
        if clock() - begin > (PATIENCE if worked_on else IDLE):
            return (
                f"Everything in the namespace {namespace} is gone; it is terminating itself, which is left to the "
                "cluster's controller manager."
            )
        await asyncio.sleep(0.1)
    return "Nothing is left in the cluster."
