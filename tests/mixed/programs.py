"""The candidates of others: found, or made before the tests by `python -m tests.mixed.programs`.

client-go's is a Go program (`tests/clientgo`). Those of the Python libraries run in an environment of their own, for
`kubernetes_asyncio` is in no other.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from tests import environments
from tests.clientgo import build as clientgo

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENT = "electors"
LIBRARIES = ("kubernetes", "kubernetes_asyncio")
Kind = Literal["ours", "client-go", "kubernetes", "kubernetes_asyncio"]


def command(kind: Kind) -> list[str] | None:
    """What starts a candidate of this kind, without its arguments; None if it cannot be had. Builds nothing."""
    match kind:
        case "ours":
            return [sys.executable, "-m", "tests.mixed.ours"]
        case "client-go":
            program = clientgo.locate()
            return None if program is None else [str(program)]
        case _:
            python = environments.made(ENVIRONMENT, recipe=_recipe())
            return None if python is None else [str(python), str(HERE / "library.py"), kind]


def missing(kind: Kind) -> str:
    """Why it cannot be had, and what to do."""
    first = "install Go, and " if kind == "client-go" else ""
    return f"There is no candidate of {kind} here: {first}run `python -m tests.mixed.programs`."


def version(kind: Kind) -> str:
    """What is pinned."""
    if kind == "client-go":
        return clientgo.version()
    match = re.search(rf"^{kind}==(\S+)$", _constraints(), re.MULTILINE)
    assert match is not None, f"no constraints.txt pins {kind}"
    return match[1]


def _constraints() -> str:
    lines = [*(ROOT / "constraints.txt").read_text().splitlines(), *(HERE / "constraints.txt").read_text().splitlines()]
    return "\n".join(line for line in lines if not line.startswith("-e")) + "\n"


def _recipe() -> list[str]:
    return [*LIBRARIES, _constraints()]


def main() -> int:
    """Make what is not there; say what cannot be had. Never fails: the tests say what they lack."""
    if clientgo.build() is None:
        print(missing("client-go"), file=sys.stderr)
    try:
        environments.make(ENVIRONMENT, recipe=_recipe(), packages=LIBRARIES, constraints=_constraints())
    except environments.PreparationError as error:
        print(error, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
