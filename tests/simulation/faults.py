"""The nemesis: a list of named faults with a purpose each. Most undo themselves after a time drawn from the seed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kopf_leader.testing.link import Fate, Work
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.play import Play

Fault = Callable[["Play", Process], None]


def timeout(one: Process) -> float:
    """The time-out of one request, in true seconds of this process."""
    return one.settings.attempt_timeout / one.rate


# The way to the server


def cut_off(play: "Play", one: Process) -> None:
    """Half-open: nothing passes and nobody is told; who leads must stop by its clock alone."""
    one.line.cut()
    play.later(one.heal)


def cut_all(play: "Play", one: Process) -> None:
    """The API server is out of everybody's reach; nobody may take that for the death of the leader."""
    for each in play.world.processes.values():
        each.line.cut()
        play.later(each.heal, within=play.lease_duration / 2)


def refused(play: "Play", one: Process) -> None:
    """Connections are refused or reset at once, watches break: try again, without hammering."""
    one.line.refuse = one.line.broken = True
    if one.life is not None:
        one.life.client.break_watch()
    play.later(one.heal)


def slow_reply_then_cut(play: "Play", one: Process) -> None:
    """Counting from the reply would count too long (L6)."""
    slow = timeout(one) * play.rng.uniform(0.3, 0.99)
    one.line.fates.append(Fate(reply=slow))
    line = one.line
    play.world.loop.after(one.settings.retry_period / one.rate + slow, line.cut)
    play.later(one.heal)


def late_delivery(play: "Play", one: Process) -> None:
    """Writes that were given up long ago land in another order (L4)."""
    one.line.hold = True
    client, line = one.life and one.life.client, one.line

    def release() -> None:
        line.hold = False
        if client is not None:
            play.rng.shuffle(client.held)
            client.deliver()

    play.later(release, within=play.lease_duration * 2.5)


def lose_replies(play: "Play", one: Process) -> None:
    """What was done is not told: any sight of it confirms it (L4)."""
    one.line.lose_replies = True
    play.later(one.heal)


def lose_requests(play: "Play", one: Process) -> None:
    """What was sent never arrives, while the watch goes on telling: it is no sign of life of one's own writes."""
    one.line.lose_requests = True
    play.later(one.heal)


def lose_some(play: "Play", one: Process) -> None:
    """Single writes get lost on the way there or back, or arrive after their time-out."""
    slow = timeout(one) * 1.2
    for _ in range(play.rng.randint(1, 3)):
        one.line.fates.append(
            play.rng.choice([Fate(request=None), Fate(reply=None), Fate(request=slow), Fate(reply=slow)])
        )


def slow(play: "Play", one: Process) -> None:
    """Everything takes nearly as long as the time-out allows, or longer."""
    one.line.request = timeout(one) * play.rng.uniform(0.05, 1.2)
    play.later(one.heal)


def doubled(play: "Play", one: Process) -> None:
    """A proxy repeats writes: the first copy lands, the second one's 409 is the answer (L4)."""
    one.line.doubled = True
    play.later(one.heal)


def garbage(play: "Play", one: Process) -> None:
    """What was done is answered with nonsense: unknown, not refused (L4)."""
    one.line.garbage = True
    play.later(one.heal)


# The watch


def slow_watch(play: "Play", one: Process) -> None:
    """Old news: a version seen late restarts no timer wrongly (L6, L16)."""
    one.line.event = play.rng.random() * play.lease_duration * 1.3
    play.later(one.heal)


def quiet_watch(play: "Play", one: Process) -> None:
    """No news, then all of it at once."""
    one.line.quiet = True
    play.later(one.heal)


def deaf_watch(play: "Play", one: Process) -> None:
    """No news for good, and no error: found out at expiry by a 409 (L16)."""
    if one.life is not None:
        one.life.client.deafen()


def broken_watch(play: "Play", one: Process) -> None:
    """No watch can be held open: only polling is left (L17)."""
    one.line.broken = True
    if one.life is not None:
        one.life.client.break_watch()
    play.later(one.heal)


def swapped_watch(play: "Play", one: Process) -> None:
    """Events arrive out of order, a deletion among them (L16)."""
    one.line.swapped = True
    one.line.event = play.rng.random() * play.lease_duration / 3
    play.later(one.heal)


def ended_watches(play: "Play", one: Process) -> None:
    """Every watch is ended in order, as API servers do every few minutes."""
    play.world.server.close_watches()


def compacted(play: "Play", one: Process) -> None:
    """Watches end and their versions are too old: 410, read again (L17)."""
    play.world.server.close_watches()
    play.world.server.compact()


# The server


