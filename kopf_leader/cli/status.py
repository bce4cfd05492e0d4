"""`kopf-leader status`: who leads, since when, and whether it was seen at it."""

from typing import Any

import click

from kopf_leader.cli.lease.command import DONE, UNDONE, Reached, absent, lease_options, perform, say, seconds
from kopf_leader.cli.lease.lookout import Condition, Lookout, Standing
from kopf_leader.cli.lease.reach import Where
from kopf_leader.cli.lease.show import FORMATS, Printer, describe
from kopf_leader.protocol.record import Asks

WAIT = 60.0  # seconds


@click.command()
@lease_options
@click.option("-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("-w", "--watch", is_flag=True, help="Print it again at each change; with -o wide at each renewal.")
@click.option("--wait", is_flag=True, help="Wait until the condition of --for holds, then print it.")
@click.option(
    "--for",
    "condition",
    metavar="CONDITION",
    help="With --wait: 'leader' (the default) or 'holder=NAME', an identity or a pod's name; seen to renew.",
)
@click.option(
    "--timeout",
    callback=seconds,
    metavar="DURATION",
    help="When to give up --wait (by default 60s), or to end --watch.",
)
@click.option(
    "--observe",
    callback=seconds,
    metavar="DURATION",
    default="5s",
    show_default=True,
    help="How long to look for a renewal, which shows that the holder is alive; 0: do not.",
)
def status(
    *, output: str, watch: bool, wait: bool, condition: str | None, timeout: float | None, observe: float, **where: Any
) -> None:
    """Show who leads by the Lease ID: holder, since when, term, and how long ago a renewal was seen from here.

    The state is: led; silent (nothing renewed for a third of the Lease's duration); expired (for the whole of it);
    free; held (on hold, nobody leads). The age of a renewal is what was seen by watching: the times in the Lease are by
    the leader's clock and are never compared with this one.

    Exit status: 0 when somebody leads, or the condition of --wait holds; 1 when nobody leads, or the time is up;
    2 when there is no such Lease, no access, or the command is wrong.
    """
    if watch and wait:
        raise click.UsageError("--watch prints for ever and --wait until a condition holds: pass one of them.")
    if condition is not None and not wait:
        raise click.UsageError("--for is the condition of --wait: pass both.")
    met = _condition(condition or "leader")

    async def work(reached: Reached) -> int:
        printer = Printer(reached.place, output, stream=watch)
        async with Lookout(reached.client) as lookout:
            if watch:
                return await _watch(lookout, printer, timeout)
            if wait:
                return await _wait(lookout, printer, met, WAIT if timeout is None else timeout)
            return await _once(reached, lookout, printer, observe)

    perform(Where(**where), work)


async def _once(reached: Reached, lookout: Lookout, printer: Printer, observe: float) -> int:
    def settled(standing: Standing) -> bool:
        return not standing.record.holder or standing.renewed is not None

    if lookout.standing().sight is None:
        raise absent(reached.place)
    await lookout.until(settled, observe)
    standing = lookout.standing()
    if standing.sight is None:
        raise absent(reached.place)
    click.echo(printer.text(standing))
    if standing.state == "silent":
        say(
            f"Nothing was renewed for {standing.silence:.1f} s: the holder may be dead, "
            f"--observe {standing.duration:g}s tells.",
            err=True,
        )
    return DONE if standing.leads else UNDONE


async def _watch(lookout: Lookout, printer: Printer, timeout: float | None) -> int:  # noqa: ASYNC109 (the user's)
    shown: object = None

    def news(standing: Standing) -> bool:
        return _key(standing, renewals=printer.wide) != shown

    loop_end = None if timeout is None else lookout.standing().watched + timeout
    while True:
        left = None if loop_end is None else max(loop_end - lookout.standing().watched, 0.0)
        if not await lookout.until(news, left):
            return DONE if lookout.standing().leads else UNDONE
        standing = lookout.standing()
        shown = _key(standing, renewals=printer.wide)
        click.echo(printer.text(standing))


async def _wait(lookout: Lookout, printer: Printer, met: Condition, timeout: float) -> int:  # noqa: ASYNC109 (likewise)
    done = await lookout.until(met, timeout)
    standing = lookout.standing()
    if standing.sight is not None:
        click.echo(printer.text(standing))
    if not done:
        trouble = f" The last error: {lookout.trouble}" if lookout.trouble is not None else ""
        say(f"The time is up ({timeout:g} s): {describe(standing)}.{trouble}", err=True)
    return DONE if done else UNDONE


def _condition(text: str) -> Condition:
    what, _, name = text.partition("=")
    if text == "leader":
        return lambda standing: standing.proven
    if what == "holder" and name:
        return lambda standing: standing.proven and Asks(transfer_to=name).calls(standing.record.holder)
    raise click.UsageError(f"--for={text} is no condition: write leader or holder=NAME.")


def _key(standing: Standing, *, renewals: bool) -> object:
    """What a line is printed for."""
    record = standing.record
    news = (standing.state, record.holder, record.acquire_time, record.transitions, standing.asks)
    return (*news, record.renew_time) if renewals else news
