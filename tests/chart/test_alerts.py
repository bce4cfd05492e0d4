"""The alerts by promtool, in virtual time: each fires when it should, and is silent while nobody need get up."""

import itertools
import math
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kopf_leader.protocol.durations import parse_duration
from tests.chart.helm import Values, render, the
from tests.chart.programs import prometheus_or_skip

METRICS = {"enabled": True, "prometheusRule": {"enabled": True}, "podMonitor": {"enabled": True}}
RARE = {**METRICS, "podMonitor": {"enabled": True, "interval": "2m"}}
SLOW = {"leaseDuration": "60s", "renewDeadline": "40s", "retryPeriod": "5s"}
PACES: dict[str, tuple[Values, float, float]] = {
    "by default": ({"metrics": METRICS}, 30, 10),
    "rarely scraped": ({"metrics": RARE}, 120, 10),
    "slow and rarely scraped": ({"metrics": RARE, "leaderElection": SLOW}, 120, 40),
}
"""Values, the seconds between two scrapes, and the renew deadline."""
NOBODY, TWO, FLAPS, LATE = (
    f"KopfOperator{name}" for name in ("NobodyLeads", "TwoLeaders", "LeadershipFlaps", "RenewalsSlow")
)
LAST = 60
"""The last scrape of a story."""
EVALUATED = 30
"""Seconds between two evaluations of the rules."""
Samples = Iterable[float | str]


