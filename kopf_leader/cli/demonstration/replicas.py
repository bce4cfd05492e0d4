"""The replicas: real processes of `kopf-leader run`, each with its own kubeconfig and its own way to the API server."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import kopf_leader
from kopf_leader.cli.demonstration.plan import LEASE, Broken, Plan
from kopf_leader.testing import facts
from kopf_leader.testing.processes import Replica, ReplicaSet
from kopf_leader.testing.proxy import Proxy

HANDLERS = Path(__file__).parent / "example" / "handlers.py"
PATIENCE = 30.0  # seconds for a replica to leave when asked to


class Ground(Protocol):
    """What the replicas need to know of the cluster; see `cluster.py`."""

    @property
    def namespace(self) -> str:
        """Where the Lease and the widgets are."""
        ...

    @property
    def target(self) -> tuple[str, int]:
        """Host and port to which a replica's proxy forwards."""
        ...

    def kubeconfig(self, port: int) -> str:
        """A kubeconfig that leads through a proxy on this port of loopback."""
        ...


@dataclass(kw_only=True)
class Member:
    """One replica, through all its lives."""

    name: str
    proxy: Proxy
    kubeconfig: Path
    process: Replica | None = None
    lives: int = 0
    accepted_before: int = 0
    """Connections that its proxy had accepted when this life began."""
    asked: str = ""
    """What ended, or is to end, this life: a signal's name; empty while it is meant to live."""
    cuts: list[tuple[int, int | None]] = field(default_factory=list)
    """From when to when it was cut off (nanoseconds; None: it still is)."""
    born: list[tuple[int, int]] = field(default_factory=list)
    """The moment in which each life began (nanoseconds), and its process id."""

    @property
    def identity(self) -> str:
        """What the Lease calls this life."""
        return f"{self.name}-{self.lives}"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.alive

    @property
    def cut(self) -> bool:
        """Whether it is cut off."""
        return bool(self.cuts) and self.cuts[-1][1] is None

    @property
    def pid(self) -> int:
        """The process id of this life."""
        return self.process.pid if self.process else 0


class Team:
    """All replicas. A context manager: what is left of them in the end is killed."""

    def __init__(self, plan: Plan, folder: Path, ground: Ground) -> None:
        self._plan = plan
        self._ground = ground
        self._set = ReplicaSet(command(plan, ground.namespace), folder / "replicas", environment=_environment())
        self._set.reaper.add_folder(folder)
        self.members: dict[str, Member] = {}
        self.deaths: list[str] = []
        """What replicas did that nobody asked for, a sentence each."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._set.close()
        finally:
            for member in self:
                member.proxy.stop()

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @property
    def notebook(self) -> Path:
        """The file into which all handlers write."""
        return self._set.history_file

    @property
    def logs(self) -> list[Path]:
        """The replicas' logs, one for each life."""
        return sorted(self._set.folder.glob("*.log"))

    def named(self, identity: str) -> Member | None:
        """The member whose life the Lease calls so, if there is one."""
        return self.members.get(identity.partition("-")[0])

    def start(self, name: str) -> Member:
        """Start a replica, anew if it ended."""
        member = self.members.get(name) or self._join(name)
        member.lives += 1
        member.asked = ""
        member.accepted_before = member.proxy.accepted
        arguments = ["--leader-election-identity", member.identity, str(HANDLERS)]
        member.process = self._set.start(name, kubeconfig=member.kubeconfig, arguments=arguments)
        member.born.append((facts.now(), member.pid))
        return member

    def ask_to_leave(self, member: Member) -> None:
        """SIGTERM, once: a second one would end it on the spot (L20)."""
        if member.asked != "SIGTERM":
            member.asked = "SIGTERM"
            if member.process:
                member.process.stop()

    async def kill(self, member: Member) -> None:
        """SIGKILL; returns when it is dead."""
        member.asked = "SIGKILL"
        if member.process:
            await asyncio.to_thread(member.process.kill)

    async def cut(self, member: Member) -> None:
        """Let its connections to the API server fall silent, without closing any."""
        member.cuts.append((facts.now(), None))
        await asyncio.to_thread(member.proxy.cut)

    async def reconnect(self, member: Member) -> None:
        """Let everything pass again; what was held arrives late."""
        await asyncio.to_thread(member.proxy.heal)
        member.cuts[-1] = (member.cuts[-1][0], facts.now())

    def check(self) -> None:
        """Raise `Broken` when a replica ended that was meant to live, or not as it was asked to."""
        for member in self:
            if member.process is None or member.process.alive:
                continue
            status = member.process.exit_code
            if not member.asked:
                self.deaths.append(f"{member.name} (pid {member.pid}) ended by itself, with status {status}.")
            elif member.asked == "SIGTERM" and status != 0:
                self.deaths.append(f"{member.name} (pid {member.pid}) ended with status {status} after SIGTERM.")
            else:
                continue
            raise Broken(self.deaths[-1])

    def put_down(self) -> None:
        """Kill whatever still runs; returns when all deaths are written down."""
        for process in self._set:
            process.kill()

    async def follow_logs(self, say: Callable[[str], None]) -> None:
        """Say every line of every log, with the name of its replica before it; for ever."""
        read: dict[Path, int] = {}
        while True:
            for path in self.logs:
                content = path.read_bytes()[read.get(path, 0) :]
                whole = content[: content.rfind(b"\n") + 1]
                read[path] = read.get(path, 0) + len(whole)
                for line in whole.decode(errors="replace").splitlines():
                    say(f"{path.stem[0]} | {line}")
            await asyncio.sleep(0.1)

    def mark(self, note: str) -> int:
        """Write a note between the handlers' facts; its time in nanoseconds."""
        return self._set.mark(note)

    def tails(self, lines: int = 15) -> str:
        """The ends of all logs, without what kopf says of every object."""
        parts: list[str] = []
        for path in self.logs:
            said = path.read_text(errors="replace").splitlines()
            kept = [line for line in said if not ("kopf.objects " in line and "[INFO " in line)]
            name, _, number = path.stem.partition("-")
            parts += [f"--- {name}, process {int(number) + 1}", *kept[-lines:]]
        return "\n".join(parts)

    def _join(self, name: str) -> Member:
        proxy = Proxy(*self._ground.target).start()
        kubeconfig = self._set.folder / f"{name}.kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(self._ground.kubeconfig(proxy.port))
        member = self.members[name] = Member(name=name, proxy=proxy, kubeconfig=kubeconfig)
        return member


def command(plan: Plan, namespace: str) -> list[str]:
    """The command of every replica; its identity and the file of handlers follow."""
    return [
        *("python", "-m", "kopf_leader", "run"),
        "--enable-leader-election",
        f"--leader-election-id={LEASE}",
        f"--leader-election-namespace={namespace}",
        f"--leader-election-lease-duration={plan.lease_duration:g}",
        f"--leader-election-renew-deadline={plan.renew_deadline:g}",
        f"--leader-election-retry-period={plan.retry_period:g}",
        f"--namespace={namespace}",
    ]


def _environment() -> dict[str, str]:
    """Where the replicas find this package, when it runs from a checkout and is not installed."""
    home = Path(kopf_leader.__file__).parent.parent
    if home.name in ("site-packages", "dist-packages"):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(home), os.environ.get("PYTHONPATH", "")]))}
