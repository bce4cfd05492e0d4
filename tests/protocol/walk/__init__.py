"""Every interleaving of a few candidates of the shipped `step()`, breadth first, each world visited once.

    python -m tests.protocol.walk --list
    python -m tests.protocol.walk --plan network --faults 2
    python -m tests.protocol.walk --candidates 3 --faults 3 --kinds cut,delete,freeze --seconds 600

The idea. A world is a value: the Lease, what each process remembers, what is on the wire, how many faults may still
happen. From a world lead moves: the network does one thing, a fault strikes, something is mended, time passes. The
walk takes them all, in every order, and holds each world that it reaches to the laws (`laws`). Two worlds that differ
only in the names of things (what time it is, which resourceVersions and uids were given, which of two equal candidates
is which) have the same future, so only one of them is walked (`fold`). When nothing new is left, the frontier is
exhausted: then the laws hold however long it goes on, for as many faults as were allowed.

A tick is 2.5 s, and the settings are the defaults, with a retry period of one tick: lease_duration 6 ticks,
renew_deadline 4, the time-out of a request 2. Timers go off at their exact moment, and before the network at the same
moment: a tie is not an overlap.

| file | what it knows |
|---|---|
| `values` | the world, and the plan of a walk |
| `ground` | one step of one process, remembered; what the machine asks for |
| `network` | what happens at once: requests arrive, answers and news are read |
| `passing` | what time does: timers, time-outs, polls |
| `faults` | the faults, each with its purpose, and how they are mended |
| `laws` | what must hold in every world |
| `fold` | which worlds are the same |
| `search` | the frontier, its limits, the trace of what was found |
| `liveness` | from a world, with all faults over: how long until somebody leads |
| `clientgo` | a candidate that goes by client-go's rules, as another `step()` |
| `plans` | the walks that CI takes, and longer ones |
| `proof` | the mutants, and by what each is caught: docs/proof-mutants.md |
"""
