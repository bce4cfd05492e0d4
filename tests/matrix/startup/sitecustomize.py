"""A wall clock that is off: Python imports this at start-up, where this folder is on PYTHONPATH.

Covered: `time.time`, `time.time_ns`, and `now`, `utcnow`, `today` of `datetime.datetime`: what kopf, kopf_leader,
logging and handlers read. Not covered: what C code reads by itself (OpenSSL's look at certificates' dates), and the
kernel's (times of files). The monotonic clocks are left alone, as a step of the real wall clock leaves them alone.
"""

import datetime as dt
import os
import time

_FILE = f"{os.environ['KOPF_LEADER_CLOCK_OFFSET']}.{os.getpid()}"
_time, _time_ns, _datetime = time.time, time.time_ns, dt.datetime


def _offset() -> float:
    """Seconds; read anew each time, so that the clock can be stepped from outside."""
    try:
        with open(_FILE) as file:  # noqa: PTH123 (pathlib is not loaded yet)
            return float(file.read() or 0)
    except OSError:
        return 0.0


class _Shifted(_datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + dt.timedelta(seconds=_offset())

    @classmethod
    def utcnow(cls):
        return super().now(dt.UTC).replace(tzinfo=None) + dt.timedelta(seconds=_offset())

    @classmethod
    def today(cls):
        return cls.now()


time.time = lambda: _time() + _offset()
time.time_ns = lambda: _time_ns() + int(_offset() * 1e9)
dt.datetime = _Shifted
