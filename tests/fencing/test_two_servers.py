"""Several API servers behind one address: each of them learns of the holder by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kopf_leader.testing.proxy import Proxy
from tests.fencing.site import Site

pytestmark = pytest.mark.xdist_group("real")
LAG = 0.3  # seconds


@pytest.fixture
def lagging(site: Site) -> Iterator[str]:
    """The URL of a second API server, which hears of everything later than the first one."""
    with Proxy("127.0.0.1", site.plane.etcd_port) as proxy:
        url = site.plane.start_second(etcd_port=proxy.port)
        proxy.delay(LAG)
        try:
            yield url
        finally:
            site.plane.kill("second")


def test_each_api_server_fences(site: Site, lagging: str):
    """A takeover by the one is seen by the other: there, too, the old holder is refused, and the new one is not."""
    first = {pod: site.pod(pod) for pod in ("a", "b")}
    second = {pod: replace(api, url=lagging) for pod, api in first.items()}
    site.hold("a")
    site.fence()
    for servers in (first, second):
        site.until_allowed(servers["a"])
        site.until_refused(servers["b"])
    site.hold("b")
    for servers in (first, second):
        site.until_allowed(servers["b"])
        site.until_refused(servers["a"])
