"""Looking at the Lease for a while: what it says, and how long ago it was renewed, *as seen from here*.

The times in the record are the leader's (L5): whether it is alive shows only in that the record changes. So what is
known is when a change was last seen here, and for how long it has been looked at.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from kopf_leader.clients.base import LeaseClient
from kopf_leader.errors import LeaseAPIError
from kopf_leader.protocol.record import Asks, LeaseRecord, Sight, sight_of

USUAL_DURATION = 15.0  # seconds; for a record that names none
PAUSE = 1.0  # seconds before another attempt, and between reads where watching is not allowed
TICK = 0.1  # seconds; time alone changes the state


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The Lease at one moment. Times are in seconds."""

    sight: Sight | None
    """None: there is no Lease."""
    watched: float = 0.0
    """For how long it has been looked at."""
    renewed: float | None = None
    """How long ago a renewal was seen; None: none has been seen yet."""

    @property
    def record(self) -> LeaseRecord:
        """What the Lease says; empty without one."""
        return self.sight.record if self.sight is not None else LeaseRecord()

    @property
    def asks(self) -> Asks:
        """What is asked for on the Lease."""
        return self.sight.asks if self.sight is not None else Asks()

    @property
    def duration(self) -> float:
        """How long the holder may be silent."""
        return self.record.duration or USUAL_DURATION

    @property
    def silence(self) -> float:
        """How long nothing was renewed, as far as it was looked at."""
        return self.watched if self.renewed is None else self.renewed

    @property
    def state(self) -> str:
        """One word: absent, held (on hold, nobody leads), free, led, silent (for a third of the duration), expired."""
        if self.sight is None:
            return "absent"
        if not self.record.holder:
            return "free" if self.asks.hold is None else "held"
        if self.silence >= self.duration:
            return "expired"
        return "silent" if self.silence >= self.duration / 3 else "led"

    @property
    def leads(self) -> bool:
        """Whether somebody leads, as far as is known."""
        return self.state in ("led", "silent")

    @property
    def proven(self) -> bool:
        """Whether somebody leads who was seen at it."""
        return self.leads and self.renewed is not None


Condition = Callable[[Standing], bool]


class Lookout:
    """Follows the Lease from `async with` on. Raises `LeaseAPIError` when it may not, `Refused` never."""

    def __init__(self, client: LeaseClient) -> None:
        self._client = client
        self._sight: Sight | None = None
        self._begun = 0.0
        self._renewed_at: float | None = None
        self._changed = asyncio.Event()
        self._fatal: LeaseAPIError | None = None
        self._task: asyncio.Task[None] | None = None
        self._poll = False
        self._logged_in = False
        self.trouble: LeaseAPIError | None = None
        """What went wrong since the Lease was last seen."""

    async def __aenter__(self) -> Self:
        await self._read()
        self._begun = _now()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def polls(self) -> bool:
        """Whether it reads again and again, as watching is not allowed."""
        return self._poll

    def standing(self) -> Standing:
        """How things are now."""
        now = _now()
        renewed = None if self._renewed_at is None else now - self._renewed_at
        return Standing(sight=self._sight, watched=now - self._begun, renewed=renewed)

    async def until(self, condition: Condition, timeout: float | None) -> bool:  # noqa: ASYNC109 (the user's)
        """Wait until it holds; False when `timeout` seconds have passed without that. Raises `LeaseAPIError`."""
        end = None if timeout is None else _now() + timeout
        while not condition(self.standing()):
            if self._fatal is not None:
                raise self._fatal
            if end is not None and _now() >= end:
                return False
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK if end is None else min(TICK, max(end - _now(), 0.0))):
                    await self._changed.wait()
        return True

    async def _follow(self) -> None:
        while self._fatal is None:
            began = _now()
            try:
                if not self._poll:
                    await self._watch()
                if self._poll or _now() < began + PAUSE:
                    await asyncio.sleep(PAUSE)
                await self._read()
            except LeaseAPIError as error:
                await self._cope(error)

    async def _watch(self) -> None:
        version = str(self._sight.version) if self._sight is not None else None
        try:
            async with contextlib.aclosing(self._client.watch(version)) as events:
                async for event in events:
                    self._logged_in = False
                    if event.kind in ("ADDED", "MODIFIED", "DELETED"):
                        self._take(None if event.kind == "DELETED" else _sight(event.object))
        except LeaseAPIError as error:
            if error.status != 403:
                raise
            self._poll = True  # the right to get is enough, if need be

    async def _read(self) -> None:
        try:
            seen = await self._client.read()
        except LeaseAPIError as error:
            if error.status != 404:
                raise
            self._take(None)
        else:
            self._take(_sight(seen))
        self._logged_in = False

    async def _cope(self, error: LeaseAPIError) -> None:
        if error.denied and (error.status == 403 or self._logged_in):
            self._fatal = error
            self._changed.set()
            return
        self.trouble = error
        try:
            if error.status == 401:
                self._logged_in = True
                await self._client.login()
            else:
                await asyncio.sleep(max(PAUSE, min(error.retry_after or 0.0, 10.0)))
            await self._read()
        except LeaseAPIError as another:
            self.trouble = another

    def _take(self, sight: Sight | None) -> None:
        before, self._sight, self.trouble = self._sight, sight, None
        if self._task is not None and sight is not None and sight.record != (before.record if before else None):
            self._renewed_at = _now()
        if sight is None:
            self._renewed_at = None
        self._changed.set()


def _sight(lease: object) -> Sight:
    try:
        return sight_of(lease)
    except ValueError as error:
        raise LeaseAPIError(str(error)) from error


def _now() -> float:
    return asyncio.get_running_loop().time()
