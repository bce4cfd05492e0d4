"""Who looks at the clock for all seats of this process, in one thread: it is there while a seat is.

It is no part of the elections' thread, nor of the users' ones, as it is there for the time when those are dead or hang:
then nothing else would tell the user that a term is over by the clock (L7), or end a process whose work does not end
(L12).
"""

import logging
import os
import threading
from typing import Any

from kopf_leader.elector.seat import Seat

logger = logging.getLogger("kopf_leader")


class Guardian(threading.Thread):
    """Looks after seats until none is left; see `guard`."""

    def __init__(self) -> None:
        super().__init__(name="elections' guardian", daemon=True)
        self.seats: set[Seat[Any]] = set()
        self.changed = threading.Event()
        self._blamed: set[Seat[Any]] = set()

    def run(self) -> None:
        while seats := self._present():
            for seat in seats:
                self._look(seat)
            self.changed.wait(min(seat.period for seat in seats))
            self.changed.clear()

    def _present(self) -> set[Seat[Any]]:
        global _current  # noqa: PLW0603 (one in a process)
        with _lock:
            if not self.seats and _current is self:
                _current = None
            return set(self.seats)

    def _look(self, seat: Seat[Any]) -> None:
        try:
            seat.look()
        except Exception as error:  # whatever it is, the other seats need the guardian
            if seat not in self._blamed:
                self._blamed.add(seat)
                logger.critical("The guardian fails: report this as a defect of kopf_leader.", exc_info=error)


_lock = threading.Lock()
_current: Guardian | None = None


def guard(seat: Seat[Any]) -> None:
    """Look after this seat until it is dismissed. Raises RuntimeError where no thread can be started."""
    global _current  # noqa: PLW0603 (one in a process)
    with _lock:
        if _current is None or not _current.is_alive():
            begun = Guardian()
            begun.seats.add(seat)
            begun.start()
            _current = begun
        else:
            _current.seats.add(seat)
            _current.changed.set()


def dismiss(seat: Seat[Any]) -> None:
    """Look after it no more; idempotent."""
    with _lock:
        if _current is not None:
            _current.seats.discard(seat)
            _current.changed.set()


def _forked() -> None:
    """A child has the parent's variables, and none of its threads."""
    global _lock, _current
    _lock, _current = threading.Lock(), None


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)
