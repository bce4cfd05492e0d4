"""A candidate that behaves like client-go's leader election, to compete with ours for one Lease.

It polls every 2.0 to 4.4 s, compares records with whole seconds only, counts from the reply, and stops its work
12 s after the last renewal that it knows of. Its work ends at once when it stops, and before it releases.
"""

from typing import Any

from kopf_leader.protocol.record import stamp
from kopf_leader.testing.clock import LocalClock
from kopf_leader.testing.world import WALL, World

LEASE, DEADLINE, RETRY, TIMEOUT = 15.0, 10.0, 2.0, 5.0


class Rival:
    """Defaults of client-go; `lag` is the longest time of a request or a reply, in true seconds."""

    def __init__(self, world: World, name: str, *, rate: float = 1.0, lag: float = 0.3) -> None:
        self.world, self.name, self.lag = world, name, lag
        self.clock = LocalClock(world.clock, rate=rate, wall=WALL + world.rng.randrange(1_000_000))
        self.identity = f"{name}_0"
        self.alive, self.leading, self.cut = True, False, False
        self.waking = self.frozen = False
        self.lives = 0
        self.lease: dict[str, Any] | None = None
        self.raw: Any = None
        self.observed_at = -1e9
        self.deadline = -1e9
        self._again(0.0)

    @property
    def open(self) -> bool:
        return self.running

    @property
    def running(self) -> bool:
        return self.alive and self.leading

    def crash(self) -> None:
        self.lives += 1
        self.alive = self.leading = False

    def restart(self) -> None:
        self.crash()
        self.alive, self.lease, self.raw = True, None, None
        self.identity = f"{self.name}_{self.lives}"
        self._again(0.0)

    def resign(self) -> None:
        """Cancelled, with ReleaseOnCancel: the work has ended before the release is sent; then it starts anew."""
        if self.leading and self.lease is not None:
            self.leading = False
            released = {**self.lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()}
            body = {**self.lease, "spec": released}
            self._request(lambda: self.world.store.replace(body), lambda _: self.restart(), self.restart)
        else:
            self.restart()

    def _now(self) -> str:
        return stamp(self.clock.utc())

    def _later(self, seconds: float, happen: Any) -> None:
        life = self.lives
        self.world.clock.after(seconds / self.clock.rate, lambda: happen() if life == self.lives else None)

    def _again(self, seconds: float) -> None:
        self._later(seconds, self._try)

    def _request(self, serve: Any, answer: Any, fail: Any) -> None:
        rng, done = self.world.rng, False

        def give_up() -> None:
            nonlocal done
            if not done:
                done = True
                fail()

        def reply(result: Any) -> None:
            nonlocal done
            if not done and not self.cut:
                done = True
                answer(result)

        def arrive() -> None:
            result = serve()
            self._later(rng.random() * self.lag, lambda: reply(result))

        self._later(TIMEOUT, give_up)
        if not self.cut:
            self.world.clock.after(rng.random() * self.lag, arrive)

    def _try(self) -> None:
        if self.leading and self.clock.time() >= self.deadline:
            self._lost()
        elif self.leading and self.lease is not None:
            self._write(self.lease, self.lease["spec"], fallback=self._get)
        else:
            self._get()

    def _get(self) -> None:
        self._request(lambda: (self.world.store.lease,), self._got, self._failed)

    def _got(self, result: Any) -> None:
        (lease,) = result
        if lease is None:
            body = {"metadata": {"name": "election"}, "spec": self._spec(0, None)}
            self._request(lambda: self.world.store.create(body), self._written, self._failed)
            return
        spec = lease.get("spec") or {}
        raw = [str(spec.get(key))[:19] for key in ("holderIdentity", "acquireTime", "renewTime", "leaseTransitions")]
        if raw != self.raw:
            self.raw, self.observed_at = raw, self.clock.time()
        holder = spec.get("holderIdentity") or ""
        valid = self.observed_at + (spec.get("leaseDurationSeconds") or 0) > self.clock.time()
        if holder and valid and holder != self.identity:
            self._failed()
        else:
            self._write(lease, spec, fallback=self._failed)

    def _spec(self, transitions: int, acquired: str | None) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(LEASE),
            "acquireTime": acquired or self._now(),
            "renewTime": self._now(),
            "leaseTransitions": transitions,
        }

    def _write(self, lease: dict[str, Any], spec: dict[str, Any], *, fallback: Any) -> None:
        mine = spec.get("holderIdentity") == self.identity
        transitions = (spec.get("leaseTransitions") or 0) + (not mine)
        body = {**lease, "spec": {**spec, **self._spec(transitions, spec.get("acquireTime") if mine else None)}}
        self._request(
            lambda: self.world.store.replace(body),
            lambda result: self._written(result) if result[1] is not None else fallback(),
            fallback,
        )

    def _written(self, result: Any) -> None:
        if result[1] is None:
            self._failed()
            return
        self.lease, self.deadline = result[1], self.clock.time() + RETRY + DEADLINE
        life, started = self.lives, not self.leading
        self.leading = True
        self._later(RETRY + DEADLINE, lambda: self._check(life))
        if started:
            self.world.note(self, "stepped")  # type: ignore[arg-type]  # a rival is seen like a candidate
        self._again(RETRY)

    def _check(self, life: int) -> None:
        if life == self.lives and self.leading and self.clock.time() >= self.deadline - 1e-9:
            self._lost()

    def _lost(self) -> None:
        self.leading = False
        self.restart()

    def _failed(self) -> None:
        self._again(RETRY if self.leading else RETRY * (1 + 1.2 * self.world.rng.random()))
