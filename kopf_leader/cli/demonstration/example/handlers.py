"""An ordinary kopf operator. It knows nothing of leaders; whether it runs alone is said on the command line.

It makes widgets, which takes a moment each, and it looks after those that are labelled so, for ever. What it does it
writes into a notebook (a file that all replicas share), from which the demo counts afterwards.
"""

import asyncio
from typing import Any

import kopf

from kopf_leader.testing.facts import Notebook

WIDGETS = ("demo.kopf-leader.example", "v1", "widgets")
MAKING = 0.15  # seconds that it takes to make a widget
LOOKING = 0.1  # seconds that it takes to look after one
PAUSE = 0.25  # seconds from one look to the next

notebook = Notebook.from_environment()


@kopf.on.login()
def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """Go by the kubeconfig file alone, whatever else is installed: the demo writes one for each replica."""
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Post no events, so that the demo leaves none in the user's cluster."""
    settings.posting.enabled = False


@kopf.on.create(*WIDGETS)
async def make(uid: str, name: str, patch: kopf.Patch, **_: Any) -> None:
    """Make a widget, and say in its status who did."""
    with notebook.handling(handler="make", uid=uid, name=name, change="created"):
        await asyncio.sleep(MAKING)
    patch.status["madeBy"] = notebook.replica


@kopf.timer(*WIDGETS, labels={"tended": kopf.PRESENT}, interval=PAUSE)
async def look_after(uid: str, name: str, **_: Any) -> None:
    """Look after a widget: work that goes on without any news from the API server."""
    with notebook.handling(handler="look after", uid=uid, name=name):
        await asyncio.sleep(LOOKING)
