"""Processes: killed, told to end in every phase, frozen, stepped clocks, full disks, two operators in one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from kopf_leader.testing.processes import Replica
from tests.e2e.stage import LEASE, ROOT
from tests.matrix.front import Rule, Withheld
from tests.matrix.scene import Scene, pause

STARTUP = Path(__file__).parents[1] / "startup"
HOUR = 3600
OFFSET = "KOPF_LEADER_CLOCK_OFFSET"


def ends_in_order(replica: Replica) -> None:
    """SIGTERM, and status 0."""
    replica.stop()
    status = replica.wait()
    assert status == 0, f"{replica.name} ended with {status}\n{replica.tail()}"


def ends_hard(scene: Scene, replica: Replica) -> None:
    """It ends by itself, with an error status, and the Lease is not released."""
    assert replica.wait() != 0
    assert scene.holder() == replica.name


def crash(scene: Scene) -> None:
    leader = scene.leader()
    leader.kill()
    scene.leader(other_than=leader)


def crash_of_a_standby(scene: Scene) -> None:
    leader = scene.leader()
    scene.standby(leader).kill()
    pause(LEASE)
    assert scene.leader() is leader


# SIGTERM, phase by phase


def sigterm_unknown(scene: Scene) -> None:
    """The first read is not answered yet."""
    scene.rule_from_start("c", Rule(Withheld(), ("get",)))
    scene.start("c")
    scene.wait_for_hits("c")
    ends_in_order(scene.replicas["c"])


def sigterm_standby(scene: Scene) -> None:
    leader = scene.leader()
    ends_in_order(scene.standby(leader))
    assert scene.leader() is leader


def sigterm_acquiring(scene: Scene) -> None:
    """The acquiring write lands, its reply does not come: whoever leaves gives back what it may have got (L15)."""
    leader = scene.leader()
    standby = scene.standby(leader)
    scene.rule(Rule(Withheld(), ("update",)), on=standby.name)
    leader.kill()
    scene.wait_for_hits(standby.name)
    standby.stop()
    scene.start("c")
    scene.rule()
    assert standby.wait() == 0
    scene.leader(other_than=standby)


def sigterm_holding(scene: Scene) -> None:
    """It has created the Lease and waits out whoever held the one before (L11): the hold is left to run out."""
    leader = scene.leader()
    standby = scene.standby(leader)
    leader.kill()
    scene.control_plane.admin.delete(scene.lease_path)
    scene.wait_for_log(standby, "Created the Lease")
    ends_in_order(standby)
    assert scene.holder() == standby.name
    scene.start("c")
    scene.wait_for_work(scene.replicas["c"])


def sigterm_leading(scene: Scene) -> None:
    leader = scene.leader()
    ends_in_order(leader)
    scene.leader(other_than=leader)


def sigterm_leading_long(scene: Scene) -> None:
    """Its handlers take longer than the drain time-out: they are cancelled, then the Lease is released."""
    leader = scene.leader()
    scene.long_work(leader, seconds=120)
    ends_in_order(leader)
    scene.leader(other_than=leader)


def sigterm_thread(scene: Scene) -> None:
    leader = scene.leader()
    scene.long_work(leader, thread=120)
    leader.stop()
    ends_hard(scene, leader)
    scene.leader(other_than=leader)


def sigterm_closing(scene: Scene) -> None:
    """It is cut off and has just closed its gate, handlers still run."""
    leader = scene.leader()
    scene.long_work(leader, seconds=120)
    scene.proxy(leader).cut()
    scene.wait_for_log(leader, "Stops leading")
    leader.stop()
    second = scene.leader(other_than=leader)
    scene.proxy(leader).heal()
    leader.wait()
    assert scene.leader() is second


def sigterm_releasing(scene: Scene) -> None:
    """The release lands, its reply never comes (L14): the process ends all the same."""
    leader = scene.leader()
    scene.rule(Rule(Withheld(), ("update",), when=lambda asked: asked.releases), on=leader.name)
    leader.stop()
    scene.wait_for_hits(leader.name)
    scene.leader(other_than=leader)
    leader.wait()


def sigterm_twice(scene: Scene) -> None:
    leader = scene.leader()
    scene.long_work(leader, thread=120)
    leader.stop()
    scene.wait_for_log(leader, "SIGTERM")
    leader.stop()
    ends_hard(scene, leader)
    scene.leader(other_than=leader)


# Frozen


def frozen(lasting: float, /, **work: float) -> Callable[[Scene], None]:
    """SIGSTOP, for so long, then SIGCONT, with something long at work."""

    def inject(scene: Scene) -> None:
        leader = scene.leader()
        scene.long_work(leader, **work)
        leader.freeze()
        pause(lasting)
        if lasting > LEASE:
            scene.leader(other_than=leader)
        leader.thaw()

    return inject


def frozen_standby(scene: Scene) -> None:
    leader = scene.leader()
    standby = scene.standby(leader)
    standby.freeze()
    pause(2 * LEASE)
    standby.thaw()
    pause(2)
    assert scene.leader() is leader


# Clocks and disks


def shifted_clocks(scene: Scene) -> None:
    """Each replica reads how far its wall clock is off from a file of its own (see ``startup/sitecustomize.py``)."""
    scene.environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(STARTUP)])
    scene.environment[OFFSET] = str(scene.folder / "offset")


def stepped(seconds: float) -> Callable[[Scene], str]:
    """The wall clock of the leader alone jumps while it leads; then the Lease goes to the other and back."""

    def inject(scene: Scene) -> str:
        leader = scene.leader()
        (scene.folder / f"offset.{leader.pid}").write_text(str(seconds))
        pause(LEASE + 1)
        assert scene.leader() is leader
        recorded = (scene.read_lease() or {})["spec"]["renewTime"]
        standby = scene.standby(leader)
        ends_in_order(leader)
        scene.leader(other_than=leader)
        (scene.folder / f"offset.{standby.pid}").write_text(str(-seconds))
        pause(LEASE)
        assert scene.leader() is standby
        return f"renewTime in the Lease was {recorded} while it was off"

    return inject


def full_disk(scene: Scene) -> None:
    """Every write to the log fails with ENOSPC, from the start."""
    scene.replicas.command[:] = ["sh", "-c", 'exec "$@" > /dev/full 2>&1', "sh", *scene.replicas.command]


def handed_over_and_killed(scene: Scene) -> str:
    """SIGTERM, then SIGKILL, then cut off with a stuck thread: it must end though it cannot say why."""
    leader = scene.leader()
    ends_in_order(leader)
    second = scene.leader(other_than=leader)
    scene.start("c")
    scene.standby(second)
    second.kill()
    third = scene.leader(other_than=second)
    scene.start("d")
    scene.long_work(third, thread=120)
    scene.proxy(third).cut()
    ends_hard(scene, third)
    scene.leader(other_than=third)
    return "there are no logs in which ERROR lines could stand"


# Two in one process


def second_operator(scene: Scene) -> str:
    """A handler of the leader's process starts a second operator in it."""
    scene.start("c", arguments=[str(STARTUP / "second_operator.py")])
    third = scene.replicas["c"]
    scene.wait_for_log(third, "A second operator is started in this process")
    for one in [one for one in scene.replicas if one is not third]:
        ends_in_order(one)
    scene.wait_for_work(third)
    return "the second operator is refused in a sentence, the first one goes on and leads"
