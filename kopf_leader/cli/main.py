"""`kopf-leader`: the group of commands, each imported when it is called."""

import importlib

import click

from kopf_leader import __version__

# The module of each command, which has the command under its own name; what its help says in one line; the extra.
COMMANDS = {
    "run": "Run an operator: kopf run, with leader election when it is enabled.",
    "status": "Show who leads: once, all along, or when a condition is met.",
    "step-down": "Ask the leader to let another candidate lead.",
    "transfer": "Let one particular candidate lead.",
    "hold": "Let nobody lead, until it is resumed.",
    "resume": "End a hold.",
    "manifest": "Print the Lease and its RBAC as YAML, for kubectl apply.",
    "doctor": "Check rights, timings and the Lease; say what to change.",
    "demo": "Show three replicas, their handovers, and what became of every object.",
}
EXTRAS = {"demo": "demo"}


class LazyGroup(click.Group):
    """A group that knows its commands by name: `--version` and `--help` import neither kopf nor rich."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's shape)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (likewise)
        if cmd_name not in COMMANDS:
            return None
        attribute = cmd_name.replace("-", "_")
        try:
            module = importlib.import_module(f"kopf_leader.cli.{attribute}")
        except ModuleNotFoundError as error:
            extra = EXTRAS.get(cmd_name)
            if extra is None or (error.name or "").startswith("kopf_leader"):
                raise
            raise click.ClickException(
                f"kopf-leader {cmd_name} needs {error.name}, which is not installed: "
                f"run pip install 'kopf-leader[{extra}]'."
            ) from None
        command: click.Command = getattr(module, attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 (likewise)
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])


@click.group(cls=LazyGroup, name="kopf-leader", context_settings={"auto_envvar_prefix": "KOPF"})
@click.version_option(__version__, prog_name="kopf-leader")
def main() -> None:
    """Leader election for kopf operators: several replicas, one at work."""
