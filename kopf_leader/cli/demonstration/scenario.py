"""What happens when: one leader after another leaves, dies or is cut off, while widgets are created all along."""

import asyncio
from collections.abc import Callable

from kopf_leader.cli.demonstration import widgets
from kopf_leader.cli.demonstration.api import Answer
from kopf_leader.cli.demonstration.background import meanwhile
from kopf_leader.cli.demonstration.cluster import Cluster
from kopf_leader.cli.demonstration.plan import Broken
from kopf_leader.cli.demonstration.replicas import Member, Team
from kopf_leader.cli.demonstration.story import CUT, KILL, LAST, SECOND, TERM, Act, Fault, Story
from kopf_leader.cli.demonstration.watching import Run, Watching
from kopf_leader.testing import facts

PATIENCE = 30.0  # seconds for what should take a moment, on a busy machine
REST = 2.5  # seconds between two faults, to look at the picture
GLANCE = 0.03  # seconds between two looks at what is waited for
TENDED = 2  # widgets that are looked after for ever
ACTS = 6
NUMBERS = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}


class Scenario:
    """One run of the demo; `play()` is the way from the first act to the last."""

    def __init__(self, story: Story, ground: Cluster, team: Team, watching: Watching) -> None:
        self.story = story
        self.ground = ground
        self.team = team
        self.watching = watching
        story.acts = ACTS

    async def play(self) -> None:
        """All acts. Raises `Broken` when one cannot come to its end."""
        async with meanwhile(self._create()):
            await self._start()
            await self._terminate()
            await self._kill()
            await self._leave_to(await self._cut_off())
        await self._end()

    # The acts

    async def _start(self) -> None:
        plan = self.story.plan
        title = f"{NUMBERS[plan.replicas]} replicas of one operator start"
        self._begin(title, "One of them gets the Lease and handles, the others stand by.")
        for name in plan.names:
            self.team.start(name)
        leader = await self._leader()
        await self._until(lambda: all(map(connected, self.team)), "all replicas to reach the API server")
        self._say(f"{leader.name} leads (pid {leader.pid}), the others stand by.")
        await asyncio.sleep(REST)

    async def _terminate(self) -> None:
        self._begin(
            "SIGTERM to the leader",
            "It finishes its handlers, releases the Lease and exits. The next one sees it at once.",
        )
        leader = await self._leader()
        fault = self._fault(TERM, "TERM", leader)
        self.team.ask_to_leave(leader)
        await self._taken_over(fault)
        await self._restart(leader)

    async def _kill(self) -> None:
        duration = self.story.plan.lease_duration
        self._begin(
            "SIGKILL to the leader",
            f"The Lease still names it. It is waited for until it was silent for {duration:g} s.",
        )
        leader = await self._leader()
        fault = self._fault(KILL, "KILL", leader)
        await self.team.kill(leader)
        await self._taken_over(fault)
        await self._restart(leader)

    async def _cut_off(self) -> Member:
        plan = self.story.plan
        self._begin(
            "The leader is cut off from the API server",
            f"Its connections fall silent. {plan.renew_deadline:g} s after its last renewal it stops handling, "
            f"{plan.lease_duration:g} s after it the next one may begin.",
        )
        leader = await self._leader()
        fault = self._fault(CUT, "CUT", leader)
        await self.team.cut(leader)
        await self._taken_over(fault)
        await asyncio.sleep(REST / 2)
        self.story.mark("BACK")
        await self.team.reconnect(leader)
        self._say(f"{leader.name} is connected again.")
        await asyncio.sleep(REST * 1.2)
        self.team.check()
        if not any(run.pid == leader.pid for run in self.watching.notes.after(facts.now() - SECOND)):
            self._say(f"{leader.name} stands by, in the same process (pid {leader.pid}).")
        return leader

    async def _leave_to(self, last: Member) -> None:
        self._begin(
            f"SIGTERM to all but {last.name}, which had been cut off", "It leads again, in the process that once lost."
        )
        leader = await self._leader()
        others = [member for member in self.team if member.alive and member not in (last, leader)]
        for member in others:
            self.team.ask_to_leave(member)
        await self._until(lambda: not any(member.alive for member in others), "the standbys to leave")
        fault = self._fault(LAST, "LAST", leader)
        self.team.ask_to_leave(leader)
        await self._taken_over(fault)
        await asyncio.sleep(REST / 2)

    async def _end(self) -> None:
        self._begin("The end", "No more objects; what is waiting is handled, the last one releases and leaves.")
        try:
            await self._until(lambda: self.watching.made == len(self.watching.widgets), "all objects to be handled")
        except Broken as broken:
            self._say(str(broken))  # the summary counts what is lost
        for member in self.team:
            if member.alive:
                self.team.ask_to_leave(member)
        await self._until(lambda: not any(member.alive for member in self.team), "the last replica to leave")
        await self._until(lambda: not self.watching.holder, "the last leader to release the Lease")

    # What they are made of

    async def _create(self) -> None:
        """A steady trickle of widgets."""
        path, period = widgets.path(self.ground.namespace), 1 / self.story.plan.rate
        number, clock = 0, asyncio.get_running_loop().time
        due = clock()
        while True:
            try:
                await self.ground.api.request("POST", path, widgets.widget(number, tended=number < TENDED))
            except (Answer, OSError) as error:
                # 409: an earlier attempt had arrived. What exists is counted in the end from the API server.
                if not isinstance(error, Answer) or error.status != 409:
                    self._say(f"A widget could not be created, it is tried again: {error}")
                    await asyncio.sleep(period)
                    continue
            number += 1
            due = max(due + period, clock() - 1.0)
            await asyncio.sleep(due - clock())

    async def _leader(self) -> Member:
        """Who holds the Lease and is at work."""
        await self._until(lambda: self._working() is not None, "a replica to lead")
        member = self._working()
        if member is None:
            raise Broken("Nobody leads.")
        return member

    def _working(self) -> Member | None:
        member = self.team.named(self.watching.holder)
        if member is None or not member.alive or member.identity != self.watching.holder:
            return None
        return member if any(run.pid == member.pid for run in self.watching.notes.running(member.name)) else None

    def _fault(self, how: str, label: str, leader: Member) -> Fault:
        at = self.story.mark(label)
        self.team.mark(f"{how} {leader.name} {leader.pid}")
        fault = Fault(how=how, replica=leader.name, pid=leader.pid, at=at)
        self.story.faults.append(fault)
        return fault

    async def _taken_over(self, fault: Fault) -> None:
        """Wait for the next leader's first handler."""

        def first() -> Run | None:
            return self.watching.notes.first_after(fault.at, but=fault.pid)

        what = f"another replica to take over from {fault.replica} ({fault.how})"
        await self._until(lambda: first() is not None, what, extra=self.story.plan.lease_duration)
        run = first()
        if run is not None:
            self._say(f"{run.replica} leads: its first handler began {(run.start - fault.at) / SECOND:.2f} s later.")
            ended = self.watching.notes.last_end(fault.pid, before=run.start)
            if fault.how == CUT and ended is not None:
                self._say(f"{fault.replica}'s last one had ended {(run.start - ended) / SECOND:.2f} s before that.")

    async def _restart(self, member: Member) -> None:
        await self._until(lambda: not member.alive, f"{member.name} to end")
        self.team.check()
        self.team.start(member.name)
        await self._until(lambda: connected(member), f"{member.name} to reach the API server")
        self._say(f"{member.name} is started again (pid {member.pid}), as a standby.")
        await asyncio.sleep(REST)

    async def _until(self, condition: Callable[[], bool], what: str, *, extra: float = 0.0) -> None:
        """Wait; raises `Broken` when it takes too long, or when a replica ends meanwhile that should not."""
        try:
            async with asyncio.timeout(PATIENCE + extra):
                while not condition():
                    self.team.check()
                    await asyncio.sleep(GLANCE)
        except TimeoutError:
            raise Broken(f"It took more than {PATIENCE + extra:g} s for {what}.") from None

    def _begin(self, title: str, text: str) -> None:
        self.story.begin(Act(title=title, text=text))

    def _say(self, text: str) -> None:
        self.story.say(text)


def connected(member: Member) -> bool:
    """Whether this life of it has reached the API server."""
    return member.proxy.accepted > member.accepted_before and member.proxy.open > 0