class Stories:
    """The chart's rules, and what promtool makes of them in stories that are counted in scrapes."""

    def __init__(self, values: Values, *, interval: float, deadline: float, folder: Path) -> None:
        self.interval, self.deadline, self.folder = interval, deadline, folder
        (group,) = the(render(also=values), "PrometheusRule")["spec"]["groups"]
        self.rules = {rule["alert"]: rule for rule in group["rules"]}
        (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))

    def lasts(self, alert: str) -> int:
        """For how many scrapes it has to be true until it fires."""
        return math.ceil(parse_duration(self.rules[alert]["for"]) / self.interval)

    def silent(self, series: dict[str, Samples]) -> None:
        """No alert fires, whenever the rules are evaluated."""
        moments = range(0, round(LAST * self.interval), EVALUATED)
        self.check(series, {moment / self.interval: set() for moment in moments})

    def check(self, series: dict[str, Samples], firing: dict[float, set[str]]) -> None:
        """At each of these scrapes these alerts fire, and no others."""
        assert set.union(*firing.values()) <= self.rules.keys()
        alerts = [
            {
                "eval_time": f"{scrape * self.interval:g}s",
                "alertname": name,
                "exp_alerts": [self._as_fired(rule)] if name in names else [],
            }
            for scrape, names in firing.items()
            for name, rule in self.rules.items()
        ]
        inputs = [
            {"series": name, "values": " ".join(f"{each}" for each in samples)} for name, samples in series.items()
        ]
        interval = f"{self.interval:g}s"
        story = {"interval": interval, "input_series": inputs, "alert_rule_test": alerts}
        content = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{EVALUATED}s", "tests": [story]}
        (self.folder / "story.yaml").write_text(yaml.safe_dump(content))
        command = [prometheus_or_skip().promtool, "test", "rules", "story.yaml"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def _as_fired(self, rule: dict[str, Any]) -> dict[str, Any]:
        return {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}


@pytest.fixture(params=PACES)
def stories(request: pytest.FixtureRequest, tmp_path: Path) -> Stories:
    """The rules by the chart's defaults, and by timings far from them."""
    values, interval, deadline = PACES[request.param]
    return Stories(values, interval=interval, deadline=deadline, folder=tmp_path)


def leads(pod: str, *samples: tuple[float | str, int]) -> dict[str, Samples]:
    """Whether a pod leads: values, each for so many scrapes. "_" is a scrape without, "stale" the end of the pod."""
    labels = f'name="op-kopf-operator",namespace="apps",pod="{pod}"'
    return {f"leader_election_master_status{{{labels}}}": [value for value, count in samples for _ in range(count)]}


def begun(pod: str, samples: Samples) -> dict[str, Samples]:
    """How many terms a pod has begun so far."""
    labels = f'name="op-kopf-operator",namespace="apps",pod="{pod}",to="leader",reason="acquired"'
    return {f"kopf_leader_transitions_total{{{labels}}}": samples}


def age(pod: str, samples: Samples) -> dict[str, Samples]:
    """The seconds since a pod's last renewal."""
    labels = f'name="op-kopf-operator",namespace="apps",pod="{pod}"'
    return {f"kopf_leader_last_renewal_age_seconds{{{labels}}}": samples}


def usual(deadline: float, count: int = LAST) -> Samples:
    """Ages as scrapes meet them while all is well: up to a retry period and a little."""
    return itertools.islice(itertools.cycle([0.01 * deadline, 0.19 * deadline, 0.1 * deadline]), count)


HEALTHY = {**leads("a", (1, LAST)), **leads("b", (0, LAST))}


def test_nobody_is_woken_while_all_is_well(stories: Stories):
    """A leader, a standby, an update by which the lead moves twice: no alert, at no time."""
    series = {
        **leads("a", (1, 20), ("stale", 1)),
        **leads("b", (0, 20), (1, 10), ("stale", 1)),
        **leads("c", ("_", 18), (0, 12), (1, 30)),
        **leads("d", ("_", 28), (0, 32)),
        **begun("a", [1] * 20),
        **begun("b", [0] * 20 + [1] * 10),
        **begun("c", ["_"] * 18 + [0] * 12 + [1] * 30),
        **age("a", usual(stories.deadline, 20)),
        **age("b", ["_"] * 20 + [*usual(stories.deadline, 10)]),
        **age("c", ["_"] * 30 + [*usual(stories.deadline, 30)]),
    }
    stories.silent(series)


def test_nobody_leads(stories: Stories):
    """Standbys only, for as long as no election takes: it fires, and no longer when somebody leads."""
    lasts = stories.lasts(NOBODY)
    series = {**leads("a", (1, 10), ("stale", 1)), **leads("b", (0, 40), (1, 20))}
    stories.check(series, {9: set(), 10 + lasts - 1: set(), 10 + lasts: {NOBODY}, 39: {NOBODY}, 40: set()})


def test_nobody_is_there(stories: Stories):
    """The last replica is gone, and with it the series: that is the same alert, and not one that begins anew."""
    lasts = stories.lasts(NOBODY)
    series = {**leads("a", (1, 10), ("stale", 1)), **leads("b", (0, 11), ("stale", 1))}
    stories.check(series, {10 + lasts - 1: set(), 10 + lasts: {NOBODY}, 59: {NOBODY}})


def test_an_election_wakes_nobody(stories: Stories):
    """A crash: nobody leads for one and a half lease durations, which is no alert."""
    gap = math.ceil(1.5 * 1.5 * stories.deadline / stories.interval)  # the lease duration is 1.5 renew deadlines here
    series = {**leads("a", (1, 10), ("stale", 1)), **leads("b", (0, 10 + gap), (1, 50 - gap))}
    stories.silent(series)


def test_two_leaders(stories: Stories):
    """Two that say they lead, for longer than scrapes of different moments can make it look so."""
    lasts = stories.lasts(TWO)
    series = {**leads("a", (1, LAST)), **leads("b", (0, 10), (1, 30), (0, 20))}
    stories.check(series, {10 + lasts - 1: set(), 10 + lasts: {TWO}, 39: {TWO}, 40: set()})


def test_a_handover_between_two_scrapes_is_not_two_leaders(stories: Stories):
    """One pod was scraped before it released, the other after it acquired: that lasts for one interval at most."""
    series = {**leads("a", (1, 11), (0, 49)), **leads("b", (0, 10), (1, 50))}
    stories.silent(series)


def test_leadership_flaps(stories: Stories):
    """The lead changes more than five times in a quarter of an hour, there and back; afterwards it is forgotten."""
    change = 90 / stories.interval  # scrapes from one change to the next
    turns = [int(min(scrape, 30) / change) for scrape in range(LAST)]
    series = HEALTHY | begun("a", [1 + turn // 2 for turn in turns]) | begun("b", [(turn + 1) // 2 for turn in turns])
    forgotten = 30 + math.ceil(900 / stories.interval) + 1
    stories.check(series, {2: set(), 30: {FLAPS}, forgotten: set()})


def test_renewals_are_slow(stories: Stories):
    """Each renewal, or one of some, takes most of the renew deadline: scrapes see it at times, and it fires."""
    lasts = stories.lasts(LATE)
    for ages in ([0.75], [0.4, 0.8], [0.2, 0.3, 0.9]):
        if len(ages) == 1 or len(ages) * stories.interval <= 180:  # rare scrapes cannot see the others
            late = [each * stories.deadline for each in itertools.islice(itertools.cycle(ages), 30)]
            series = HEALTHY | age("a", [*usual(stories.deadline, 10), *late, *usual(stories.deadline, 20)])
            firing = {10 + lasts - 1: set(), 10 + lasts + len(ages): {LATE}, 39: {LATE}, 50: set()}
            stories.check(series, firing)


def test_one_late_renewal_wakes_nobody(stories: Stories):
    """A hiccup of the API server, after which all is well."""
    ages = [*usual(stories.deadline, 20), 0.95 * stories.deadline, *usual(stories.deadline, 39)]
    stories.silent(HEALTHY | age("a", ages))


def test_other_operators_are_not_meant(stories: Stories):
    """Leases of other names, or of this name in other namespaces, count for nothing."""
    others = {
        'leader_election_master_status{name="other",namespace="apps",pod="x"}': [1] * LAST,
        'leader_election_master_status{name="op-kopf-operator",namespace="other",pod="x"}': [1] * LAST,
        'kopf_leader_last_renewal_age_seconds{name="other",namespace="apps",pod="x"}': [stories.deadline] * LAST,
    }
    stories.silent(HEALTHY | others)


def test_promtool_notices(stories: Stories):
    """The stories can fail: an alert that is expected and does not come is an error."""
    prometheus_or_skip()
    with pytest.raises(AssertionError, match="FAILED"):
        stories.check(HEALTHY, {30: {TWO}})
