"""The tables of the reference, from the code: `python -m tests.docs.reference` writes them into the pages."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import click

from kopf_leader import enable
from kopf_leader.cli.main import COMMANDS, main
from kopf_leader.errors import SettingsError
from kopf_leader.gate.counters import Counters
from kopf_leader.gate.option_table import OPTIONS, Option
from kopf_leader.gate.options import Options
from kopf_leader.operations.metrics import Metrics
from kopf_leader.protocol.settings import Settings
from tests.docs.blocks import filled, table
from tests.docs.timings import costs_table

DOCS = Path(__file__).parents[2] / "docs"
SUFFIXES = {"counter": "_total", "info": "_info"}
DERIVED = {
    "id": "none: it must be said",
    "namespace": "the pod's, or the kubeconfig's context's",
    "identity": "`<pod or host name>_<random>`",
    "request_timeout": "half of the renew deadline, 1 s at least",
    "from_peering": "no migration",
    "health_probe_bind_address": "`0`",
    "metrics_bind_address": "`0`",
    "metrics_registry": "prometheus-client's own",
    "labels": "none",
    "client": "`'kopf'`",
}
"""Defaults that are no values in the code."""


def described() -> Mapping[str, str]:
    """What the docstring of `enable()` says of each of its arguments."""
    found: dict[str, str] = {}
    lines = re.compile(r"^- (`\w+`(?:, `\w+`)*): (.*?)(?=^- |^$|\Z)", re.MULTILINE | re.DOTALL)
    for names, text in lines.findall(inspect.getdoc(enable) or ""):
        found |= {name.strip("`"): " ".join(text.split()) for name in names.split(", ")}
    return found


def meaning(option: Option) -> str:
    """The flag's help, or else what `enable()` says, without the default at its end, which has a column."""
    text = re.sub(r"; by default [^;.]+\.?$", "", option.help or described()[option.name])
    return text[0].upper() + text[1:].rstrip(".;") + "."


def default(name: str) -> str:
    """The value that holds when nothing is said."""
    if name in DERIVED:
        return DERIVED[name]
    value = next(field.default for field in fields(Options) if field.name == name)
    assert value is not MISSING, name
    assert value is not None, name
    return f"`{value:g}`" if isinstance(value, float) else f"`{str(value).lower()}`"


def settings() -> str:
    """Every option, with its names in the three ways to say it."""
    rows = []
    for option in OPTIONS.values():
        flag = "" if option.flag is None else f"`{option.flag}`" + (f", `{option.off}`" if option.off else "")
        keyword = "`id`" if option.name == "id" else f"`{option.name}=`"
        names = [flag, f"`{option.envvar}`" if option.envvar else "", keyword]
        rows.append(f"{'<br>'.join(filter(None, names))} | {default(option.name)} | {escaped(meaning(option))}")
    return table("setting | default | meaning", rows)


REFUSED: tuple[Mapping[str, Any], ...] = (
    {"renew_deadline": 15.0},
    {"retry_period": 9.0},
    {"retry_period": 5.0},
    {"lease_duration": 0.5, "renew_deadline": 0.4, "retry_period": 0.1, "request_timeout": 0.1},
    {"retry_period": 0.0},
    {"lease_duration": 3e9},
    {"name": "My_Operator"},
    {"namespace": ""},
    {"identity": ""},
)
"""One bad choice for each rule (L18)."""


def rules() -> str:
    """What is refused at start, and the sentence that says so."""
    rows = []
    for bad in REFUSED:
        try:
            Settings(**{"name": "op", "namespace": "default", "identity": "op_1", **bad})
        except SettingsError as error:
            said = ", ".join(f"`{name}={value!r}`" for name, value in bad.items())
            rows.append(f"{said} | {escaped(error.sentences[0])}")
        else:
            raise AssertionError(f"{bad} is taken")
    return table("what | the sentence", rows)


def options_of(command: click.Command) -> Iterator[str]:
    """The rows of one command."""
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            metavar = option.make_metavar(click.Context(command)) if not option.is_flag else ""
            names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
            shown = f" By default {option.default}." if option.show_default else ""
            yield f"{names} | {escaped(metavar)} | {escaped((option.help or '') + shown)}"


def commands() -> str:
    """The options of each command but `run`, which has kopf's and the settings."""
    parts = []
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if name != "run":
            parts.append(f"### {name}\n\n{COMMANDS[name]}\n\n" + table("option | value | ", [*options_of(command)]))
    return "\n\n".join(parts)


def metrics() -> str:
    """Every metric: its name as Prometheus shows it, its kind, its labels, and its HELP text."""
    ours = Metrics()
    ours.figures = Counters()
    labels = dict.fromkeys((family.name for family in ours.describe()), "`name`")
    labels |= {one._name: ", ".join(f"`{label}`" for label in one._labelnames) for one in ours._counts.all}
    labels["kopf_leader_build"] = "`version`, `kopf_version`, `python_version`"
    rows = [
        f"`{family.name}{SUFFIXES.get(family.type, '')}` | {family.type} | {labels[family.name]} | "
        f"{escaped(family.documentation)}"
        for family in ours.describe()
    ]
    return table("metric | kind | labels | what it says, and what to do about it", rows)


def escaped(text: str) -> str:
    """Text for a cell: what would be markup is not."""
    text = " ".join(text.split()).replace("|", "\\|")
    return re.sub(r"<(?!br>)", "\\<", text).replace("*", "\\*")


BLOCKS = {
    "settings.md": {"settings": settings, "rules": rules, "options": commands},
    "operations.md": {"metrics": metrics},
    "timings.md": {"costs": costs_table},
}


def written(name: str) -> str:
    """A page with the tables of now."""
    page = (DOCS / name).read_text(encoding="utf-8")
    return filled(page, {block: make() for block, make in BLOCKS[name].items()})


if __name__ == "__main__":
    for page in BLOCKS:
        (DOCS / page).write_text(written(page), encoding="utf-8")
