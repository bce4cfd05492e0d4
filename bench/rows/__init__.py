"""One module per row of the table."""

# In the order of the page.
ROWS = ("handover", "herd", "sigterm", "peering", "warm", "usable", "pending", "sigkill", "evidence", "requests",
        "leases", "standing", "events", "gate", "startup", "memory", "load", "blocked", "fencing")  # fmt: skip
