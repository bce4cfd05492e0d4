"""What the tests of hooks ask about an operator."""


def opened(op):
    """How often its gate has opened."""
    return op.gate.counters.opened


def errors(caplog):
    """What hooks, the gate and asyncio complain of; kopf's discovery complains when it is stopped that early."""
    records = [record for record in caplog.records if not record.name.startswith("kopf._core.reactor.observation")]
    texts = [record.getMessage() for record in records if record.levelname in ("ERROR", "CRITICAL")]
    return [text for text in texts if not text.startswith("Unclosed ")]  # of an earlier test's client, found by now