def conflicts(play: "Play", one: Process) -> None:
    """A storm of 409s for writes that nobody has made obsolete."""
    one.line.status = 409
    play.later(one.heal)


def throttled(play: "Play", one: Process) -> None:
    """429 with Retry-After: left alone for that long (L17)."""
    one.line.status, one.line.retry_after = 429, play.rng.uniform(0, play.lease_duration / 3)
    play.later(one.heal)


def broken_server(play: "Play", one: Process) -> None:
    """500 to everything: unknown (L4)."""
    one.line.status = play.rng.choice([500, 503, 504])
    play.later(one.heal)


def expired_token(play: "Play", one: Process) -> None:
    """401, and a log-in that takes its time gives new credentials: nothing is lost (L17)."""
    one.line.login = play.rng.choice([0.01, timeout(one) / 2])
    if one.life is not None:
        play.world.server.embedded.revoke_token(one.life.client.token)
    play.later(one.heal)


def no_login(play: "Play", one: Process) -> None:
    """401, and no new credentials: the term ends soon, not at the renew deadline (L8)."""
    one.line.login_fails = True
    expired_token(play, one)


def forbidden(play: "Play", one: Process) -> None:
    """403 for some verbs, for everybody: the term ends, and comes back with the right (L8)."""
    play.world.server.forbid(*play.rng.sample(["get", "watch", "update", "create"], play.rng.randint(1, 4)))
    play.later(play.world.server.forbid)


def server_restart(play: "Play", one: Process) -> None:
    """The API server is away for a while; watches break, requests are refused."""
    play.stop_server()
    play.later(play.start_server)


def older_database(play: "Play", one: Process) -> None:
    """The server comes back with its database restored from a backup: versions lie behind what everybody has seen.

    It is away for a lease_duration at least (etcd asks for all API servers to be stopped). Sooner, the renewals that a
    leader counts on would be undone under it: `test_limits.py`.
    """
    taken = play.backup()
    if taken is not None:
        play.stop_server()
        play.world.loop.after(play.lease_duration / play.slowest, lambda: play.later(lambda: play.restore(taken)))


# The Lease


def delete(play: "Play", one: Process) -> None:
    """Kubectl delete: whoever leads stops at once (L8), creating starts nothing (L11)."""
    play.world.server.delete()


def delete_unseen(play: "Play", one: Process) -> None:
    """Deleted while its holder sees nothing."""
    cut_off(play, one)
    play.world.server.delete()


def delete_deaf(play: "Play", one: Process) -> None:
    """Deleted; its holder learns of it by its next renewal only, and its POST is slow."""
    deaf_watch(play, one)
    play.world.server.delete()
    one.line.fates.append(Fate())
    one.line.fates.append(Fate(request=timeout(one) * play.rng.random() * 2))


def stolen(play: "Play", one: Process) -> None:
    """Edited to a stranger's name: the term ends at once (L8), the stranger is waited for (L6)."""
    play.rename("stranger")


def clash_by_edit(play: "Play", one: Process) -> None:
    """Edited to a candidate's own name: not its write, so not its hold (L10)."""
    play.rename(play.rng.choice([life.settings.identity for life in play.world.lives]))


def emptied(play: "Play", one: Process) -> None:
    """The holder's name is taken out, in no form of a release: waited out (L14)."""
    play.rename("")


def clash(play: "Play", one: Process) -> None:
    """Another process with the same identity: only one's own writes count, not the name (L10)."""
    others = [life for life in play.world.lives if life.process is not one]
    if others:
        one.borrowed = play.rng.choice(others).settings.identity
        one.restart()
        one.borrowed = ""


def other_duration(play: "Play", one: Process) -> None:
    """Edited to a shorter duration, or none: one's own is waited for all the same (L6)."""
    if play.world.server.spec.get("holderIdentity"):
        play.world.server.edit(leaseDurationSeconds=play.rng.choice([None, 1, 2, int(play.lease_duration)]))


def labelled(play: "Play", one: Process) -> None:
    """Kubectl label: the version moves, the record does not."""
    play.world.server.label(str(play.rng.random())[2:8])


def old_content(play: "Play", one: Process) -> None:
    """Some earlier content is applied again, as a new Lease where there is none."""
    named = [spec for spec in play.world.checker.specs if spec["holderIdentity"]]
    server = play.world.server
    if named and (server.lease is None or server.spec.get("holderIdentity")):
        server.apply(play.rng.choice(named))


def whole_manifest(play: "Play", one: Process) -> None:
    """An earlier Lease is put back with its annotations, the newest or any, or two in a row: no trace of its holder."""
    bodies = [body for body in play.world.checker.bodies if body["spec"]["holderIdentity"]]
    server = play.world.server
    if bodies and (server.lease is None or server.spec.get("holderIdentity")):
        first = play.rng.choice([len(bodies) - 1, play.rng.randrange(len(bodies))])
        for body in bodies[first : first + play.rng.choice([1, 1, 2])]:
            server.apply(body["spec"], annotations=dict(body["metadata"].get("annotations") or {}))


