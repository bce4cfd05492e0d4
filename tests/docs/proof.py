"""docs/proof.md's blocks, from the code and the tests: `python -m tests.docs.proof` writes them.

A test belongs to a law when its docstring, or its file's, names it. Mutants belong to the law that they break (in
`BREAKS`); who catches them is read from where the tests say so.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import filled
from tests.docs.proof_numbers import numbers
from tests.protocol.walk import proof as walk
from tests.protocol.walk.flaws import flaws
from tests.protocol.walk.laws import SAYS
from tests.rings import RINGS
from tests.simulation.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "proof.md"
LAWS = [f"L{number}" for number in range(1, 21)]
NAMED = re.compile(r"\bL(?:1\d|20|[1-9])\b")

BREAKS: Mapping[str, str] = {
    # of the machine: tests/protocol/mutants.py, tests/protocol/walk/flaws.py
    "PUT without uid": "L1",
    "PUT drops what it does not know": "L1",
    "flight forgotten": "L1",
    "a field left out": "L2",
    "no fractional digits": "L2",
    "renewTime stands still": "L2",
    "transitions beyond an int32": "L3",
    "doubtful writes forgotten": "L4",
    "only replies confirm": "L4",
    "write in flight believed for ever": "L4",
    "writes again without a look": "L4",
    "old read answers": "L4",
    "deadline from the reply": "L6",
    "standby uses its own duration": "L6",
    "standby believes short durations": "L6",
    "standby waits for the renew deadline": "L6",
    "old versions restart timers": "L6",
    "whole seconds compared": "L6",
    "no new wait for an old record": "L6",
    "closes late": "L7",
    "deletion ignored by the leader": "L8",
    "seen rival not acted upon": "L8",
    "patient with rivals": "L8",
    "denial ignored": "L8",
    "stopped term resumed": "L9",
    "own old write believed": "L9",
    "own name is own term": "L10",
    "creating starts": "L11",
    "wait from the last record": "L11",
    "wait from the first absence": "L11",
    "no wait without a live holder seen": "L11",
    "any former holder": "L11",
    "heir by the law's letter": "L11",
    "heir until T0 + lease_duration": "L11",
    "waiting hold released": "L11",
    "release before the drain": "L12",
    "no drain budget": "L12",
    "next term before the drain": "L12",
    "exits late": "L12",
    "release checks the stale record": "L13",
    "any empty holder is free": "L14",
    "proof of death bound to nobody": "L6",
    "proof of death bound to the pod": "L6",
    "proof of death beside a creator": "L6",
    "proof of death of what was put back": "L6",
    "proof of death across a gap": "L6",
    "proof of death bound to the process": "L6",
    "proof of death that was not asked for": "L6",
    "copy taken for a write": "L6",
    "copy told as a write of the holder": "L6",
    "read taken for what came next": "L6",
    "another hold followed": "L6",
    "hold followed across others": "L6",
    "who asks vouches for the holder": "L6",
    "trace kept across a restored backup": "L6",
    "gone from sight taken for dead": "L6",
    "older DELETED believed": "L16",
    "deaf watch kept": "L16",
    "nobody gives way": "L16",
    "old absence believed": "L16",
    "< for <= of versions": "L16",
    "no standing back": "L20",
    "locked out and back at once": "L20",
    # of the driver: tests/simulation/mutants.py
    "second copy after a broken connection": "L4",
    "time-out reported as rejected": "L4",
    "409 taken as nothing landed": "L4",
    "outcome swallowed as accepted": "L4",
    "no time-out": "L4",
    "time of the loop": "L5",
    "no nap": "L5",
    "sent_at from the reply": "L6",
    "sent_at after the log-in": "L6",
    "claim left alive": "L7",
    "client left open": "L15",
    "watch never reopened": "L17",
    "read tried once": "L17",
}
"""Which law a mutant breaks."""

OTHERWISE: Mapping[str, str] = {
    "L18": "each rule left out in turn, by `test_a_rule_that_is_not_checked_is_noticed` (protocol/test_settings.py)",
    "L19": "no mutant: the law is that there is no second path, and there is none that could be wrong",
}
"""Laws without a mutant in the lists, and why."""


@dataclass(frozen=True)
class Test:
    """One test function, and what its docstring says."""

    file: Path
    name: str
    doc: str
    catches: tuple[str, ...]

    @property
    def ring(self) -> str:
        return self.file.relative_to(TESTS).parts[0]


def tests() -> Iterator[Test]:
    """Every test of the rings, in their order; a file whose own docstring names laws comes as a test without a name."""
    for ring in RINGS:
        for file in sorted((TESTS / ring.name).rglob("test_*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            yield Test(file, "", ast.get_docstring(tree) or "", ())
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield Test(file, node.name, ast.get_docstring(node) or "", tuple(_caught(node)))


def _caught(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """The mutants in `@catches(…)`."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "catches":
            yield from (str(ast.literal_eval(word)) for word in decorator.args)


