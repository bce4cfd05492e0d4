"""What can be seen from outside: the Lease, the widgets, and what the handlers write down, kept up to date."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kopf_leader.cli.demonstration import widgets
from kopf_leader.cli.demonstration.api import Api
from kopf_leader.cli.demonstration.widgets import Widget
from kopf_leader.clients.base import leases_path
from kopf_leader.testing import facts

GLANCE = 0.05  # seconds between two looks into the notebook


@dataclass(frozen=True, kw_only=True)
class Holding:
    """Who held the Lease from a moment on. '' for nobody."""

    at: int
    """When the demo's own watch told it (nanoseconds)."""
    holder: str
    transitions: int
    written: datetime | None = None
    """When it was written, by the Lease's own word: acquireTime, or renewTime when nobody holds it."""


@dataclass(kw_only=True)
class Run:
    """One run of a handler, as far as it is known."""

    replica: str
    pid: int
    handler: str
    name: str
    start: int
    finish: int | None = None
    kind: str = ""


class Notes:
    """The notebook of the handlers, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._open: dict[str, Run] = {}
        self.runs: list[Run] = []
        self.made: Counter[str] = Counter()
        """Widgets that each replica made."""
        self.deaths: dict[int, int] = {}
        """When processes ended, by their ids."""

    def read(self) -> None:
        """Take in what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for fact in facts.History.parse(whole).facts:
            self._take(fact)

    def running(self, replica: str) -> Iterator[Run]:
        """What this replica is at."""
        return (run for run in self._open.values() if run.replica == replica)

    def first_after(self, moment: int, *, but: int) -> Run | None:
        """The first run that another process than `but` started after a moment."""
        return next((run for run in self.after(moment) if run.pid != but), None)

    def last_end(self, pid: int, *, before: int) -> int | None:
        """When the last run of a process that started before a moment ended; None when there is none, or it runs."""
        ends = [run.finish for run in self.runs if run.pid == pid and run.start < before]
        return None if None in ends or not ends else max(filter(None, ends))

    def after(self, moment: int) -> list[Run]:
        """The runs that started after a moment, in the order of their starts."""
        later: list[Run] = []
        for run in reversed(self.runs):
            # Processes write into one file nearly in order; a second is far more than they are apart.
            if run.start < moment - 1_000_000_000:
                break
            if run.start > moment:
                later.append(run)
        return sorted(later, key=lambda run: run.start)

    def _take(self, fact: dict[str, Any]) -> None:
        kind, moment = fact["kind"], fact["t"]
        if kind == "start":
            run = Run(
                replica=fact["replica"], pid=fact["pid"], handler=fact["handler"], name=fact["name"], start=moment
            )
            self._open[fact["run"]] = run
            self.runs.append(run)
        elif kind in facts.FINISHES and (ended := self._open.pop(fact["run"], None)):
            ended.finish, ended.kind = moment, kind
            if kind == "end" and ended.handler == "make":
                self.made[ended.replica] += 1
        elif kind == "death":
            self.deaths[fact["pid"]] = moment
            for key, open_ in [*self._open.items()]:
                if open_.pid == fact["pid"]:
                    open_.finish, open_.kind = moment, kind
                    del self._open[key]


def _time(text: object) -> datetime | None:
    """A MicroTime of the Lease."""
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None


class Watching:
    """Everything that is watched, from the moment on in which `follow()` runs."""

    def __init__(self, api: Api, *, namespace: str, lease: str, notebook: Path) -> None:
        self._api = api
        self._namespace = namespace
        self._lease = lease
        self.notes = Notes(notebook)
        self.holdings: list[Holding] = []
        self.renewed_at: int | None = None
        self.widgets: dict[str, Widget] = {}

    @property
    def holder(self) -> str:
        """Who holds the Lease by the last word of the API server; '' for nobody."""
        return self.holdings[-1].holder if self.holdings else ""

    @property
    def made(self) -> int:
        """How many widgets say that they were made."""
        return sum(1 for widget in self.widgets.values() if widget.made_by)

    async def follow(self) -> None:
        """Watch, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_lease())
            group.create_task(self._follow_widgets())
            group.create_task(self._follow_notes())

    async def list(self) -> list[Widget]:
        """The widgets, read anew."""
        listed = await self._api.request("GET", widgets.path(self._namespace))
        return [Widget.of(item) for item in listed["items"]]

    async def _follow_lease(self) -> None:
        path = leases_path(self._namespace)
        async for kind, lease in self._api.watch(path, fieldSelector=f"metadata.name={self._lease}"):
            spec = (lease.get("spec") or {}) if kind != "DELETED" else {}
            at = facts.now()
            holder = spec.get("holderIdentity") or ""
            if holder != self.holder or not self.holdings:
                transitions = spec.get("leaseTransitions") or 0
                written = _time(spec.get("acquireTime" if holder else "renewTime"))
                self.holdings.append(Holding(at=at, holder=holder, transitions=transitions, written=written))
            self.renewed_at = at

    async def _follow_widgets(self) -> None:
        async for kind, body in self._api.watch(widgets.path(self._namespace)):
            widget = Widget.of(body)
            if kind == "DELETED":
                self.widgets.pop(widget.uid, None)
            else:
                self.widgets[widget.uid] = widget

    async def _follow_notes(self) -> None:
        while True:
            self.notes.read()
            await asyncio.sleep(GLANCE)
