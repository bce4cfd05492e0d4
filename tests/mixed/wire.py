"""The record, written by one and read by the other."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
from typing import Any

from kopf_leader.protocol.record import decode
from tests.mixed import programs
from tests.mixed.fleet import LEASE, LEASES, Fleet, MissingError

MICROS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def play(fleet: Fleet) -> None:
    """Ours leads, releases; client-go leads, releases; ours leads. At rest both must read the same."""
    path = f"{LEASES.format(fleet.namespace)}/{fleet.leases[0]}"
    stranger = {"annotations": {"example.com/note": "kept"}, "labels": {"team": "blue"}}
    fleet.control_plane.admin.patch(path, {"metadata": stranger})
    transitions = []
    for kind, name in (("ours", "a"), ("client-go", "x"), ("ours", "b")):
        fleet.start(kind, name)
        fleet.wait_leader(name)
        led = fleet.read()
        theirs, ours = _by_clientgo(fleet), _by_ours(led)
        for field in ("holder", "duration", "transitions", "acquired"):  # it is renewed all the while
            assert theirs[field] == ours[field], f"{field}: client-go reads {theirs}, ours {ours}"
        assert ours["holder"].startswith(f"{name}_")
        assert ours["duration"] == LEASE
        transitions.append(ours["transitions"])
        _check_form(led)
        fleet.replicas[name].stop()
        assert fleet.replicas[name].wait() == 0, fleet.replicas[name].tail()
        free = fleet.read()
        theirs, ours = _by_clientgo(fleet), _by_ours(free)
        assert theirs == ours, "after the release nobody writes any more"
        assert (ours["holder"], ours["duration"], ours["transitions"]) == ("", 1, transitions[-1])
        assert decode(free["spec"]).released, "ours knows the release for one"
        _check_form(free)
        for what, values in stranger.items():
            assert free["metadata"][what].items() >= values.items(), f"{kind} has dropped {what}"
    assert transitions == [transitions[0] + number for number in range(3)]
    fleet.notes.append(
        "leaseTransitions " + ", ".join(map(str, transitions)) + "; both read the same times and holders"
    )


def _by_clientgo(fleet: Fleet) -> dict[str, Any]:
    program = programs.command("client-go")
    if program is None:
        raise MissingError(programs.missing("client-go"))
    config = fleet.control_plane.kubeconfig(fleet.folder / "reader", token=fleet.control_plane.admin_token)
    command = [*program, f"--kubeconfig={config}", f"--namespace={fleet.namespace}", f"--read={fleet.leases[0]}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return dict(json.loads(output.splitlines()[-1]))


def _by_ours(lease: dict[str, Any]) -> dict[str, Any]:
    record = decode(lease["spec"])
    return {
        "holder": record.holder,
        "duration": record.duration,
        "transitions": record.transitions,
        "acquired": _micros(record.acquire_time),
        "renewed": _micros(record.renew_time),
    }


def _micros(text: str | None) -> int:
    assert text is not None
    moment = dt.datetime.fromisoformat(text)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _check_form(lease: dict[str, Any]) -> None:
    spec = lease["spec"]
    assert all(MICROS.fullmatch(spec[field]) for field in ("acquireTime", "renewTime")), spec
