"""One run of the demo from its first line to its exit status, and everything gone behind it, however it ended."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from kopf_leader.cli.demonstration import cluster, picture
from kopf_leader.cli.demonstration.api import Answer
from kopf_leader.cli.demonstration.background import meanwhile
from kopf_leader.cli.demonstration.plan import LEASE, Broken, Plan
from kopf_leader.cli.demonstration.replicas import HANDLERS, Team
from kopf_leader.cli.demonstration.report import report
from kopf_leader.cli.demonstration.scenario import NUMBERS, Scenario
from kopf_leader.cli.demonstration.story import Story
from kopf_leader.cli.demonstration.summary import Summary, count
from kopf_leader.cli.demonstration.watching import Watching
from kopf_leader.cli.demonstration.widgets import Widget
from kopf_leader.testing.facts import History

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818 (what happened)
    """A signal ended the demo; `status` is the exit status that says so."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.status = 128 + number


def perform(plan: Plan, console: Console) -> int:
    """Run it; the exit status. Raises `Refused` when it cannot start, `Interrupted` after a signal."""
    return asyncio.run(_perform(plan, console))


async def _perform(plan: Plan, console: Console) -> int:
    with _interruptible() as interruption:
        try:
            with _folder() as folder:
                return await _Performance(plan, console, folder).run()
        except asyncio.CancelledError:
            if interruption:
                raise Interrupted(interruption[0]) from None
            raise


class _Performance:
    def __init__(self, plan: Plan, console: Console, folder: Path) -> None:
        self._plan = plan
        self._console = console
        self._folder = folder
        self._pictured = not plan.plain and not plan.verbose and _drawable(console)
        self._story = Story(plan=plan, tell=self._tell)
        self._hidden = False

    async def run(self) -> int:
        async with cluster.opened(self._plan, self._folder, self._say) as ground:
            self._introduce(ground.title, ground.namespace)
            with Team(self._plan, self._folder, ground) as team:
                watching = Watching(ground.api, namespace=ground.namespace, lease=LEASE, notebook=team.notebook)
                scenario = Scenario(self._story, ground, team, watching)
                try:
                    broken, widgets = await self._play(scenario)
                    await asyncio.to_thread(team.put_down)
                    history = History.read(team.notebook)
                    summary = count(
                        history,
                        widgets,
                        faults=self._story.faults,
                        holdings=watching.holdings,
                        broken=broken,
                        finished=not broken,
                    )
                    self._conclude(summary, scenario)
                finally:
                    self._keep(team)
        return summary.status

    async def _play(self, scenario: Scenario) -> tuple[list[str], list[Widget]]:
        """Play it with everything that goes on beside; what broke, and the widgets as they are in the end."""
        broken: list[str] = []
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(meanwhile(scenario.watching.follow()))
            if self._pictured:
                self._hidden = True
                stack.callback(setattr, self, "_hidden", False)
                await stack.enter_async_context(meanwhile(picture.show(self._console, scenario)))
            elif self._plan.verbose:
                await stack.enter_async_context(meanwhile(scenario.team.follow_logs(self._say)))
            try:
                await scenario.play()
            except Broken as error:
                broken.append(str(error))
            try:
                widgets = await scenario.watching.list()
            except (Answer, OSError) as error:
                broken.append(f"The objects could not be counted: {error}")
                widgets = [*scenario.watching.widgets.values()]
        return broken, widgets

    def _introduce(self, title: str, namespace: str) -> None:
        plan = self._plan
        self._say(
            f"{NUMBERS[plan.replicas]} replicas of an ordinary kopf operator ({HANDLERS.name}), each of them\n"
            f"  kopf-leader run --enable-leader-election --leader-election-id={LEASE} … {HANDLERS.name}\n"
            f"on {title}, namespace {namespace}.\n"
            f"Lease duration {plan.lease_duration:g} s, renew deadline {plan.renew_deadline:g} s, "
            f"retry period {plan.retry_period:g} s; {plan.rate:g} objects are created per second.\n"
        )

    def _conclude(self, summary: Summary, scenario: Scenario) -> None:
        if self._pictured:
            self._console.print(picture.last(scenario, self._console.width))
        self._console.print()
        self._console.print(report(summary, self._story.seconds))
        if summary.broken:
            self._say(f"\nThe ends of the replicas' logs:\n{scenario.team.tails()}")

    def _keep(self, team: Team) -> None:
        if self._plan.keep_logs is None:
            return
        self._plan.keep_logs.mkdir(parents=True, exist_ok=True)
        for path in (*team.logs, team.notebook):
            if path.exists():
                shutil.copy(path, self._plan.keep_logs)
        self._say(f"The replicas' logs and what the handlers wrote are kept in {self._plan.keep_logs}.")

    def _tell(self, text: str) -> None:
        if not self._hidden:
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=not self._console.file.isatty())


def _drawable(console: Console) -> bool:
    """Whether a picture can be drawn there: colours may be forced onto a file, a cursor cannot."""
    return console.file.isatty() and not console.is_dumb_terminal and console.encoding.startswith("utf")


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kopf-leader-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _interruptible() -> Iterator[list[signal.Signals]]:
    """Let a signal cancel this task instead of ending the process; a second one cancels the tidying up as well."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> Callable[[], None]:
        def act() -> None:
            received.append(number)
            if task is not None:
                task.cancel()

        return act

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt(number))
    try:
        yield received
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
