"""Each Helm for the tests that ask for it."""

from collections.abc import Iterator

import pytest

from tests.chart.helm import helm_3, using
from tests.chart.programs import helm_4_or_skip


@pytest.fixture(scope="module", params=[3, 4], ids="helm-{}".format)
def each_helm(request: pytest.FixtureRequest) -> Iterator[int]:
    """Helm 3 of this environment, then Helm 4: the number of the one that `helm()` runs."""
    with using(helm_3() if request.param == 3 else helm_4_or_skip()):
        yield request.param
