"""What the log says: one line for each change of state, each explaining itself."""

import asyncio
import logging
from typing import Any

from kopf_leader.errors import LeaseAPIError


def lines(caplog: Any, start: str) -> list[Any]:
    return [record for record in caplog.records if record.getMessage().startswith(start)]


def test_a_demotion_explains_itself_in_one_line(virtually: Any, caplog: Any) -> None:
    """A demotion explains itself in one line ("no renewal accepted for 10.0 s, last error: …")."""
    caplog.set_level(logging.INFO, "kopf_leader")

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def refuse(verb: str) -> None:
            raise LeaseAPIError("PUT of the Lease ns/op broke off, connection refused.")

        one.client.fault = refuse
        await world.until(lambda: not one.follower.leading)
        await asyncio.sleep(1)

    virtually(scene)
    (line,) = lines(caplog, "Stops leading")
    assert line.levelname == "WARNING"
    assert (
        "no renewal accepted for 10.0 s, last error: PUT of the Lease ns/op broke off, connection refused "
        "(Lease ns/op, identity one, term " in line.getMessage()
    )
    assert (line.lease, line.identity, line.reason) == ("ns/op", "one", "renew_deadline")


def test_the_last_error_is_that_of_the_writes(virtually: Any, caplog: Any) -> None:
    """When only writes fail, reads that succeed do not hide why."""
    caplog.set_level(logging.INFO, "kopf_leader")

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)

        async def refuse(verb: str) -> None:
            if verb == "update":
                raise LeaseAPIError("etcd has no space.", status=500)

        one.client.fault = refuse
        await world.until(lambda: not one.follower.leading)

    virtually(scene)
    (line,) = lines(caplog, "Stops leading")
    assert "last error: etcd has no space (" in line.getMessage()


def test_a_rival_is_named(virtually: Any, caplog: Any) -> None:
    """Losing the Lease to somebody: the line says to whom."""
    caplog.set_level(logging.INFO, "kopf_leader")

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        world.store.edit(holderIdentity="two")
        await world.until(lambda: not one.follower.leading)

    virtually(scene)
    (line,) = lines(caplog, "Stops leading")
    assert "somebody else holds the Lease, two (Lease ns/op" in line.getMessage()
    assert line.holder == "two"


def test_a_quiet_life_is_a_quiet_log(virtually: Any, caplog: Any) -> None:
    """One line per change of state at INFO, nothing per renewal, and no error in a clean shutdown."""
    caplog.set_level(logging.INFO, "kopf_leader")

    async def scene(world: Any) -> None:
        world.store.make()
        one = world.join("one")
        await world.until(lambda: one.follower.leading)
        two = world.join("two")
        await asyncio.sleep(3600)
        one.resign()
        await world.until(lambda: two.follower.leading)
        two.resign()
        await world.until(two.task.done)

    virtually(scene)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == [
        "Standing by for the Lease ns/op as one",  # it is free
        "Became leader",
        "Standing by for the Lease ns/op as two",  # one holds it
        "Stops leading",
        "Standing by for the Lease ns/op as two",  # it is free
        "Became leader",
        "Stops leading",
    ]
    assert all(record.lease == "ns/op" for record in caplog.records)
