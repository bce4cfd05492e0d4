"""A candidate for scripts without an event loop. The election runs in a thread; the script runs as it is."""

import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar, Unpack, cast

from kopf_leader.elector.candidacy import Candidacy, prepare, release_timeout, stand
from kopf_leader.elector.guardian import dismiss, guard
from kopf_leader.elector.seat import Seat
from kopf_leader.elector.standings import Leading, Standing
from kopf_leader.errors import ElectionDied, NotLeader

logger = logging.getLogger("kopf_leader")

Result = TypeVar("Result")


class BlockingElector:
    """A candidate for the Lease `name`, for as long as the `with` block lasts: `Elector`, for threads.

        with BlockingElector("my-job", client="kubernetes") as elector:
            elector.run(work)

        def work(leading):
            while not leading.ended.wait(5):
                ...

    Arguments, errors, release and the exit of a process whose work does not end are those of `Elector`; nothing can be
    cancelled here, so the work has to look at `leading.ended`, which is a `threading.Event`, or at `leading.term`.
    """

    def __init__(self, name: str, **candidacy: Unpack[Candidacy]) -> None:
        self._settings, self._client = prepare(name, candidacy)
        self._entered = False
        self._left = False
        self._woken = threading.Event()
        self._iterating: Callable[[], object] = lambda: None

    @property
    def identity(self) -> str:
        """Who this candidate is, in the Lease and in logs."""
        return self._settings.identity

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("A BlockingElector stands once: make a new one.")
        self._entered = True
        self._seat: Seat[threading.Event] = Seat(
            self._settings, make_event=threading.Event, tell=lambda event: event.set(), changed=self._woken.set
        )
        self._seat.election = stand(self._settings, self._client, self._seat)
        self._seat.election.start()
        try:
            guard(self._seat)
        except BaseException:
            self._seat.leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left = True
        self._woken.set()
        self._seat.leave()
        try:
            if not self._seat.election.join(release_timeout(self._settings)):
                logger.warning("The Lease may not have been given back: the next leader waits until it expires.")
        finally:
            dismiss(self._seat)

    def standings(self) -> Iterator[Standing[threading.Event]]:
        """Where this candidate stands, each time that it changes; see `Elector.standings()`. Blocks between them.

        Signal handlers run while it blocks, and may raise: a KeyboardInterrupt, or a SystemExit for SIGTERM, leaves the
        `with` block and so releases the Lease.
        """
        if not self._entered:
            raise RuntimeError("Enter the BlockingElector first: with BlockingElector(…) as elector.")
        if self._iterating() is not None:
            raise RuntimeError("The standings go to one loop at a time, or nobody could tell when the work is over.")
        standings = _Standings(self)
        self._iterating = weakref.ref(standings)
        return standings

    def run(self, function: Callable[[Leading[threading.Event]], Result]) -> Result:
        """Call `function(leading)` in each term, until it ends by itself; what it returns or raises.

        When the term has to end, `leading.ended` is set and the function is to return, or to raise the `NotLeader` of
        its term; the Lease is released when it has, and it is called anew in the next term. One that returns before is
        done. Threads that it has started are its own to stop. Raises as `standings()` does.
        """
        standings = self.standings()
        self._seat.minded = True
        try:
            return self._run(function, standings)
        finally:
            self._seat.minded = False

    def _run(
        self, function: Callable[[Leading[threading.Event]], Result], standings: Iterator[Standing[threading.Event]]
    ) -> Result:
        for standing in standings:
            if isinstance(standing, Leading):
                failure = result = None
                try:
                    result = function(standing)
                except NotLeader as error:
                    failure = error
                except BaseException:
                    self._seat.put_down(standing)
                    raise
                if not self._seat.put_down(standing):
                    if failure is not None:
                        raise failure
                    return cast("Result", result)
        raise RuntimeError("The BlockingElector was left while its work was run.")

    def _next(self, last: Standing[threading.Event] | None) -> Standing[threading.Event]:
        while True:
            self._woken.clear()
            if self._left:
                raise StopIteration
            standing = self._seat.next(last)
            if standing is not None:
                return standing
            if self._seat.dead:
                raise ElectionDied(self._settings.name)
            self._woken.wait()


class _Standings:
    """One loop over the standings; no generator, so that an exception while it waits does not end it."""

    def __init__(self, elector: BlockingElector) -> None:
        self._elector = elector
        self._last: Standing[threading.Event] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Standing[threading.Event]:
        self._last = self._elector._next(self._last)  # noqa: SLF001 (of this module)
        return self._last
