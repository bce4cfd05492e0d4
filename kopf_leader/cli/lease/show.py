"""The Lease for people (table, wide) and for programs (JSON, YAML)."""

import json
from collections.abc import Iterable
from typing import Any

import yaml

from kopf_leader.cli.lease.lookout import Standing
from kopf_leader.cli.lease.reach import Place
from kopf_leader.protocol.plain import plain
from kopf_leader.protocol.record import ANYBODY

FORMATS = ("table", "wide", "json", "yaml")
MAX_REASON = 1000  # characters of a hold's reason
_WIDTHS = {"HOLDER": 32, "STATE": 7, "RENEWED": 14}


def facts(place: Place, standing: Standing) -> dict[str, Any]:
    """What is known, by names that stay; documented in docs/commands.md."""
    record, asks = standing.record, standing.asks
    return {
        "namespace": place.namespace,
        "name": place.name,
        "state": standing.state,
        "holder": record.holder or None,
        "acquireTime": record.acquire_time,
        "renewTime": record.renew_time,
        "leaseDurationSeconds": record.duration,
        "leaseTransitions": record.transitions,
        "priority": asks.priority,
        "transferTo": asks.transfer_to or None,
        "hold": asks.hold,
        "secondsSinceRenewalSeen": None if standing.renewed is None else round(standing.renewed, 3),
        "secondsWatched": round(standing.watched, 3),
    }


class Printer:
    """Turns one standing after the other into text, the table's head once."""

    def __init__(self, place: Place, form: str, *, stream: bool) -> None:
        self._place = place
        self._form = form
        self._stream = stream
        self._widths: dict[str, int] = {}

    @property
    def wide(self) -> bool:
        """Whether each renewal is of interest."""
        return self._form == "wide"

    def text(self, standing: Standing) -> str:
        """What is to be printed, without the last end of line."""
        if self._form == "json":
            said = json.dumps(facts(self._place, standing), indent=None if self._stream else 2)
            return said.replace("\x7f", "\\u007f")  # the one unseen character that JSON leaves as it is
        if self._form == "yaml":
            begin = "---\n" if self._stream else ""
            return begin + yaml.safe_dump(facts(self._place, standing), sort_keys=False).rstrip("\n")
        cells = self._cells(standing)
        lines = []
        if not self._widths:
            self._widths = {
                title: max(len(title), len(cell), _WIDTHS.get(title, 0) if self._stream else 0)
                for title, cell in cells.items()
            }
            lines.append(self._line(self._widths))
        lines.append(self._line(cells.values()))
        return "\n".join(lines)

    def _cells(self, standing: Standing) -> dict[str, str]:
        record, asks = standing.record, standing.asks
        cells = {
            "LEASE": str(self._place),
            "STATE": standing.state,
            "HOLDER": record.holder or "-",
            "SINCE": _moment(record.acquire_time) if record.holder else "-",
            "TERM": str(record.transitions),
            "RENEWED": renewed(standing),
        }
        if self.wide:
            cells |= {
                "DURATION": f"{record.duration}s" if record.duration is not None else "-",
                "PRIORITY": str(asks.priority),
                "VERSION": str(standing.sight.version) if standing.sight is not None else "-",
            }
        cells |= {"REQUESTS": requests(standing) or "-"}
        return {title: plain(cell, MAX_REASON) for title, cell in cells.items()}

    def _line(self, cells: Iterable[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, self._widths.values(), strict=True))
        return "   ".join(padded).rstrip()


def renewed(standing: Standing) -> str:
    """How long ago a renewal was seen, or for how long none was."""
    if not standing.record.holder:
        return "-"
    if standing.renewed is not None:
        return f"{standing.renewed:.1f}s ago"
    return f"not in {standing.watched:.1f}s" if standing.watched >= 0.1 else "not yet seen"


def requests(standing: Standing) -> str:
    """What is asked for on the Lease, in a few words; empty where nothing is."""
    asks = standing.asks
    said = []
    if asks.hold is not None:
        said.append(f"hold: {reason(asks.hold)}")
    if asks.transfer_to:
        said.append("step down" if asks.transfer_to == ANYBODY else f"transfer to {plain(asks.transfer_to)}")
    return ", ".join(said)


def reason(hold: str) -> str:
    """Why nobody shall lead, in one line."""
    return plain(" ".join(hold.split()), MAX_REASON)


def describe(standing: Standing) -> str:
    """The state of the Lease as a clause, for sentences."""
    holder = plain(standing.record.holder)
    if standing.sight is None:
        clause = "the Lease does not exist"
    elif not holder:
        clause = "nobody leads"
    elif standing.state == "led" and standing.renewed is not None:
        clause = f"{holder} leads"
    else:
        silence = f"{standing.silence:.1f} s (of {standing.duration:g} s)"
        clause = f"{holder} holds the Lease, and no renewal was seen for {silence}"
    asked = requests(standing)
    return f"{clause}; on the Lease stands: {asked}" if asked else clause


def _moment(text: str | None) -> str:
    return text.partition(".")[0] + "Z" if text and text.endswith("Z") and "." in text else text or "-"
