"""`kopf-leader doctor`: what would keep an election from working, and what to change."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kopf_leader.cli.checkup import fence, latency, lease, local, server
from kopf_leader.cli.checkup.finding import FORMATS, Finding, Result, text, worst
from kopf_leader.cli.lease.command import DONE, UNDONE, Reached, lease_options, perform, seconds
from kopf_leader.cli.lease.reach import Where
from kopf_leader.errors import LeaseAPIError
from kopf_leader.gate.option_table import OPTIONS
from kopf_leader.gate.options import Layer, from_flags
from kopf_leader.protocol.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def _timings(command: F) -> F:
    for name in reversed(local.TIMINGS):
        option = OPTIONS[name]
        help_ = f"As for kopf-leader run.  [env var: {option.envvar}]"
        command = click.option(str(option.flag), name, metavar=option.metavar, help=help_, allow_from_autoenv=False)(
            command
        )
    return command


@click.command()
@lease_options
@_timings
@click.option("-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option(
    "--observe", callback=seconds, metavar="DURATION", default="5s", show_default=True,
    help="How long to look for a renewal, which shows that the holder is alive.",
)  # fmt: skip
def doctor(*, output: str, observe: float, **given: Any) -> None:
    """Check what the election by the Lease ID needs: rights, timings, the Lease; a line for each, with what to change.

    Nothing is written: a write is rehearsed (a server-side dry run), to see how long it takes. The rights are those of
    the account that asks: run it in the operator's pod to check the operator's.

    Exit status: 0 when all is well or only worth a look; 1 when something must change; 2 when the API server cannot be
    asked, or the command is wrong.
    """
    flags = from_flags({name: given.pop(name) for name in local.TIMINGS})

    async def work(reached: Reached) -> int:
        findings = await _check(reached, flags, observe)
        click.echo(text(reached.place, findings, output))
        return UNDONE if worst(findings) is Result.FAIL else DONE

    perform(Where(**given), work)


async def _check(reached: Reached, flags: Layer, observe: float) -> list[Finding]:
    exists, readable = True, True
    try:
        await reached.client.read()
    except LeaseAPIError as error:
        if error.status not in (403, 404):
            raise
        exists, readable = error.status == 403, error.status == 404
    settings, findings = local.settings(reached.place, flags)
    findings = [local.kopf(), *findings, local.namespace(reached.place), local.clock()]
    findings += [await server.release(reached), *await server.account(reached), *await fence.look(reached)]
    rights = await server.rights(reached, exists=exists)
    findings += rights
    if settings.takeover == "evidence":
        findings += await server.takeover(reached)
    if not readable:
        return findings  # what is missing stands among the rights
    if not exists:
        namespace = await server.has_namespace(reached)
        findings.append(lease.missing(reached.place, namespace=namespace))
    else:
        findings += await lease.look(reached.client, reached.place, settings, observe)
    may_write = exists and all(each.result is Result.OK for each in rights if each.check == "right:update")
    return [*findings, *await _latency(reached, settings, may_write=may_write)]


async def _latency(reached: Reached, settings: Settings, *, may_write: bool) -> list[Finding]:
    read = await latency.reads(reached)
    write = None
    if may_write:
        try:
            write = await latency.writes(reached)
        except LeaseAPIError as error:
            if error.status == 401:
                raise
            return [latency.unwritten(error), *latency.judge(read, None, settings)]
    return [*latency.judge(read, write, settings)]
