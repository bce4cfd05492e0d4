"""Asking for something by an annotation on the Lease: a PUT of the object as last seen, never a merge-patch (L1).

The spec is the candidates': it is sent back as it was. Whoever wrote in between makes it a conflict, and the Lease is
read and judged anew.
"""

import asyncio
import copy
import random
from collections.abc import Callable, Mapping
from typing import Any

from kopf_leader.cli.lease.command import Reached, absent
from kopf_leader.cli.refused import Refused
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import Sight, sight_of

ATTEMPTS = 10
PAUSE = 0.1  # seconds; each pause is longer by as much than the one before

Changes = Mapping[str, str | None]
"""Annotations by their keys; None takes one away."""


class Settled(Exception):  # noqa: N818 (an answer)
    """There is nothing to ask for: the sentence that says why, and the exit status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def ask(reached: Reached, decide: Callable[[Sight], Changes], *, consumed: bool = False) -> Sight:
    """Write what `decide` wants of the Lease that it is shown; the Lease as it was before.

    `consumed`: the candidates take the annotation away as soon as they have obeyed. Raises what `decide` raises,
    `Refused` and `LeaseAPIError`.
    """
    doubtful: Sight | None = None
    trouble: LeaseAPIError | None = None
    for attempt in range(ATTEMPTS):
        await asyncio.sleep(PAUSE * attempt * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
        try:
            sight = await _read(reached)
        except LeaseAPIError as error:
            if doubtful is None or error.denied:
                raise
            trouble = error
            continue
        if consumed and doubtful is not None and mandate(sight) != mandate(doubtful):
            return doubtful  # it had landed, and was obeyed
        changes = decide(sight)
        if _stands(sight, changes):
            return doubtful or sight
        try:
            await reached.client.replace(_body(sight, changes))
        except LeaseAPIError as error:
            if error.status == 404:
                raise absent(reached.place) from error
            if error.refused and error.status not in (409, 429):
                raise
            trouble = error
            doubtful = doubtful if error.refused else doubtful or sight
        else:
            return sight
    state = "it is not known whether it was written" if doubtful is not None else "nothing was written"
    raise Refused(
        f"The request could not be written to the Lease {reached.place} in {ATTEMPTS} attempts, {state}: look with "
        f"kopf-leader status, and try again. The last error: {trouble}"
    )


def mandate(sight: Sight | None) -> tuple[str, str | None]:
    """What changes when somebody takes the Lease: the holder, and when it says it took it."""
    return ("", None) if sight is None else (sight.record.holder, sight.record.acquire_time)


async def _read(reached: Reached) -> Sight:
    try:
        return sight_of(await reached.client.read())
    except ValueError as error:
        raise LeaseAPIError(str(error)) from error
    except LeaseAPIError as error:
        if error.status == 404:
            raise absent(reached.place) from error
        raise


def _stands(sight: Sight, changes: Changes) -> bool:
    have = sight.lease["metadata"].get("annotations") or {}
    return all(have.get(key) == text for key, text in changes.items())


def _body(sight: Sight, changes: Changes) -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(dict(sight.lease))
    annotations = {**(body["metadata"].get("annotations") or {}), **changes}
    body["metadata"]["annotations"] = {key: text for key, text in annotations.items() if text is not None}
    return body
