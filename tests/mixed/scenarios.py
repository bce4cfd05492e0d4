"""What befalls a mixed fleet: each scenario once for each kind of candidate that it is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from tests.mixed import races, wire
from tests.mixed.fleet import LEASE, Fleet
from tests.mixed.programs import Kind

OTHERS: tuple[Kind, ...] = ("client-go", "kubernetes", "kubernetes_asyncio")


@dataclass(frozen=True)
class Scenario:
    """What is done (`play`), and what is known of the others.

    ``theirs`` is the reason why they may be at work beside the holder; where it is empty, they must not.
    """

    name: str
    happens: str
    play: Callable[[Fleet], None]
    others: tuple[Kind, ...] = ("client-go",)
    theirs: str = ""
    leases: Sequence[str] = ("fleet",)
    alone: bool = False
    """Whether it needs the API server for itself."""


def released(fleet: Fleet) -> None:
    """client-go releases to ours, and ours to client-go."""
    first = fleet.start("client-go", "x")
    fleet.wait_leader("x")
    ours = fleet.start("ours", "a")
    fleet.wait_standby("a")
    first.stop()
    assert first.wait() == 0, first.tail()
    fleet.wait_leader("a")
    fleet.start("client-go", "y")
    fleet.wait_standby("y")
    ours.stop()
    assert ours.wait() == 0, ours.tail()
    fleet.wait_leader("y")


def killed(kind: Kind, fleet: Fleet) -> None:
    """SIGKILL of theirs, ours takes over; released, it goes to another one of theirs."""
    first = fleet.start(kind, "x")
    fleet.wait_leader("x")
    ours = fleet.start("ours", "a")
    fleet.wait_standby("a")
    first.kill()
    fleet.wait_leader("a")
    fleet.start(kind, "y")
    fleet.wait_standby("y")
    ours.stop()
    assert ours.wait() == 0, ours.tail()
    fleet.wait_leader("y")
    sights = [sight for sight in fleet.sights() if sight.holder]
    taken = [sights[0], *(after for before, after in pairwise(sights) if after.holder != before.holder)]
    counts = [str(sight.spec.get("leaseTransitions", "none")) for sight in taken]
    fleet.notes.append(f"leaseTransitions of {', '.join(sight.holder for sight in taken)}: {', '.join(counts)}")


def ours_killed(kind: Kind, fleet: Fleet) -> None:
    """SIGKILL of ours, theirs takes over."""
    ours = fleet.start("ours", "a")
    fleet.wait_leader("a")
    fleet.start(kind, "x")
    fleet.wait_standby("x")
    ours.kill()
    fleet.wait_leader("x")


def ours_frozen(kind: Kind, fleet: Fleet) -> None:
    """Ours is frozen until theirs has taken over, and wakes."""
    ours = fleet.start("ours", "a")
    fleet.wait_leader("a")
    fleet.start(kind, "x")
    fleet.wait_standby("x")
    ours.freeze()
    fleet.wait_leader("x")
    ours.thaw()
    fleet.wait(lambda: "a" not in fleet.at_work(fleet.leases[0]), "end of the work of ours")
    assert fleet.leader(fleet.leases[0]) == "x"


def frozen(kind: Kind, fleet: Fleet) -> None:
    """Theirs is frozen until ours has taken over, and wakes."""
    first = fleet.start(kind, "x")
    fleet.wait_leader("x")
    fleet.start("ours", "a")
    fleet.wait_standby("a")
    first.freeze()
    fleet.wait_leader("a")
    first.thaw()
    fleet.wait(lambda: "x" not in fleet.at_work(fleet.leases[0]), "end of the work of theirs")
    assert fleet.leader(fleet.leases[0]) == "a"


def restarted(fleet: Fleet) -> None:
    """The API server is killed and started again."""
    _begin_all(fleet)
    fleet.control_plane.restart(hard=True)
    _wait_all_led(fleet)


def gone(fleet: Fleet) -> None:
    """The API server is gone until nobody is at work any more."""
    _begin_all(fleet)
    fleet.control_plane.kill(hard=True)
    fleet.wait(lambda: not any(map(fleet.at_work, fleet.leases)), "end of all work")
    fleet.control_plane.revive()
    _wait_all_led(fleet)


def _begin_all(fleet: Fleet) -> None:
    """Three Leases of theirs with ours standing by, one the other way."""
    for kind, lease in zip(OTHERS, EVERY, strict=False):
        fleet.start(kind, kind, lease=lease)
        fleet.wait_leader(kind, lease=lease)
    fleet.start("ours", "a")
    fleet.wait_leader("a", lease="ours")
    fleet.start("client-go", "x", lease="ours")
    fleet.wait_standby("x")


def _wait_all_led(fleet: Fleet) -> None:
    """Until each Lease was written, and has a leader; who ends by an error is started again."""
    before = {lease: len(fleet.sights(lease)) for lease in fleet.leases}

    def led() -> bool:
        fleet.revive()
        written = all(len(fleet.sights(lease)) > before[lease] for lease in fleet.leases)
        return written and all(fleet.leader(lease) for lease in fleet.leases)

    fleet.wait(led, "leader of each Lease afterwards")
    ended = [kind for kind in OTHERS if fleet.ended(kind)]
    fleet.notes.append(f"ended with an error: {', '.join(ended) or 'nobody'}")
    assert not fleet.ended("a"), "ours goes on"


def deleted(fleet: Fleet) -> None:
    """The Lease is deleted while client-go leads, until ours is the one that creates it anew."""
    fleet.start("client-go", "x")
    fleet.wait_leader("x")
    fleet.start("ours", "a")
    fleet.wait_standby("a")
    tries = 0
    while fleet.read().get("spec", {}).get("holderIdentity", "x").startswith("x"):
        tries += 1
        assert tries <= 5, "client-go was first to create the Lease, five times"
        fleet.delete()
        fleet.wait(fleet.read, "new Lease")
    fleet.notes.append("ours was the first to create it" + (f", at deletion {tries}" if tries > 1 else ""))
    fleet.wait_leader("a")


def ours_deleted(fleet: Fleet) -> None:
    """The Lease is deleted while ours leads."""
    fleet.start("ours", "a")
    fleet.wait_leader("a")
    fleet.start("client-go", "x")
    fleet.wait_standby("x")
    uid = fleet.read()["metadata"]["uid"]
    fleet.delete()
    fleet.wait(lambda: fleet.read().get("metadata", {}).get("uid", uid) != uid, "new Lease")
    fleet.notes.append(f"created anew by {'ours' if fleet.wait_leader('a', 'x') == 'a' else 'client-go'}")


def wiped(fleet: Fleet) -> None:
    """client-go is cut off until ours has taken over; then its release arrives.

    With a request time-out as long as the renew deadline (controller-runtime's before 0.20), the GET of the release is
    still under way then.
    """
    first = fleet.start("client-go", "x", "--request-timeout=4s", proxied=True)
    fleet.wait_leader("x")
    fleet.start("ours", "a")
    fleet.wait_standby("a")
    fleet.proxies["x"].cut()
    fleet.wait(lambda: fleet.read()["spec"]["holderIdentity"].startswith("a_"), "takeover by ours")
    fleet.proxies["x"].heal()
    first.wait()
    fleet.wait_leader("a")
    holders = [sight.holder for sight in fleet.sights()]
    theft = "" in holders[holders.index("a") :]
    fleet.notes.append(
        "R1 happened: client-go emptied the Lease that ours held; ours saw it, ended its term, and began another"
        if theft
        else "R1 did not happen in this run: the release of client-go came too late or not at all"
    )


def late(fleet: Fleet) -> None:
    """Ours is cut off and told to end; what it sent arrives when client-go leads: R1 the other way round."""
    ours = fleet.start("ours", "a", proxied=True)
    fleet.wait_leader("a")
    fleet.start("client-go", "x")
    fleet.wait_standby("x")
    fleet.proxies["a"].cut()
    ours.stop()
    fleet.wait_leader("x")
    taken = len(fleet.sights())
    fleet.proxies["a"].heal()
    fleet.wait(lambda: len(fleet.sights()) >= taken + 2, "renewals by client-go")
    assert {sight.holder for sight in fleet.sights()[taken:]} == {"x"}, "ours has written over client-go's hold"
    fleet.notes.append("client-go's hold stays as it is")


def before_work(fleet: Fleet) -> None:
    """client-go is told to end by its context, as its documentation shows it; its work takes a second to end."""
    first = fleet.start("client-go", "x", "--work-first=false", "--wind-down=1s")
    fleet.wait_leader("x")
    fleet.start("ours", "a")
    fleet.wait_standby("a")
    first.stop()
    fleet.wait_leader("a")
    first.wait()


def unequal(kind: Kind, fleet: Fleet) -> None:
    """Theirs has a lease duration of 3 s; ours, of 6 s, is cut off."""
    fleet.start("ours", "a", proxied=True)
    fleet.wait_leader("a")
    fleet.start(kind, "x", durations=(3, 2, 1))
    fleet.wait_standby("x")
    fleet.proxies["a"].cut()
    fleet.wait_leader("x")
    fleet.wait(lambda: "a" not in fleet.at_work(fleet.leases[0]), "end of the work of ours")


R3 = (
    "After it wakes, each of its reads shows another holder, and its work goes on until the renew deadline has passed "
    "once more (R3)."
)
OWN_DURATION = "It waits for its own lease duration, not for the one that the Lease says, and takes what is not free."
EXCEPTION = (
    "Both Python libraries let an exception of the connection out of `run()`, without their callback, and have no "
    "time-out of a request: the work goes on beyond the lease, or without end where the process does not end with it."
)
EVERY = ("of-client-go", "of-kubernetes", "of-kubernetes-asyncio", "ours")


def _of(kind: Kind) -> tuple[Scenario, ...]:
    """The scenarios that are played with each kind."""
    rows = [
        Scenario(f"killed-{kind}", f"SIGKILL of {kind}; later SIGTERM of ours", partial(killed, kind)),
        Scenario(f"ours-killed-{kind}", f"SIGKILL of ours; {kind} stands by", partial(ours_killed, kind)),
        Scenario(f"ours-frozen-{kind}", f"ours is frozen until {kind} leads, and wakes", partial(ours_frozen, kind)),
        Scenario(f"frozen-{kind}", f"{kind} is frozen until ours leads, and wakes", partial(frozen, kind), theirs=R3),
        Scenario(
            f"unequal-{kind}",
            f"{kind} has a lease duration of half of ours; ours is cut off",
            partial(unequal, kind),
            theirs="" if kind == "client-go" else OWN_DURATION,
        ),
    ]
    return tuple(replace(row, others=(kind,)) for row in rows)


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("released", "client-go is told to end (SIGTERM, work first), then ours", released),
    *_of("client-go"),
    Scenario(
        "expiry-races",
        f"six Leases expire at once, {LEASE} s after their holder's last sign of life; two of ours and two of "
        "client-go, which poll quickly, stand by",
        races.play,
        leases=races.LEASES,
    ),
    Scenario(
        "deleted",
        "the Lease is deleted while client-go leads",
        deleted,
        theirs="Who led does not notice, and goes on until its renew deadline when another one has created it (R7); "
        "ours has waited for that (L11).",
    ),
    Scenario(
        "ours-deleted",
        "the Lease is deleted while ours leads",
        ours_deleted,
        theirs="Where client-go is the first to create the Lease, it starts at once (R7).",
    ),
    Scenario(
        "wiped",
        "client-go is cut off until ours leads; its release arrives then",
        wiped,
        theirs="Cut off, it tries to release before it ends its work (R2); the release reads the Lease anew, and "
        "empties it whoever holds it now (R1).",
    ),
    Scenario("late", "ours is cut off and told to end; what it has sent arrives when client-go leads", late),
    Scenario(
        "before-work",
        "client-go is told to end by its context, and its work needs a second",
        before_work,
        theirs="ReleaseOnCancel releases before the work has ended (R5); controller-runtime ends the work first.",
    ),
    Scenario("wire", "each reads what the other has written: led, released, taken", wire.play),
    *_of("kubernetes"),
    *_of("kubernetes_asyncio"),
    Scenario(
        "restarted",
        "SIGKILL and start of the API server; who ends is started again",
        restarted,
        others=OTHERS,
        theirs=EXCEPTION,
        leases=EVERY,
        alone=True,
    ),
    Scenario(
        "gone",
        "the API server is gone until nobody is at work any more; who ends is started again",
        gone,
        others=OTHERS,
        theirs=EXCEPTION,
        leases=EVERY,
        alone=True,
    ),
)
