"""The frame of each command on a Lease: its options, its connection, and its ends."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from kopf_leader.cli.lease.reach import PersonsClient, Place, Where, find
from kopf_leader.cli.refused import Refused
from kopf_leader.errors import LeaseAPIError, SettingsError
from kopf_leader.protocol.durations import parse_duration
from kopf_leader.protocol.plain import plain

DONE, UNDONE, FAILED, INTERRUPTED = 0, 1, 2, 130
MAX_SAID = 3000  # characters of one sentence, some of which have names and a command in them
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A Lease and the way to it, open."""

    place: Place
    client: PersonsClient


def seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:  # noqa: ARG001
    """Read a duration, `15`, `15s` or `1m30s`: click's callback of an option; what is none is refused."""
    try:
        return None if value is None else parse_duration(value)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from None


def lease_options(command: F) -> F:
    """The argument and the options that say which Lease, and how to get there."""
    for decorate in (
        click.option("--context", help="The kubeconfig's context, if not its current one."),
        click.option(
            "--kubeconfig",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="By default KUBECONFIG, ~/.kube/config, or the service account of the pod.",
        ),
        click.option(
            "-n",
            "--namespace",
            envvar="KOPF_RUN_LEADER_ELECTION_NAMESPACE",
            metavar="NAME",
            help="The Lease's namespace, if not the one of the context or of the pod.",
        ),
        click.argument("lease_id", metavar="ID", envvar="KOPF_RUN_LEADER_ELECTION_ID"),
    ):
        command = decorate(command)
    return command


def wait_options(command: F) -> F:
    """How long a request is waited for."""
    for decorate in (
        click.option(
            "--timeout",
            callback=seconds,
            metavar="DURATION",
            default="60s",
            show_default=True,
            help="How long to wait until it has happened.",
        ),
        click.option("--no-wait", is_flag=True, help="Write the request and do not wait."),
    ):
        command = decorate(command)
    return command


def perform(where: Where, work: Callable[[Reached], Awaitable[int]], *, interrupted: str = "") -> NoReturn:
    """Open the way, do the work, and end the process with its status.

    `Refused`, `SettingsError` and `LeaseAPIError` are told in one sentence, status 2.
    """
    try:
        place = find(where)
        status = asyncio.run(_with_client(place, work))
    except (Refused, SettingsError, LeaseAPIError) as error:
        say(f"Error: {error}", err=True)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        if interrupted:
            click.echo(f"\nInterrupted: {interrupted}", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(status)


def say(sentence: str, *, err: bool = False) -> None:
    """Print one sentence, in one line, whatever the Lease or a server has brought into it."""
    click.echo(plain(sentence, MAX_SAID), err=err)


def absent(place: Place) -> Refused:
    """The answer where there is no Lease."""
    return Refused(
        f"There is no Lease {place}: check its name (the operator's --leader-election-id) and its namespace (-n)."
    )


async def _with_client(place: Place, work: Callable[[Reached], Awaitable[int]]) -> int:
    client = PersonsClient(place)
    try:
        return await work(Reached(place=place, client=client))
    finally:
        await client.close()
