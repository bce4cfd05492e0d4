"""`kopf-leader demo`: parse, call, print; what it does stands in `kopf_leader.cli.demonstration`."""

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from kopf_leader.cli.demonstration.performance import Interrupted, perform
from kopf_leader.cli.demonstration.plan import LETTERS, Plan
from kopf_leader.cli.refused import Refused
from kopf_leader.errors import SettingsError
from kopf_leader.protocol.durations import parse_duration

WIDTH = 110  # columns where the output is no terminal


class _NotStarted(click.ClickException):
    """One sentence, exit status 2."""

    exit_code = 2


@click.command()
@click.option(
    "--replicas", type=click.IntRange(2, len(LETTERS)), default=3, show_default=True, help="How many replicas to start."
)
@click.option(
    "--lease-duration",
    default="6s",
    show_default=True,
    metavar="DURATION",
    help="How long a silent leader is waited for; the other times are derived from it.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Run on this cluster, in a namespace of its own, which is removed in the end.",
)
@click.option("--context", help="The kubeconfig's context, if not its current one.")
@click.option(
    "--namespace",
    metavar="PREFIX",
    default="kopf-leader-demo",
    show_default=True,
    help="What the generated name of the namespace begins with.",
)
@click.option("--plain", is_flag=True, help="Print lines, no picture; so it does where the output is no terminal.")
@click.option(
    "--keep-logs",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the replicas' logs and what the handlers wrote.",
)
@click.option("-v", "--verbose", is_flag=True, help="Print what the replicas log, too; no picture.")
def demo(*, lease_duration: str, **options: Any) -> None:
    """Show what leader election does, with real processes, in under a minute, without a cluster.

    Replicas of one operator compete for one Lease while objects are created. Their leader is stopped, killed and cut
    off from the API server. In the end it is counted what became of the objects, from what the handlers wrote.

    Exit status: 0 when every promise was kept, 1 when one was broken, 2 when it could not start.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    try:
        plan = Plan(lease_duration=parse_duration(lease_duration, what="lease duration"), **options)
        plan.check()
        sys.exit(perform(plan, console))
    except (SettingsError, Refused) as error:
        raise _NotStarted(str(error)) from None
    except Interrupted as interrupted:
        click.echo(f"Ended by {interrupted}.", err=True)
        sys.exit(interrupted.status)
