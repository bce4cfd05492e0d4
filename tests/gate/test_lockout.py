"""A leader that the API server's fence lets write nothing: how it is noticed, and what comes of it."""

import logging

import kopf
import pytest

from kopf_leader.gate.counters import Counters
from kopf_leader.gate.lockout import LONGEST_AWAY, Lockout, fenced, remedy_for
from kopf_leader.gate.noise import REFUSED
from kopf_leader.gate.tenure import Tenure
from kopf_leader.protocol.term import Claim, Term
from tests.gate.operators import PLURAL, wait_for

SAID = f"{REFUSED} ns/op may write, and the holder is b_1; this write comes from a"
PATH = "/apis/example.org/v1/namespaces/x/things/one"
PATIENCE = 10.0


class Scene:
    """One process's book, under a clock that the test moves; what it gave up for, in seconds."""

    def __init__(self):
        self.now = 0.0
        self.away = []
        self.counters = Counters()
        self.lockout = Lockout(patience=PATIENCE, counters=self.counters, give_up=self.away.append)
        self.begin()

    def begin(self, lease="ns/op"):
        term = Term(lease=lease, identity="a_1", token=7, claim=Claim(1e9), clock=lambda: self.now)
        self.tenure = Tenure(term, counters=self.counters, changed=lambda: None, ended=lambda: None)

    def answer(self, error=None, *, method="PATCH", path=PATH):
        self.lockout.answered(self.tenure, method=method, path=path, error=error)

    def refused(self, *, over=PATIENCE, **request):
        """Two writes, the one so many seconds after the other."""
        self.answer(Exception(SAID), **request)
        self.now += over
        self.answer(Exception(SAID), **request)


def test_who_may_write_nothing_gives_the_lease_back(caplog):
    """All writes refused for a renew deadline: it says which, by whom and why, once, and gives up."""
    scene = Scene()
    scene.refused(over=PATIENCE - 0.1)
    assert scene.away == []
    scene.now += 0.2
    scene.answer(Exception(SAID), method="POST", path="/api/v1/namespaces/x/configmaps")
    assert scene.away == [2 * PATIENCE]
    scene.answer(Exception(SAID))
    assert scene.away == [2 * PATIENCE], "once is enough"
    assert scene.counters.writes_fenced == 4
    (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "(PATCH things.example.org, POST configmaps); " + SAID in line.getMessage()
    assert "Standing again in 20 s" in line.getMessage()


def test_each_time_it_stays_away_for_longer():
    """It may be that all replicas are locked out: they pass the Lease around ever more slowly, and never give up."""
    scene = Scene()
    for _ in range(7):
        scene.begin()
        scene.refused()
    assert scene.away == [20.0, 40.0, 80.0, 160.0, LONGEST_AWAY, LONGEST_AWAY, LONGEST_AWAY]
    scene.begin()
    scene.answer(Exception(SAID))
    scene.answer()
    scene.begin()
    scene.refused()
    assert scene.away[-1] == 20.0, "after a write that was accepted it is new"


def test_it_gives_up_after_days_as_well():
    """A weekend of refusals is more than a thousand rounds: none of them is one too many for a number."""
    scene = Scene()
    for _ in range(1100):
        scene.begin()
        scene.refused()
    assert scene.away[5:] == [LONGEST_AWAY] * 1095


def test_it_begins_anew_once_the_fence_is_mended():
    """In a later term nothing is refused any more: the next time is a first one. Other resources tell nothing."""
    scene = Scene()
    for path, away in ((PATH.replace("things", "others"), 40.0), (PATH, 20.0)):
        scene.begin()
        scene.refused()
        scene.begin()
        scene.answer(path=path)
        scene.begin()
        scene.refused()
        assert scene.away[-1] == away
        scene.lockout.answered(scene.tenure, method="PATCH", path=PATH, error=None)


@pytest.mark.parametrize(
    ("path", "locked_out"),
    [(PATH, False), (PATH.replace("/one", "/two/status"), False), (PATH.replace("things", "others"), True)],
)
def test_a_write_that_is_accepted(path, locked_out):
    """It shows that the fence is open, but only on a resource that it has refused: others may not be fenced."""
    scene = Scene()
    scene.answer(Exception(SAID))
    scene.answer(path=path)
    scene.now += PATIENCE
    scene.answer(Exception(SAID))
    assert bool(scene.away) is locked_out


def test_refusals_of_other_kinds_are_no_lockout():
    """RBAC's 403 lacks the fence's words; and reading is never refused by it."""
    scene = Scene()
    rbac = Exception('configmaps "a" is forbidden: User "u" cannot patch resource "configmaps" in API group ""')
    for error, method in ((rbac, "PATCH"), (Exception(SAID), "GET"), (None, "PATCH")):
        for _ in range(3):
            scene.answer(error, method=method)
            scene.now += PATIENCE
    assert scene.away == []


def test_a_term_that_ends_anyway_is_not_given_up_again():
    """Behind the closed gate the last writes may be refused: then it is over already. And each term begins anew."""
    scene = Scene()
    scene.answer(Exception(SAID))
    scene.now += PATIENCE
    scene.tenure.shut = True
    scene.answer(Exception(SAID))
    scene.begin()
    scene.answer(Exception(SAID))
    assert scene.away == []


def test_without_an_election_there_is_nothing_to_give_back(caplog):
    """A process that handles alone holds no Lease: it is told so, and goes on."""
    scene = Scene()
    scene.begin(lease="")
    scene.refused()
    assert scene.away == []
    assert "handles without an election" in caplog.text


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (SAID.replace("ns/op", "ns/other"), "the policy goes by another Lease than this operator's, ns/op"),
        (SAID.replace("comes from a", "is by a token that is bound to no pod"), "let the kubelet mount it"),
        (SAID.replace("b_1", "a_1").replace("from a", "from pod-1"), "set POD_NAME to pod-1"),
        (SAID, "by an old state of the Lease"),
        (SAID.replace("the holder is b_1", "nobody holds it"), "by an old state of the Lease"),
        (f"{REFUSED} of ours may write", "compare the policy"),
    ],
)
def test_whose_fault_it_is(said, remedy):
    """The fence's own words tell a wrong Lease, an unbound token, a foreign identity and an old state apart."""
    scene = Scene()
    assert fenced(Exception(f"prefix: {said}")) == said
    assert remedy in remedy_for(said, scene.tenure.term)


