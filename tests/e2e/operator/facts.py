"""The operator's notebook: what its handlers write, in the format that the checker reads."""

from kopf_leader.testing.facts import REPLICA, Notebook

__all__ = ["REPLICA", "handling"]

handling = Notebook.from_environment().handling
