"""What one check has found, and all of them for people and for programs."""

import enum
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from kopf_leader.cli.lease.command import MAX_SAID
from kopf_leader.cli.lease.reach import Place
from kopf_leader.protocol.plain import plain

FORMATS = ("table", "json", "yaml")


class Result(enum.Enum):
    """From fine to not."""

    OK = "ok"
    WARN = "warn"  # it works, and is worth a look
    FAIL = "fail"  # it does not work until something is changed


@dataclass(frozen=True)
class Finding:
    """One check."""

    check: str
    result: Result
    found: str
    """What is the case."""
    change: str | None = None
    """What to do about it; always there unless the result is OK."""

    def __post_init__(self) -> None:
        """Both may quote what a server or somebody else's Lease says, whoever wrote the check."""
        object.__setattr__(self, "found", plain(self.found, MAX_SAID))
        if self.change is not None:
            object.__setattr__(self, "change", plain(self.change, MAX_SAID))


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Result.OK, found)


def warn(check: str, found: str, change: str) -> Finding:
    """It works, and is worth a look."""
    return Finding(check, Result.WARN, found, change)


def fail(check: str, found: str, change: str) -> Finding:
    """Something must change."""
    return Finding(check, Result.FAIL, found, change)


def worst(findings: Sequence[Finding]) -> Result:
    """The worst of them."""
    return max((finding.result for finding in findings), key=list(Result).index, default=Result.OK)


def text(place: Place, findings: Sequence[Finding], form: str) -> str:
    """All of them, without the last end of line."""
    if form == "table":
        return "\n".join([*_lines(findings), _summary(findings)])
    facts: dict[str, Any] = {
        "namespace": place.namespace,
        "name": place.name,
        "result": worst(findings).value,
        "checks": [
            {"check": each.check, "result": each.result.value, "found": each.found, "change": each.change}
            for each in findings
        ],
    }
    if form == "json":
        return json.dumps(facts, indent=2, ensure_ascii=False)
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=120).rstrip("\n")


def _lines(findings: Sequence[Finding]) -> list[str]:
    width = max(len(finding.check) for finding in findings)
    return [
        f"{each.result.value:<4}   {each.check:<{width}}   {each.found}{f'; {each.change}' if each.change else ''}"
        for each in findings
    ]


def _summary(findings: Sequence[Finding]) -> str:
    failed = sum(finding.result is Result.FAIL for finding in findings)
    warned = sum(finding.result is Result.WARN for finding in findings)
    return f"{len(findings)} checks: {failed} must be changed, {warned} are worth a look."
