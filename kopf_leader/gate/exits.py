"""How the gate ends the process when something does not end, and says what went wrong in it."""

import asyncio
import logging
from typing import Any

from kopf_leader.elector.election import Election
from kopf_leader.elector.leave import leave
from kopf_leader.gate.lanes import Lanes
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.state import Reason

logger = logging.getLogger("kopf_leader.gate")


def leave_term(tenure: Tenure, reason: Reason) -> None:
    """End the process, as something of the term goes on (L12)."""
    running = tenure.running()
    owed = ", and hooks of stopped_leading wait for their turn" if tenure.owes else ""
    work = f"{len(running)} tasks and {tenure.threads} threads"
    leave(f"{reason.value}, and still at work are {work}{owed}.", running)


def leave_lanes(lanes: Lanes | None, election: Election) -> None:
    """End the process if it only stays for what runs on every replica and does not end; the Lease waits for none."""
    running = [] if lanes is None else lanes.running()
    if running and election.join(0):
        why = f"its time to stop is over, and of what runs on every replica, {len(running)} are still at work."
        leave(why, running, leading=False)


def tell_failure(task: asyncio.Task[Any]) -> None:
    """Say at once what would be said by nobody while the operator is being cancelled, or waits for other tasks."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("The %s has failed: report this as a defect of kopf_leader.", task.get_name(), exc_info=error)
