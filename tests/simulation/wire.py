"""The way between one process and the API server: it delays, loses, doubles, holds back, reorders and garbles."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

from kopf_leader.clients import answers
from kopf_leader.clients.answers import Asked
from kopf_leader.clients.base import JSON, WatchEvent
from kopf_leader.errors import LeaseAPIError
from kopf_leader.testing.link import Fate, Link
from tests.simulation.loop import SimLoop
from tests.simulation.server import NAME, NAMESPACE, PATH, Answer, Request, Server

SILENCE = 90.0  # seconds without a byte after which the real client gives a watch up
GARBAGE = [b"", b"{", b"null", b"[]", b"<html>busy</html>", b'{"kind": "Lease"}', b'{"kind": "Status", "code": 200}']


@dataclass
class Line(Link):
    """As `Link`, over which the real driver speaks to the embedded server. Times are true seconds."""

    refuse: bool = False
    """Connections are refused or reset at once: the client knows that no answer comes."""
    retry_after: float | None = None
    """What a made-up refusal (`status`) asks for."""
    garbage: bool = False
    """What was answered is garbled on the way; it has been done all the same."""
    doubled: bool = False
    """Something in between sends each write twice: the first copy lands, the answer is the second one's (L4)."""
    twist: Callable[[bytes], bytes] | None = None
    """What becomes of the body of every answer, and of every piece of a watch."""
    swapped: bool = False
    """Watch events overtake each other."""
    login: float = 0.01
    login_fails: bool = False


class Session:
    """One watch: what is on its way to the client."""

    def __init__(self, client: "SimClient") -> None:
        self.client = client
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.waiting: deque[Any] = deque()
        self.deaf = False
        self.last = 0.0
        self.close: Callable[[], None] = lambda: None
        self.closed = False

    def tell(self, piece: Any) -> None:
        """A piece from the server, None at its end, or an error: in order, unless the line swaps them."""
        line, loop = self.client.line, self.client.loop
        self.waiting.append(piece)
        moment = loop.now + self.client.lag(line.event)
        if line.swapped and len(self.waiting) > 1 and piece is not None:
            self.waiting.rotate(1)
        self.last = max(self.last, moment)
        loop.at(self.last, self.pump)

    def pump(self) -> None:
        if self.client.line.quiet or not self.waiting or self.client.dead:
            return
        piece = self.waiting.popleft()
        if self.client.line.twist is not None and isinstance(piece, bytes):
            piece = self.client.line.twist(piece)
        if not self.deaf:
            self.queue.put_nowait(piece)

    def end(self) -> None:
        self.closed = True
        self.close()


