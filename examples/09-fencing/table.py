"""A table outside of Kubernetes that refuses whoever leads no more."""

import contextlib
import sqlite3

SCHEMA = """
CREATE TABLE IF NOT EXISTS fence (lease TEXT PRIMARY KEY, token INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, field TEXT, token INTEGER NOT NULL);
"""
ENTER = "INSERT INTO fence VALUES (:lease, 0) ON CONFLICT DO NOTHING"
RAISE = "UPDATE fence SET token = :token WHERE lease = :lease AND token <= :token"
WRITE = (
    "INSERT INTO things VALUES (:name, :field, :token) ON CONFLICT (name) DO UPDATE SET field = :field, token = :token"
)


class Stale(Exception):  # noqa: N818 (what the write is)
    """The write carries the token of a former leader: nothing was written, and nothing is to be repeated."""


class Table:
    """Rows that only the newest leader writes. The fence and the row change in one transaction, or neither does."""

    def __init__(self, path, lease="my-operator"):
        self.path, self.lease = path, lease
        with self._transaction() as database:
            for statement in SCHEMA.strip().split("\n"):
                database.execute(statement)
            database.execute(ENTER, {"lease": lease})

    def enter(self, token):
        """Raise the fence to this token: from now on, former leaders are refused. Raises Stale."""
        with self._transaction() as database:
            self._raise(database, token)

    def write(self, name, field, *, token):
        """Write one row, if nobody with a greater token was here. Raises Stale."""
        with self._transaction() as database:
            self._raise(database, token)
            database.execute(WRITE, {"name": name, "field": field, "token": token})

    def _raise(self, database, token):
        if not database.execute(RAISE, {"lease": self.lease, "token": token}).rowcount:
            raise Stale(f"The token {token} is of a former leader: this write is refused.")

    @contextlib.contextmanager
    def _transaction(self):
        database = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            database.execute("BEGIN IMMEDIATE")
            yield database
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        else:
            database.execute("COMMIT")
        finally:
            database.close()
