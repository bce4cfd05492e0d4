"""The namespace of the Lease, where nobody passed one."""

import os

import pytest

from kopf_leader.clients.namespace import find_namespace
from kopf_leader.errors import SettingsError


@pytest.fixture
def find(tmp_path):
    """Look for the namespace in a world of files; the service account's file, and kubeconfigs by name."""

    def look(*, explicit=None, mounted=None, kubeconfig=None, **files: str) -> str:
        for name, content in files.items():
            path = tmp_path / (".kube/config" if name == "home" else name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        if mounted is not None:
            (tmp_path / "namespace").write_text(mounted)
        environ = {"HOME": str(tmp_path)}
        if kubeconfig is not None:
            environ["KUBECONFIG"] = os.pathsep.join(str(tmp_path / name) if name else "" for name in kubeconfig)
        return find_namespace(explicit=explicit, service_account_file=tmp_path / "namespace", environ=environ)

    return look


def config(current: str | None = "here", **contexts: str | None) -> str:
    lines = [f"current-context: {current}" if current else "", "contexts:"]
    for name, namespace in contexts.items():
        lines += [f"- name: {name}", "  context:", "    cluster: c"] + (
            [f"    namespace: {namespace}"] * bool(namespace)
        )
    return "\n".join(lines)


def test_order(find):
    """What was passed, else the service account's file, else the kubeconfig's context."""
    files = {"mounted": "of-the-pod\n", "home": config(here="of-the-context")}
    assert find(explicit="passed", **files) == "passed"
    assert find(**files) == "of-the-pod"
    assert find(**files | {"mounted": " \n"}) == "of-the-context"


def test_context_without_a_namespace(find):
    """`default`, where the context names none, as kubectl does."""
    assert find(home=config(here=None, other="other")) == "default"
    assert find(home="current-context: here\ncontexts: [{name: here}]") == "default"


def test_several_files(find):
    """As kubectl merges them: the first current context wins, the first of two contexts with one name wins."""
    one, two = config(None, there="first"), config("there", there="second", here="x")
    assert find(kubeconfig=["one", "two"], one=one, two=two) == "first"
    assert find(kubeconfig=["two", "one"]) == "second"
    assert find(kubeconfig=["one", "three", "two"], three=config("here", here="third")) == "third"


def test_missing_files_are_skipped(find):
    """A file of KUBECONFIG that does not exist, or an empty part, is skipped; ~/.kube/config then is not read."""
    assert find(kubeconfig=["missing", "", "one"], one=config(here="one"), home=config(here="home")) == "one"
    assert find(kubeconfig=[""]) == "home"
    with pytest.raises(SettingsError):
        find(kubeconfig=["missing"])


def test_json(find):
    """A kubeconfig may be JSON."""
    assert (
        find(home='{"current-context": "a", "contexts": [{"name": "a", "context": {"namespace": "json"}}]}') == "json"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no service account, no current context in"),
        ("", "no service account, no current context in"),
        (config(None, here="x"), "no service account, no current context in"),
        (config("gone", here="x"), "'gone' does not exist in"),
        ("contexts: [", "is no YAML"),
        ("[1, 2]", "is no mapping"),
        ("contexts: 5\ncurrent-context: here", "'here' does not exist"),
        ("contexts: [5, {name: 7}, {name: x, context: 3}]\ncurrent-context: here", "'here' does not exist"),
    ],
)
def test_nothing_to_be_found(content, says, find):
    """An error, in one sentence, that says what to pass."""
    with pytest.raises(SettingsError, match=says) as caught:
        find(**({"home": content} if content is not None else {}))
    assert str(caught.value).endswith("pass --leader-election-namespace, or set KOPF_RUN_LEADER_ELECTION_NAMESPACE.")
    assert len(caught.value.sentences) == 1


def test_unreadable(find, tmp_path):
    """A file that is there and cannot be read is an error: replicas that guess would not see each other."""
    (tmp_path / "namespace").mkdir()
    with pytest.raises(SettingsError, match=r"cannot be read \(IsADirectoryError\)"):
        find(home=config(here="x"))
    with pytest.raises(SettingsError, match=r"cannot be read \(UnicodeDecodeError\)"):
        (tmp_path / "namespace").rmdir()
        (tmp_path / "namespace").write_bytes(b"\xff")
        find()
