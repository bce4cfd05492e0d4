"""Whose fault it is: one class per answer.

`SettingsError` is the fault of whoever configured the election, `NotLeader` of the code that acts without a term,
`LeaseAPIError` of the world between this process and the API server, `UnsupportedKopf` of the pair of versions
installed, `ElectionDied` of this package. Each message is one sentence that also says what to do next.
"""

from collections.abc import Iterable


class ElectionError(Exception):
    """The root of what this package raises."""


class SettingsError(ElectionError, ValueError):
    """The configuration breaks a rule (L18): the fault of whoever wrote it; nothing has been started.

    `sentences` has one sentence for each violated rule.
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__(" ".join(self.sentences))


class NotLeader(ElectionError):  # noqa: N818 (a state of the world, not a malfunction)
    """The caller acts as the leader and has no valid term: stop the work, the next leader takes it up."""


class ElectionDied(ElectionError):  # noqa: N818 (what has happened)
    """The election's thread has ended by a defect, ours or of the client passed: the log has the traceback."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The election for the Lease {name!r} has died, and leadership runs out: see the log for the reason, and "
            "restart this process."
        )


class UnsupportedKopf(ElectionError):  # noqa: N818 (named by its subject)
    """The installed kopf lacks a place that the gate needs: the operator is not started, as it would run ungated."""


class LeaseAPIError(ElectionError):
    """The API server, or the way to it, failed: the fault of neither the user nor the caller.

    `status` is the HTTP status, or None when no complete answer arrived. `retry_after` is the pause that the server
    asked for, in seconds, or None. Whether a write was refused or may still take effect: see `refused`.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def refused(self) -> bool:
        """Whether the server answered that it did *not* do it (L4). Everything else leaves the outcome unknown."""
        return self.status is not None and 400 <= self.status < 500 and self.status != 408

    @property
    def denied(self) -> bool:
        """Whether the credentials (401) or the rights (403) are the reason."""
        return self.status in (401, 403)
