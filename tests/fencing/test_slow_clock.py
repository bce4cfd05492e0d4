"""A leader whose clock runs at half the speed: beyond what clocks can bear (a ratio of 1.5), the fence holds."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from kopf_leader.testing.proxy import Proxy
from tests.fencing.replicas import Operator
from tests.fencing.site import Site

pytestmark = pytest.mark.xdist_group("real")
FLAGS = ("--leader-election-lease-duration=6s", "--leader-election-renew-deadline=5s",
         "--leader-election-retry-period=500ms")  # fmt: skip


def test_a_leader_with_a_slow_clock_changes_nothing_after_the_takeover(site: Site, operator: Operator):
    """Cut off, it goes on for 11.6 s, and another one leads after 6: then its writes come through, but the fenced."""
    site.fence(resources=("configmaps",))
    where = urlsplit(site.plane.url)
    with Proxy(where.hostname or "", where.port or 0) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        operator.start("slow", handlers="slow.py", flags=FLAGS, environment={"RATE": "0.5"}, url=url)
        operator.wait_for_holder("slow")
        operator.create()
        operator.replicas.wait_until(
            lambda: any(each["fenced"] == 200 for each in operator.outcomes("slow")), what="the first leader at work"
        )
        operator.start("b", handlers="plain.py", flags=FLAGS)
        operator.replicas.wait_until(lambda: "Standing by" in operator.replicas["b"].log.read_text(), what="a standby")
        proxy.cut()
        operator.wait_for_holder("b")
        site.until_allowed(site.api(site.token(site.admin.get(site.pods + "/b")["metadata"])))
        before = len(operator.outcomes("slow")) + 1  # one may be under way
        operator.replicas.wait_until(lambda: len(operator.outcomes("slow")) > before + 1, what="writes of the slow one")
        late = operator.outcomes("slow")[before:]
    assert {each["open"] for each in late} == {200}, "this is what fencing is for"
    assert {each["fenced"] for each in late} == {403}
