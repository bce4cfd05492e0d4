"""What a choice of timings costs, for docs/timings.md: computed by the machine itself, in virtual time."""

from dataclasses import dataclass

from kopf_leader.cli.checkup.latency import attempts
from kopf_leader.protocol.settings import Settings
from kopf_leader.protocol.state import Send
from kopf_leader.testing.world import World
from tests.docs.blocks import table

CHOICES = (
    (3.0, 2.0, 0.5), (6.0, 4.0, 1.0), (15.0, 10.0, 2.0), (30.0, 20.0, 4.0), (60.0, 40.0, 8.0), (137.0, 107.0, 26.0),
)  # fmt: skip
PHASES = 6
SLOW = 1.0  # seconds of an answer, for the last column


@dataclass(frozen=True)
class Costs:
    """What was seen of one choice, and what follows from it. Seconds."""

    settings: Settings
    takeover: tuple[float, float]
    """From the leader's death to the next leader, the shortest and the longest."""
    idle: tuple[float, float]
    """From the closed gate of a leader that is cut off to the next leader, likewise."""
    renewals: float
    """Writes a minute."""


def settings(choice: tuple[float, float, float]) -> Settings:
    """The settings of one choice; the rest is the default."""
    lease, deadline, period = choice
    return Settings(
        name="op", namespace="default", identity="op_1", lease_duration=lease, renew_deadline=deadline,
        retry_period=period,
    )  # fmt: skip


def led(choice: tuple[float, float, float], seed: int) -> World:
    """A world with a leader and a standby."""
    lease, deadline, period = choice
    world = World(seed=seed, lease_duration=lease, renew_deadline=deadline, retry_period=period)
    world.add("a")
    world.wait_for(lambda: world.leaders == ["a"], within=lease)
    world.add("b")
    world.run_for(lease)
    return world


def until_next(world: World) -> float:
    """How long it is until another one leads."""
    lease = world.candidates["b"].settings.lease_duration
    return world.wait_for(lambda: world.leaders == ["b"], within=2 * lease, step=lease / 1000)


def takeover(choice: tuple[float, float, float], share: float) -> float:
    """How long nobody leads when the leader is killed at this point between two renewals."""
    world = led(choice, seed=1)
    world.run_for(share * choice[2])
    world.candidates["a"].crash()
    return until_next(world)


def pause(choice: tuple[float, float, float], share: float) -> float:
    """How long nobody leads when the leader is cut off at this point."""
    world = led(choice, seed=1)
    world.run_for(share * choice[2])
    world.candidates["a"].link.cut()
    world.wait_for(lambda: world.leaders == [], within=choice[0], step=choice[0] / 1000)
    return until_next(world)


def renewals(choice: tuple[float, float, float]) -> float:
    """How many writes a minute a leader sends, over ten minutes."""
    world = led(choice, seed=2)
    sent: list[Send] = []
    world.observers.append(lambda _, what, detail: sent.append(detail) if isinstance(detail, Send) else None)
    world.run_for(600)
    return len(sent) / 10


def costs(choice: tuple[float, float, float]) -> Costs:
    """All of one choice."""
    shares = [number / PHASES for number in range(PHASES)]
    killed, cut = ([case(choice, share) for share in shares] for case in (takeover, pause))
    return Costs(
        settings=settings(choice),
        takeover=(min(killed), max(killed)),
        idle=(min(cut), max(cut)),
        renewals=renewals(choice),
    )


def row(cost: Costs) -> str:
    """One line of the table."""
    one = cost.settings
    ratios = (one.lease_duration / after for after in (one.renew_deadline, one.cancel_after, one.exit_after))
    cells = [
        f"{one.lease_duration:g} / {one.renew_deadline:g} / {one.retry_period:g}",
        "{:.1f} – {:.1f} s".format(*cost.takeover),
        f"{one.renew_deadline:g} s",
        "{:.1f} – {:.1f} s".format(*cost.idle),
        f"{cost.renewals:.1f}",
        f"{attempts(0.01, one)}, {attempts(SLOW, one)}",
        " / ".join(f"{ratio:.2f}" for ratio in ratios),
    ]
    mark = "**" if one.lease_duration == Settings.lease_duration else ""
    return " | ".join([f"{mark}{cells[0]}{mark}", *cells[1:]])


def costs_table() -> str:
    """The table of the page."""
    head = (
        "lease / deadline / period | leader killed: the next one after | cut off: works on for | then nobody for | "
        "writes a minute | attempts to renew | clock rates borne"
    )
    return table(head, [row(costs(choice)) for choice in CHOICES])