def test_other_clients_errors_are_known_too():
    """The fence's words may stand in the body of an answer, or behind the exception that a handler raises."""
    body = '{"kind":"Status","message":"things is forbidden: ' + SAID + '","reason":"Forbidden"}'
    assert fenced(RuntimeError(f"(403)\nReason: Forbidden\nHTTP response body: {body}\n")) == SAID
    try:
        try:
            raise RuntimeError(body)
        except RuntimeError as error:
            raise kopf.TemporaryError("later") from error
    except kopf.TemporaryError as error:
        assert fenced(error) == SAID
    assert fenced(RuntimeError("forbidden")) is None
    circle = RuntimeError("round")
    circle.__context__ = RuntimeError("and round")
    circle.__context__.__context__ = circle
    assert fenced(circle) is None


def test_a_handler_that_is_refused_gives_the_lease_back(cluster, operator):
    """Through the gate: what a handler raises is heard, the gate closes, and the election is told for how long."""
    op = operator(renew_deadline=0.3)

    @kopf.on.create(PLURAL, **op.on)
    def create(**_):
        op.count("create")
        raise kopf.TemporaryError(SAID, delay=0.1)

    op.start()
    op.lead()
    cluster.create("one")
    wait_for(lambda: "away 0.6" in op.election.said, "the Lease to be given back")
    wait_for(op.election.released.is_set, "the end of the term")
    assert op.counted["create"] >= 2
    op.stop()
    assert op.failure is None


def test_the_answers_to_kopf_are_heard(cluster, operator):
    """Each answer to a write of kopf's under the term: method, path, and the error that kopf makes of a refusal."""
    op = operator()
    heard = []

    @kopf.on.create(PLURAL, **op.on)
    def create(patch, name, **_):
        patch.metadata.labels["word"] = "well" if name == "good" else ["no text"]

    op.start()
    op.lead()
    op.conductor.lockout.answered = lambda tenure, **answer: heard.append((tenure.term.token, *answer.values()))
    for name, refused in (("good", False), ("bad", True)):
        cluster.create(name)
        wait_for(
            lambda name=name, refused=refused: any(
                (token, method, path) == (1, "PATCH", f"{cluster.path}/{name}") and (error is not None) is refused
                for token, method, path, error in heard
            ),
            "the answer",
        )
    op.stop()
    assert op.failure is None


def test_on_lost_exit_stops_the_operator(cluster, operator):
    """A locked-out term is a lost one: with on_lost="exit" the process ends, for whoever restarts it to see."""
    op = operator(renew_deadline=0.3, on_lost="exit")

    @kopf.on.create(PLURAL, **op.on)
    def create(**_):
        raise kopf.TemporaryError(SAID, delay=0.1)

    op.start()
    op.lead()
    cluster.create("one")
    op.join()
    assert "the API server's fence refuses its writes" in str(op.failure)
