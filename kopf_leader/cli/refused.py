"""The answer of a command that does not start, or cannot go on."""


class Refused(Exception):  # noqa: N818 (it is an answer, not a malfunction)
    """The command does not start, or cannot go on: one sentence that says what to do. Exit status 2."""
