"""One real run, from its first line to its last, and what it printed against what the handlers wrote."""

import json
import re
from collections import Counter, defaultdict

import pytest

from kopf_leader.testing.facts import History
from kopf_leader.testing.history import check
from tests.demo.conftest import Demo

pytestmark = pytest.mark.xdist_group("demo")  # one run for all tests here, however many workers there are


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run; its output; the history that its handlers wrote."""
    folder = tmp_path_factory.mktemp("run")
    demo = Demo(folder, "--keep-logs", folder / "kept", name="whole")
    try:
        status = demo.wait()
    finally:
        demo.end()
    return demo, status, folder / "kept"


def printed(demo, words) -> int:
    """The number before these words in the summary."""
    (number,) = re.findall(rf"^ *(\d+)  {re.escape(words)}$", demo.output, re.MULTILINE)
    return int(number)


def test_every_promise_is_kept(run):
    """Exit status 0, the sentence that says why, and no sentence that says otherwise."""
    demo, status, _ = run
    assert status == 0, demo.output
    assert "Every promise was kept" in demo.output
    assert "BROKEN" not in demo.output


def test_the_numbers_are_those_of_the_history(run):
    """What is printed can be counted again from the file that the handlers wrote."""
    demo, _, kept = run
    facts = [json.loads(line) for line in (kept / "history.jsonl").read_text().splitlines()]
    starts = {fact["run"]: fact for fact in facts if fact["kind"] == "start"}
    ended = [starts[fact["run"]] for fact in facts if fact["kind"] == "end"]
    made = Counter(fact["uid"] for fact in ended if fact["handler"] == "make")
    assert printed(demo, "objects created") == printed(demo, "handled") == len(made) > 50
    assert printed(demo, "objects handled to the end twice, one time after the other") == sum(
        1 for times in made.values() if times > 1
    )
    assert printed(demo, "rounds of the timer") == sum(1 for fact in ended if fact["handler"] == "look after") > 20


def test_never_two_at_work(run):
    """Nothing overlaps, nothing is lost: by the checker, and by looking at the moments alone."""
    demo, _, kept = run
    history = History.read(kept / "history.jsonl")
    verdict = check(history)
    assert verdict.ok, verdict.explain()
    assert printed(demo, "lost") == printed(demo, "times two replicas were at work at once") == 0
    busy = defaultdict(list)
    for execution in verdict.executions:
        busy[execution.process].append((execution.start, execution.finish))
    for one, others in ((one, set(busy) - {one}) for one in busy):
        for begin, end in busy[one]:
            assert not any(begin < finish and start < end for other in others for start, finish in busy[other])


def test_four_handovers(run):
    """Each fault has a successor and a time; the cut is told in words, too."""
    demo, _, _ = run
    rows = re.findall(
        r"^(SIGTERM|SIGKILL|cut off|others left) +([A-C]) → ([A-C]) +[\d.]+ m?s", demo.output, re.MULTILINE
    )
    assert [how for how, _, _ in rows] == ["SIGTERM", "SIGKILL", "cut off", "others left"]
    assert all(before != after for _, before, after in rows)
    (_, cut, _), (_, _, last) = rows[2:]
    assert cut == last, "the one that was cut off leads again in the end"
    assert f"Cut off from the API server, {cut} went on for" in demo.output


def test_the_one_that_was_cut_off_is_the_same_process(run):
    """It stands by in the process that it was in when it led, and leads there again."""
    demo, _, _ = run
    name, pid = re.search(r"([A-C]) stands by, in the same process \(pid (\d+)\)", demo.output).groups()
    history = [json.loads(line) for line in (run[2] / "history.jsonl").read_text().splitlines()]
    marks = [fact for fact in history if fact["kind"] == "mark"]
    (cut,) = [mark for mark in marks if mark["note"] == f"cut off {name} {pid}"]
    (last,) = [mark for mark in marks if mark["note"].startswith("others left")]
    mine = [fact["t"] for fact in history if fact["kind"] == "start" and fact["pid"] == int(pid)]
    assert min(mine) < cut["t"]
    assert max(mine) > last["t"]


def test_nothing_is_left(run):
    """No process and no file, but those that it was asked to keep."""
    demo, _, kept = run
    assert demo.left() == []
    names = sorted(path.name for path in kept.iterdir())
    assert names == ["A-0.log", "B-0.log", "C-0.log", "history.jsonl"] or len(names) == 6
