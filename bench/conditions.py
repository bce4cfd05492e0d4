"""Under what conditions a row was measured: when, how busy the machine was, with which version, beside which others."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import kopf_leader
from bench.ground import ROOT

PAGES = "docs/benchmarks"  # written by the benchmarks: a change there is no change of what is measured


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Of one row. The times are UTC to the minute; `load` is that of the last minute, at the beginning and the end."""

    begin: str
    end: str
    load: tuple[float, float]
    full: bool
    version: str
    beside: tuple[str, ...] = ()

    @classmethod
    def read(cls, found: dict[str, Any]) -> Self:
        """From JSON. Raises KeyError, TypeError or ValueError for what is none."""
        first, last = found["load"]
        return cls(**{**found, "load": (float(first), float(last)), "beside": tuple(found["beside"])})

    def json(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def words(self) -> str:
        """In a sentence."""
        day, _, until = self.end.rpartition(" ")
        until = until if self.begin.startswith(day) else self.end
        alone = "alone" if not self.beside else f"beside {', '.join(f'`{row}`' for row in self.beside)}"
        form = "bench-full" if self.full else "bench"
        load = " → ".join(f"{value:.1f}" for value in self.load)
        return f"{self.begin} – {until} UTC, `{form}`, {self.version}, load {load}, {alone}"


class Watch:
    """Notes the conditions of one row, from now on."""

    def __init__(self, *, full: bool, version: str, beside: Iterable[str] = ()) -> None:
        self._began = dt.datetime.now(dt.UTC)
        self._load = _load()
        self._full, self._version, self._beside = full, version, tuple(beside)

    @property
    def passed(self) -> dt.timedelta:
        """The time so far, in whole seconds."""
        return dt.timedelta(seconds=round((dt.datetime.now(dt.UTC) - self._began).total_seconds()))

    def stop(self) -> Conditions:
        """The conditions, now that it is measured."""
        begin, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in (self._began, dt.datetime.now(dt.UTC)))
        load = (self._load, _load())
        return Conditions(begin=begin, end=end, load=load, full=self._full, version=self._version, beside=self._beside)


def version() -> str:
    """Ours; in a repository with the commit, and whether files differ from it."""
    words = f"kopf-leader {kopf_leader.__version__}"
    commit = _git("rev-parse", "--short", "HEAD")
    if not commit:
        return words
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{PAGES}")
    return f"{words} at {commit}{' with changes' if changed else ''}"


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return ""
    return answer.stdout.strip()


def _load() -> float:
    return round(os.getloadavg()[0], 2)