class SimClient:
    """A `LeaseClient` over a `Line`. One for each life of a process."""

    def __init__(self, loop: SimLoop, server: Server, random: Random, line: Line) -> None:
        self.loop, self.server, self.random, self.line = loop, server, random, line
        self.token = server.token()
        self.dead = False
        """The process is gone: what it still says goes nowhere."""
        self.closed = False
        self.session: Session | None = None
        self.held: list[Callable[[], None]] = []
        self.pending = 0
        self.asked: Callable[[], None] = lambda: None
        self.sending: Callable[[JSON], None] = lambda body: None
        self.landed: Callable[[JSON, int], None] = lambda body, status: None
        self.answered: Callable[[JSON | None, Answer | None], None] = lambda body, answer: None

    # LeaseClient

    async def read(self) -> JSON:
        return await self._call(_asked("GET", "get"), f"{PATH}/{NAME}")

    async def create(self, body: JSON) -> JSON:
        return await self._call(_asked("POST", "create"), PATH, body)

    async def replace(self, body: JSON) -> JSON:
        return await self._call(_asked("PUT", "update"), f"{PATH}/{quote(NAME)}", body)

    async def login(self) -> None:
        with self._open():
            await asyncio.sleep(self.line.login)
            if self.line.login_fails:
                raise LeaseAPIError("The log-in for the Lease brought no credentials.")
            self.token = self.server.token()

    async def close(self) -> None:
        self.closed = True

    async def watch(self, version: str | None) -> AsyncGenerator[WatchEvent, None]:
        asked = _asked("GET", "watch")
        query = {"watch": "1", "fieldSelector": f"metadata.name={NAME}", "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": "290"} | ({"resourceVersion": version} if version is not None else {})
        session = Session(self)
        self.asked()
        with self._open():
            try:
                self._begin_watch(session, Request("GET", PATH, self.token, query, b""))
                lines = answers.Lines()
                while True:
                    try:
                        async with asyncio.timeout(SILENCE):
                            piece = await session.queue.get()
                    except TimeoutError as error:
                        raise LeaseAPIError(f"{asked} was silent for {SILENCE:g} s.") from error
                    if piece is None:
                        return
                    if isinstance(piece, tuple):
                        raise answers.refusal(asked, *piece)
                    if isinstance(piece, Exception):
                        raise piece
                    for line in lines.feed(piece):
                        if (event := answers.event_of(asked, line)) is not None:
                            yield event
            finally:
                session.end()

    # The wire

    def lag(self, seconds: float) -> float:
        return seconds + self.random.random() * self.line.jitter if self.line.jitter else seconds

    def deliver(self) -> None:
        """What was held back in the network arrives, and a quiet watch tells what it has missed."""
        held, self.held = self.held, []
        for arrive in held:
            arrive()
        if self.session is not None:
            for _ in list(self.session.waiting):
                self.loop.after(self.lag(self.line.event), self.session.pump)

    def break_watch(self) -> None:
        """The connection of the watch breaks, and the client notices."""
        if self.session is not None and not self.session.closed:
            self.session.queue.put_nowait(LeaseAPIError("The watch broke off."))

    def deafen(self) -> None:
        """The watch stays open, and nothing comes any more."""
        if self.session is not None:
            self.session.deaf = True

    @contextmanager
    def _open(self) -> Any:
        self.pending += 1
        try:
            yield
        finally:
            self.pending -= 1

    async def _call(self, asked: Asked, path: str, body: JSON | None = None) -> JSON:
        self.asked()
        answer: Answer | None = None
        if body is not None:
            self.sending(body)
        with self._open():
            raw = b"" if body is None else json.dumps(body).encode()
            future: asyncio.Future[Answer] = self.loop.create_future()
            self._transmit(Request(asked.method, path, self.token, {}, raw), body, future)
            try:
                answer = await future
                return answers.lease_of(asked, *answer)
            finally:
                future.cancel()  # an answer that nobody waits for goes nowhere
                self.answered(body, answer)

    def _transmit(self, request: Request, body: JSON | None, future: asyncio.Future[Answer]) -> None:
        line = self.line
        fate = Fate(self.lag(line.request), self.lag(line.reply), line.status)
        if body is not None and line.fates:
            fate = line.fates.popleft()
        if self.dead or fate.request is None:
            return
        if line.refuse:
            self.loop.after(self.lag(line.request), lambda: _break(future))
            return
        arrive = self._arrival(request, body, future, fate)
        if line.hold and body is not None:
            self.held.append(arrive)
        elif not line.lose_requests:
            self.loop.after(fate.request, arrive)

    def _arrival(self, request: Request, body: JSON | None, future: Any, fate: Fate) -> Callable[[], None]:
        def arrive() -> None:
            if not self.server.up:
                self.loop.after(0.001, lambda: _break(future))
                return
            answer = self._made_up(fate.status) if fate.status is not None else self._done(request, body)
            if fate.reply is not None:
                self.loop.after(fate.reply, lambda: reply(answer))

        def reply(answer: Answer) -> None:
            if self.line.lose_replies or future.done() or self.dead:
                return
            if self.line.twist is not None:
                answer = (answer[0], answer[1], self.line.twist(answer[2]))
            if self.line.garbage:
                answer = (answer[0], answer[1], self.random.choice(GARBAGE))
            future.set_result(answer)

        return arrive

    def _done(self, request: Request, body: JSON | None) -> Answer:
        copies = 2 if self.line.doubled and body is not None else 1
        for _ in range(copies):
            answer = self.server.serve(request)
            if body is not None:
                self.landed(body, answer[0])
        return answer

    def _made_up(self, status: int) -> Answer:
        headers = {} if self.line.retry_after is None else {"Retry-After": str(self.line.retry_after)}
        return status, headers, json.dumps({"kind": "Status", "code": status, "message": "said the nemesis"}).encode()

    def _begin_watch(self, session: Session, request: Request) -> None:
        self.session, line = session, self.line

        def arrive() -> None:
            if session.closed:
                return
            if self.line.broken or not self.server.up:
                session.queue.put_nowait(LeaseAPIError("The watch cannot be opened."))
                return
            opened = self.server.watch(request, session.tell)
            if isinstance(opened, tuple):
                session.tell(opened)
            else:
                session.close = opened

        if not self.dead and not line.lose_requests:
            self.loop.after(self.lag(line.request), arrive)


def _asked(method: str, verb: str) -> Asked:
    return Asked(method=method, verb=verb, namespace=NAMESPACE, name=NAME)


def _break(future: Any) -> None:
    if not future.done():
        future.set_exception(LeaseAPIError("The connection was refused."))
