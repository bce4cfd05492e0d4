"""Whether an event loop turns, asked from outside of it."""

import threading
from collections.abc import Callable


class Pulse:
    """Asks a loop for a sign of life with each `beat()`, and counts the beats since it has given none.

    Time is counted in beats, not by a clock: a machine that was suspended for an hour has missed one.
    """

    def __init__(self, call: Callable[[Callable[[], None]], bool]) -> None:
        """`call` has the loop call a function soon; it returns False where there is no loop to be asked."""
        self._call = call
        self._lock = threading.Lock()
        self._answered = True
        self._missed = 0

    @property
    def missed(self) -> int:
        """How many beats have passed without an answer to the question of the first of them."""
        return self._missed

    def beat(self) -> None:
        """Ask, or count one more."""
        with self._lock:
            if not self._answered:
                self._missed += 1
                return
            self._missed = 0
            self._answered = not self._call(self._answer)

    def _answer(self) -> None:
        with self._lock:
            self._answered = True
            self._missed = 0
