"""`kopf-leader run`: `kopf run` with all its options, and the election's.

Kopf's own command does the work. Its parameters are taken from it as they are, so that options of other kopf releases
are here too; the election's are read by `kopf_leader.gate.options`, which reads them from the environment as well,
where they are the same for a stock `kopf run`.
"""

import sys
from typing import Any

import click
import kopf.cli

from kopf_leader.errors import NotLeader, SettingsError, UnsupportedKopf
from kopf_leader.gate.enable import FLAGS
from kopf_leader.gate.option_table import OPTIONS, Option
from kopf_leader.gate.options import from_flags

_LAST_MODULE = "kopf_leader.cli.loaded"
"""Kopf imports it after the handlers' modules: then everything is known, and nothing has started."""


class Refused(click.ClickException):
    """The operator is not started: one sentence, exit status 2."""

    exit_code = 2


def _parameter(option: Option) -> click.Option:
    """The option's flag. It is read, and looked up in the environment, together with the other ways to say it."""
    flag = option.flag or ""
    help_ = f"{option.help}  [env var: {option.envvar}]"
    if option.off is not None:
        return click.Option([f"{flag}/{option.off}", option.name], default=None, help=help_, allow_from_autoenv=False)
    return click.Option(
        [flag, f"leader_election_{option.name}"], metavar=option.metavar, help=help_, allow_from_autoenv=False
    )


_KOPFS = {flag for parameter in kopf.cli.run.params for flag in parameter.opts}
_OURS = {
    option.name: _parameter(option)
    for option in OPTIONS.values()
    if option.flag is not None and option.flag not in _KOPFS
}


class _RunCommand(click.Command):
    """Kopf's options and the election's, apart in the help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        ours = [record for option in _OURS.values() if (record := option.get_help_record(ctx)) is not None]
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        all_ = [record for option in options if (record := option.get_help_record(ctx)) is not None]
        with formatter.section("Options of kopf run"):
            formatter.write_dl([record for record in all_ if record not in ours])
        with formatter.section("Leader election (flag > environment > code > default)"):
            formatter.write_dl(ours)


def _run(**given: Any) -> Any:
    """Hand kopf what is kopf's, and leave the rest where `enable()` looks for it."""
    flags = {name: given.pop(parameter.name or "") for name, parameter in _OURS.items()}
    click.get_current_context().meta[FLAGS] = from_flags(flags)
    sys.modules.pop(_LAST_MODULE, None)  # for a second run in the same process
    given["modules"] = (*given["modules"], _LAST_MODULE)
    try:
        return _kopf_run(**given)
    except (SettingsError, UnsupportedKopf) as error:
        raise Refused(str(error)) from None
    except NotLeader as error:  # the leadership is lost, and on_lost="exit" asks for the end
        raise click.ClickException(str(error)) from None


def _kopf_run(**given: Any) -> Any:
    callback = kopf.cli.run.callback
    if callback is None:  # it always has one; click's type allows for none
        raise Refused("The installed kopf has no `run` command to call: install a kopf from 1.40 on.")
    return callback(**given)


run = _RunCommand(
    "run",
    callback=_run,
    params=[*kopf.cli.run.params, *_OURS.values()],
    help="Start an operator process, as kopf run does; with leader election when it is enabled.\n\n"
    "Exit status: 0 when it has ended in order, by SIGTERM or SIGINT; 1 when the leadership is lost and the operator "
    "is to exit then, when something could not be stopped in time, or when kopf or the handlers' code has failed; "
    "2 when it is refused before it starts.",
)
