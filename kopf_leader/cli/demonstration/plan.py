"""What was asked of the demo, and how it can end early."""

from dataclasses import dataclass
from pathlib import Path

from kopf_leader.cli.refused import Refused
from kopf_leader.errors import SettingsError
from kopf_leader.protocol.settings import Settings

LEASE = "widgets"  # --leader-election-id
LETTERS = "ABCDE"


class Broken(Exception):  # noqa: N818 (a promise was broken: the finding of the demo, not a malfunction of it)
    """A promise was broken before the scenario came to its end. Exit status 1."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The options of the demo. Times are in seconds."""

    replicas: int = 3
    lease_duration: float = 6.0
    rate: float = 5.0
    """Objects created per second."""
    kubeconfig: Path | None = None
    """None: the embedded API server."""
    context: str | None = None
    namespace: str = "kopf-leader-demo"
    """The prefix of the namespace's name."""
    plain: bool = False
    verbose: bool = False
    keep_logs: Path | None = None

    @property
    def names(self) -> str:
        """The names of the replicas: A, B, …"""
        return LETTERS[: self.replicas]

    @property
    def renew_deadline(self) -> float:
        """Two thirds of the lease duration, as in the defaults (15/10)."""
        return self.lease_duration * 2 / 3

    @property
    def retry_period(self) -> float:
        """A sixth of the lease duration (the defaults, 15/2, are close)."""
        return self.lease_duration / 6

    def check(self) -> None:
        """Hold the times to the election's own rules (L18); raises `Refused`."""
        try:
            self.settings()
        except SettingsError as error:
            raise Refused(
                f"A lease duration of {self.lease_duration:g} s will not do for the demo, which derives the other "
                f"times from it: pass --lease-duration 3s or more. ({error})"
            ) from error

    def settings(self) -> Settings:
        """The settings that the replicas will have."""
        return Settings(
            name=LEASE,
            namespace="demo",
            identity="demo",
            lease_duration=self.lease_duration,
            renew_deadline=self.renew_deadline,
            retry_period=self.retry_period,
        )