def watchers() -> dict[str, list[str]]:
    """Where a law is checked at every step: by the `fail("L…")` of the checkers, and by the walk's `Broken`."""
    found: dict[str, list[str]] = {law: [] for law in LAWS}
    for law in SAYS:
        if law in found:
            found[law].append(f"every world of the walk: never {SAYS[law]}")
    for place, what in (("protocol", "the machine's schedules"), ("simulation", "the driver's schedules")):
        text = (TESTS / place / "checker.py").read_text(encoding="utf-8")
        for law in LAWS:
            if re.search(rf'fail\(\s*"{law}"', text):
                found[law].append(f"{what} (`tests/{place}/checker.py`)")
    return found


def claim() -> str:
    """As in docs/protocol.md, with what clocks may do."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    return _section(page, "## The claim")


def not_claimed() -> str:
    """As in the README."""
    return _section((ROOT / "README.md").read_text(encoding="utf-8"), "## What is not promised").partition(
        "\n\nLong-lived"
    )[0]


def _section(page: str, title: str) -> str:
    return page.partition(f"{title}\n")[2].partition("\n## ")[0].strip()


def in_short() -> dict[str, str]:
    """Each law in a sentence, from docs/protocol.md."""
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    return {law: text for law, text, _ in re.findall(r"^\| (L\d+) \| (.*) \| (.*) \|$", page, re.MULTILINE)}


def by_walks() -> dict[str, str]:
    """Who the walk catches: the invariant and the plan, from docs/proof-mutants.md; what it does not catch, and why."""
    text = walk.PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.*?) \| (\w+) \| ([\w-]+) \| \d+ \| \d+ \| \d+ \|$", text, re.MULTILINE)
    return {flaw: f"the walk, plan {plan} ({law})" for flaw, law, plan in rows if flaw in walk.CAUGHT}


def catchers(every: list[Test]) -> dict[str, list[str]]:
    """Who catches each mutant, in words."""
    schedules = (TESTS / "protocol" / "test_simulation.py").read_text(encoding="utf-8")
    walks = by_walks()
    found: dict[str, list[str]] = {}
    for flaw in flaws():
        found[flaw] = [walks[flaw]] if flaw in walks else []
        found[flaw] += [f"`{test.name}`" for test in every if flaw in test.catches]
        if f'"{flaw}"' in schedules:
            found[flaw].append("the machine's schedules")
        if not found[flaw]:
            found[flaw].append(walk.ELSEWHERE[flaw])
    for flaw in MUTANTS:
        found[flaw] = ["the driver's schedules (`simulation/test_mutants.py`)"]
    return found


def law(which: str, every: list[Test], caught: Mapping[str, list[str]]) -> list[str]:
    """One law: what it says, who tests it, which mutants prove them alive."""
    lines = [f"### {which}", "", in_short()[which], "", "| ring | tests |", "|---|---|"]
    own = [test for test in every if which in NAMED.findall(test.doc)]
    for file in dict.fromkeys(test.file for test in own):
        here = [test for test in own if test.file == file]
        path = file.relative_to(ROOT).as_posix()
        names = ", ".join(f"`{test.name}`" for test in here if test.name) or "all of it"
        lines.append(f"| {here[0].ring} | [{file.name}](../{path}): {names} |")
    if watched := watchers()[which]:
        lines += ["", f"Watched in {'; in '.join(watched)}."]
    mutants = [flaw for flaw in BREAKS if BREAKS[flaw] == which]
    if mutants:
        lines += ["", "| mutant | caught by |", "|---|---|"]
        lines += [f"| {flaw} | {', '.join(caught[flaw])} |" for flaw in mutants]
    if which in OTHERWISE:
        lines += ["", f"Mutants: {OTHERWISE[which]}."]
    return [*lines, ""]


def laws() -> str:
    """All laws, an overview first."""
    every, short = list(tests()), in_short()
    caught = catchers(every)
    lines = ["| law | in short | tests | mutants |", "|---|---|---|---|"]
    for which in LAWS:
        own = [test for test in every if test.name and which in NAMED.findall(test.doc)]
        mutants = sum(broken == which for broken in BREAKS.values())
        lines.append(f"| [{which}](#{which.lower()}) | {short[which]} | {len(own)} | {mutants or 'see there'} |")
    lines.append("")
    for which in LAWS:
        lines += law(which, every, caught)
    return "\n".join(lines).strip()


def written(page: str) -> str:
    """The page with the blocks of now."""
    return filled(page, {"claim": claim(), "not claimed": not_claimed(), "numbers": numbers(), "laws": laws()})


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
