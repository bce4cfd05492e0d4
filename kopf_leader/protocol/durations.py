"""Durations as people write them: `15`, `15s`, `1m30s`, `500ms` (Go's notation, and plain seconds)."""

import re

from kopf_leader.errors import SettingsError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PLAIN = re.compile(r"\d+(\.\d+)?", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)", re.ASCII)
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+", re.ASCII)


def parse_duration(text: str | float, *, what: str = "duration") -> float:
    """Read a duration and return seconds; numbers pass through.

    Raises `SettingsError` naming `what` when the text is no duration.
    """
    if isinstance(text, (int, float)):
        return float(text)
    stripped = text.strip()
    if _PLAIN.fullmatch(stripped):
        return float(stripped)
    if _WHOLE.fullmatch(stripped):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(stripped))
    raise SettingsError([f"The {what} {text!r} is no duration: write seconds (15) or units (15s, 1m30s, 500ms)."])
