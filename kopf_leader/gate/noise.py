"""While the gate closes, kopf complains of what is meant to happen: line by line, per handler. One summary replaces it.

So it does of the API server's fence, when a term has just begun and the API server does not know it yet.

At DEBUG, everything is still there.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from kopf_leader.gate.fence import young

REFUSED = "fencing: only the pod that holds the Lease"
"""How the policy's message begins, in the chart and in `kopf-leader manifest`."""

# logger, piece of the message: what it is about
_LINES = (
    ("kopf.objects", "is cancelled. Will escalate."),  # a handler that did not end in time; the gate counts them
    ("kopf.activities.started_leading", "is cancelled. Will escalate."),
    ("kopf.activities.stopped_leading", "is cancelled. Will escalate."),
    (
        "kopf.objects",
        "did not exit in time. Leaving it orphaned.",
    ),  # a daemon or timer that the gate goes on to wait for
    ("asyncio", "request_cancel_callback"),  # kopf's mistake when a pause meets a watch that is just being opened
    ("kopf._core.reactor.queueing", "Unprocessed streams left"),  # events that are dropped on purpose
)


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        message = record.getMessage()
        if not any(record.name == name and piece in message for name, piece in _LINES):
            return True
        return _lowered(record)


class _Fenced(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG or not young():
            return True
        message = record.getMessage()
        return _lowered(record) if "failed; will retry" in message and REFUSED in message else True


def _lowered(record: logging.LogRecord) -> bool:
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def quiet() -> AbstractContextManager[None]:
    """Lower to DEBUG what kopf says while the gate closes."""
    return _filtering(_Quiet(), {name for name, _ in _LINES})


def quiet_at_first() -> AbstractContextManager[None]:
    """Lower to DEBUG what kopf says of writes that the API server's fence refuses to a young term, and it retries."""
    return _filtering(_Fenced(), {"kopf.objects"})


@contextmanager
def _filtering(filter_: logging.Filter, names: Iterable[str]) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(filter_)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(filter_)
