"""Somebody else's text, made fit to be shown.

Whoever may edit the Lease chooses its holder and its annotations, and a server its messages. Shown as they are, a line
feed would forge a line of a log, and an escape sequence would rule the terminal of whoever looks.
"""

MAX_SHOWN = 300  # characters of one value


def plain(text: object, limit: int | None = MAX_SHOWN) -> str:
    r"""The text as one line without a character that is not seen: those are written as Python writes them (`\x1b`).

    Control characters, line ends of all kinds, what changes the direction of writing, what has no width, and halves of
    surrogate pairs count as unseen. What is longer than `limit` characters is cut; None: it never is. What is plain
    stays as it is, so nothing is escaped twice.
    """
    said = text if isinstance(text, str) else str(text)
    if limit is not None and len(said) > limit:
        said = said[: limit - 1] + "…"
    if said.isprintable():
        return said
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in said)
    return plain(shown, limit)
