"""Draw the state diagram of docs/protocol.md from the machine's own table: `python docs/draw.py`."""

import re
from pathlib import Path

from kopf_leader.protocol.table import TRANSITIONS

PAGE = Path(__file__).parent / "protocol.md"
_BLOCK = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> unknown"]
    for phase, following in TRANSITIONS.items():
        lines += [f"    {phase.value} --> {after.value}: {why.replace(':', ',')}" for after, why in following.items()]
        if not following:
            lines.append(f"    {phase.value} --> [*]")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


if __name__ == "__main__":
    PAGE.write_text(_BLOCK.sub(lambda _: diagram(), PAGE.read_text(encoding="utf-8"), count=1), encoding="utf-8")