# The processes


def crash(play: "Play", one: Process) -> None:
    """Kill -9."""
    one.crash()
    play.later(one.start)


def restart(play: "Play", one: Process) -> None:
    """Kill -9, and a new process at once."""
    one.restart()


def die(play: "Play", one: Process) -> None:
    """Kill -9, and nothing comes in its place before the quiet."""
    one.crash()


def die_all(play: "Play", one: Process) -> None:
    """All pods die; who comes in their place has seen nothing, and one of them comes at once."""
    for each in play.world.processes.values():
        each.crash()
        play.later(each.start, within=play.lease_duration / 2)
    one.start()


def evict(play: "Play", one: Process) -> None:
    """SIGTERM, and SIGKILL before it is done, or after."""
    one.resign(leave=True)
    play.later(_the_end(play, one), within=play.lease_duration / 2)


def die_on_the_way(play: "Play", one: Process) -> None:
    """It dies while its writes are on the wire: they land, or their news comes, when its death is known."""
    late_delivery(play, one)
    play.later(_the_end(play, one), within=timeout(one))


def _the_end(play: "Play", one: Process) -> Callable[[], None]:
    """Kill -9 of this very process, and another one in its place at once; not in the quiet."""
    life, struck_at = one.life, play.struck_at

    def happen() -> None:
        if one.life is life and play.struck_at == struck_at and not play.calm:
            one.restart()

    return happen


def freeze(play: "Play", one: Process) -> None:
    """SIGSTOP, and SIGCONT after anything between a blink and two leases: shorter and longer than each deadline."""
    one.freeze()
    play.later(one.thaw, within=play.rng.choice([0.1, 0.7, 1.0, 2.0]) * play.lease_duration)


def suspend(play: "Play", one: Process) -> None:
    """The machine sleeps: the clock of timers stands still, the clock that decides does not (L5)."""
    one.freeze(suspend=True)
    play.later(one.thaw, within=play.rng.choice([0.7, 2.0]) * play.lease_duration)


def resign(play: "Play", one: Process) -> None:
    """Asked to step down: it stands back for a while (L20)."""
    one.resign(leave=False)


def leave(play: "Play", one: Process) -> None:
    """SIGTERM: close, drain, release (L12)."""
    one.resign(leave=True)


def stuck(play: "Play", one: Process) -> None:
    """A handler that never ends and does not obey (where it may): no release, the process exits (L12)."""
    one.work = Work(finish=1e6, obey=0.0 if play.profile == "obedient" else float("inf"))


def other_work(play: "Play", one: Process) -> None:
    """Other handlers."""
    one.work = play.work()


def wall_jump(play: "Play", one: Process) -> None:
    """The wall clock is set; nothing may depend on it (L5), and renewTime grows all the same (L2)."""
    if one.life is not None:
        one.life.clock.set_wall(play.rng.uniform(-3600, 3600))


WAY = [
    cut_off, cut_off, cut_all, refused, slow_reply_then_cut, slow_reply_then_cut, late_delivery, late_delivery,
    lose_replies, lose_requests, lose_some, lose_some, slow, doubled, garbage,
]  # fmt: skip
WATCH = [slow_watch, quiet_watch, deaf_watch, broken_watch, swapped_watch, ended_watches, compacted]
SERVER = [
    conflicts, throttled, broken_server, expired_token, no_login, forbidden, server_restart, older_database,
]  # fmt: skip
LEASE = [
    delete, delete, delete_unseen, delete_deaf, stolen, clash_by_edit, emptied, clash, other_duration, labelled,
    old_content,
]  # fmt: skip
PROCESSES = [crash, restart, freeze, freeze, suspend, resign, leave, stuck, other_work, wall_jump]
FAULTS: list[Fault] = [*WAY, *WATCH, *SERVER, *LEASE, *PROCESSES]
DEATHS: list[Fault] = [die, die_all, restart, restart, evict, die_on_the_way]
DYING: list[Fault] = [*FAULTS, *DEATHS, *DEATHS, whole_manifest, whole_manifest]
"""Where deaths are told of (`takeover="evidence"`)."""
COPIED: list[Fault] = [
    *DEATHS, whole_manifest, whole_manifest, whole_manifest, old_content, cut_off, cut_off, quiet_watch, deaf_watch,
    broken_watch, late_delivery, lose_some, delete, compacted, labelled,
]  # fmt: skip
"""Those of them alone that have to do with who came after the dead."""
