"""Errors of the configuration as the command line shows them: a sentence and exit status 2, instead of a traceback."""

import click

from kopf_leader.errors import SettingsError, UnsupportedKopf


class RefusedSettings(SettingsError, click.ClickException):  # noqa: N818 (named by what it answers)
    """A `SettingsError` while `kopf run` imports the handlers: nobody's code is at fault, a traceback helps nobody."""

    exit_code = 2

    def __init__(self, error: SettingsError) -> None:
        click.ClickException.__init__(self, str(error))
        SettingsError.__init__(self, error.sentences)


class RefusedKopf(UnsupportedKopf, click.ClickException):
    """An `UnsupportedKopf` at that moment."""

    exit_code = 2


def told(error: SettingsError | UnsupportedKopf) -> SettingsError | UnsupportedKopf:
    """The same error, as click shows it."""
    return RefusedSettings(error) if isinstance(error, SettingsError) else RefusedKopf(str(error))
