"""While the gate closes, kopf complains of what is meant to happen: line by line, per handler. One summary replaces it.

At DEBUG, everything is still there.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


@contextmanager
def quiet() -> Iterator[None]:
    """Lower these lines of kopf to DEBUG."""
    filter_ = _Quiet()
    loggers = [logging.getLogger(name) for name in {name for name, _ in _LINES}]
    for logger in loggers:
        logger.addFilter(filter_)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(filter_)
