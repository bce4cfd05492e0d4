"""What must never be told, taken out of everybody else's words: libraries, servers and login handlers quote it.

A message is somebody's text with the secrets taken out; what cannot be cleaned, as a cause in a chain of errors, is
exchanged for a stand-in that only says what it was.
"""

import base64
import contextlib
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from kopf_leader.protocol.plain import plain

HIDDEN = "***"
MAX_TEXT = 300  # characters of somebody else's text in a message of ours
_ESCAPED = re.compile(r"[^!#-&(-\[\]-~]+")  # neither visible ASCII nor a quote or a backslash
_TELLING = 8  # characters of such a piece
_LEAST = 4  # characters; shorter ones occur in any text, and protect nothing
_HARMLESS = {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
_PLUGIN = re.compile(r"(exec: process returned -?\d+).*", re.DOTALL)


def say(text: str, secrets: Iterable[str]) -> str:
    """Somebody else's text, in one line, of bounded length and without these secrets."""
    return plain(" ".join(hide(text, secrets).split()), MAX_TEXT)


def hide(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, however they are written in it."""
    spellings = {each for secret in secrets for each in _spellings(secret) if len(each) >= _LEAST}
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, HIDDEN)
    return text


def told(error: BaseException, secrets: Iterable[str]) -> tuple[str, BaseException]:
    """What may be said of an error, and what to chain as the cause; without a credential plugin's words in either."""
    text = of_plugin(error)
    return text, cause_of(error, secrets) if text == str(error) else stand_in(error)


def cause_of(error: BaseException, secrets: Iterable[str]) -> BaseException:
    """What to chain as the cause: the error itself, or a stand-in if it, or one behind it, tells a secret."""
    known = (*secrets,)
    if not any(hide(told, known) != told for link in _chain(error) for told in (str(link), repr(link))):
        return error
    return stand_in(error)


def stand_in(error: BaseException) -> BaseException:
    """An error that says where it came from and of which type it was, and nothing of what it said."""
    kind = TimeoutError if isinstance(error, TimeoutError) else ConnectionError
    return kind(f"{type(error).__name__}, whose text is left out").with_traceback(error.__traceback__)


def of_plugin(error: BaseException) -> str:
    """What an error says, without what a credential plugin was given or has printed."""
    if isinstance(error, subprocess.CalledProcessError):
        return f"the credential plugin ended with the status {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"the credential plugin took longer than {error.timeout:g} s"
    return _PLUGIN.sub(r"\1, what it printed is left out", str(error))


@contextlib.contextmanager
def loading(readable: tuple[type[Exception], ...]) -> Iterator[None]:
    """Around the reading of a kubeconfig by a library: what its parsers say quotes the file. Raises ValueError then."""
    try:
        yield
    except readable:
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, its text may be the file's)
        raise ValueError(f"the kubeconfig cannot be read ({type(error).__name__})") from stand_in(error)


def login_in(url: object) -> tuple[str, ...]:
    """The secrets in a URL that has a user name and a password, also in one that is not written as it should be."""
    if not isinstance(url, str) or "@" not in url:
        return ()
    login = url.rpartition("@")[0].rpartition("//")[2]
    user, _, password = login.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}"
    pieces = re.split(r"[/?#@]", password)  # what a parser takes for the host, if these were not written as %XX
    return login, password, unquote(password), *pieces, base64.b64encode(pair.encode()).decode("ascii")


def shown(url: str) -> str:
    """A URL without its user name and password, for messages."""
    return hide(url, login_in(url)).replace(f"{HIDDEN}@", "")


def told_by(headers: Mapping[str, Any]) -> tuple[str, ...]:
    """What the headers of a request give away; those that anybody sends do not count."""
    known = [str(value) for name, value in headers.items() if name.lower() not in _HARMLESS]
    return (*known, *(value.partition(" ")[2] for value in known))


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield secret.strip()
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield plain(secret, None)
    yield quote(secret, safe="")
    # What lies between signs that are escaped in one way or the other, and lines, are secret for themselves.
    yield from (piece for piece in _ESCAPED.split(secret) if len(piece) >= _TELLING)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]
