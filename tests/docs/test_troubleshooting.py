"""docs/troubleshooting.md: every line that it quotes can be said, and every reason for the end of a term is there."""

import re
from itertools import chain

import pytest

from kopf_leader.protocol.state import Reason
from tests.docs.messages import quoted
from tests.docs.reference import DOCS

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
LINES = re.findall(r"^```text\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
INDENTED = {
    name: re.findall(r"^ {4}((?:[A-Z]|pod-).*)$", (DOCS / name).read_text(encoding="utf-8"), re.MULTILINE)
    for name in ("operations.md", "migrating-from-peering.md")
}


@pytest.mark.parametrize("line", [*LINES, *chain(*INDENTED.values())], ids=lambda line: line[:40])
def test_each_line_is_one_that_the_code_says(line):
    """The exact line: word by word a message of the code, but for the names and numbers in it."""
    assert quoted(line)


def test_enough_is_quoted():
    """The page is about log lines."""
    assert len(LINES) > 25
    assert [len(lines) for lines in INDENTED.values()] == [4, 4]


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_is_there(reason):
    """Whoever finds a reason in the log finds it on the page."""
    assert reason.value in PAGE


END = "(Lease …, identity …, term …). Handlers may finish for … s, are gone in … s."
NEVER_SAID = f"""\
Stops leading: the Lease could not be renewed in good time {END}
The Lease is on fire.
Requests for the Lease … fail: … Giving up.
This process exits now, without giving the Lease back: something has gone wrong in its own way, and so be it."""


@pytest.mark.parametrize("line", NEVER_SAID.splitlines())
def test_what_is_never_said_is_noticed(line):
    """The check can fail: one word that is another makes it another line."""
    assert not quoted(line)
    assert quoted(f"Stops leading: {Reason.RENEW_DEADLINE.value} {END}")
