"""A script without an event loop, of which several replicas run and one works; by the official client."""

import contextlib
import logging
import signal
import sys

import kopf_leader


def work(leading):
    """Called in each term; it returns when the term has to end."""
    print(f"Working, with the fencing token {leading.term.token}.", flush=True)
    try:
        while not leading.ended.wait(1):
            leading.term.check()  # before a step that must not happen twice
    finally:
        print("Put away.", flush=True)  # the Lease is still held here


logging.basicConfig(level=logging.INFO)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leaves the block below, and so releases the Lease
with contextlib.suppress(KeyboardInterrupt), kopf_leader.BlockingElector("my-job", client="kubernetes") as elector:
    elector.run(work)
