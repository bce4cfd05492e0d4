"""What an operator reads in its token at start: would the fence know it for the holder?"""

from __future__ import annotations

import base64
import json

import pytest

from kopf_leader.clients.bound import pod_of, trouble_with_fencing
from tests.fencing.site import Site


def token(claims: object) -> str:
    """As an API server makes it, but for the signature."""
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.xdist_group("real")
def test_a_real_token_names_its_pod(site: Site):
    """The API server's own tokens, bound and not."""
    assert pod_of(site.pod("a-b.c").token or "") == "a-b.c"
    assert pod_of(site.token(None)) == ""


@pytest.mark.parametrize(
    "text",
    ["", "opaque", "a.b", "a.b.c", "e30.bnVsbA.c", "e30.%%%%.c", "e30..c", token([1]), token({"sub": "somebody"})],
)
def test_other_tokens_tell_nothing(text: str):
    """What is no service account's token is no business of fencing's."""
    assert pod_of(text) is None


def test_one_sentence_for_what_would_be_refused(tmp_path):
    """Bound to none, or to a pod of another name; and nothing where all is well, or nobody can tell."""
    path = tmp_path / "token"
    assert trouble_with_fencing("a_1", path) is None
    sub = "system:serviceaccount:ns:op"
    path.write_text(token({"sub": sub, "kubernetes.io": {"namespace": "ns", "pod": {"name": "a", "uid": "1"}}}))
    assert trouble_with_fencing("a_1", path) is None
    assert "set POD_NAME to a, by the downward API." in (trouble_with_fencing("ab_1", path) or "")
    path.write_text(token({"sub": sub, "kubernetes.io/serviceaccount/namespace": "ns"}))
    assert "is bound to no pod, so the API server" in (trouble_with_fencing("a_1", path) or "")
    path.write_bytes(b"\xff\xfe")
    assert trouble_with_fencing("a_1", path) is None
