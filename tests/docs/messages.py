"""What kopf_leader says, read from its code: is a line that a page quotes one that can be said?

A message is a text in the code; what is put into it (`%s`, `{…}`, `+ …`) may be anything, but where that is longer than
a name, it has to be a message itself.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "kopf_leader"
LITERAL = 12
"""Characters of its own that a message needs, to be told from others."""
NAME = 34
"""Characters of something put in that need no explanation."""
HOLE = "\0"
_PERCENT = re.compile(r"%(?:\.\d+)?[sdrgf]")


def quoted(text: str) -> bool:
    """Whether the code can say this line; `…` stands for what is left out."""
    return any((match := pattern.fullmatch(text)) and all(map(_explained, match.groups())) for pattern in messages())


def _explained(part: str) -> bool:
    """What was put into a message: nothing long, something left out, or a message."""
    return len(part) <= NAME or "…" in part[:2] or quoted(part)


@cache
def messages() -> tuple[re.Pattern[str], ...]:
    """The pattern of each message."""
    found: dict[str, re.Pattern[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if not {"testing", "demonstration"} & {*path.relative_to(PACKAGE).parts}:
            for text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
                if len(text.replace(HOLE, "")) >= LITERAL:
                    found[text] = re.compile("(.*?)".join(re.escape(part) for part in text.split(HOLE)), re.DOTALL)
    return tuple(found.values())


def _texts(tree: ast.Module) -> Iterator[str]:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) not in docstrings and (text := _text(node)) is not None:
            yield _PERCENT.sub(HOLE, text).replace("%%", "%")


def _text(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or HOLE for part in parts)
        case ast.FormattedValue(value=ast.IfExp(body=body)):
            return _text(body)
        case ast.BinOp(op=ast.Add(), left=left, right=right) if _text(left) or _text(right):
            return (_text(left) or HOLE) + (_text(right) or HOLE)
    return None
