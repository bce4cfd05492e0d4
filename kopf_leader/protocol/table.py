"""The phases that may follow each other, as data: the state diagram in docs/ is drawn from this table.

A pair that is missing here is a mistake in the machine; the tests walk the machine and hold it to the table.
"""

from collections.abc import Mapping

from kopf_leader.protocol.state import Phase

TRANSITIONS: Mapping[Phase, Mapping[Phase, str]] = {
    Phase.UNKNOWN: {
        Phase.STANDBY: "the Lease was seen, or seen to be absent",
        Phase.ACQUIRING: "it is free: written at once",
        Phase.OVER: "left before anything was seen",
    },
    Phase.STANDBY: {
        Phase.ACQUIRING: "the Lease is free, absent, or its holder has been silent for too long",
        Phase.LEADING: "an acquiring PUT whose reply was lost is seen in time: a term begins",
        Phase.HOLDING: "a lost write of mine has landed",
        Phase.RELEASING: "resigned with a lost write still about",
        Phase.OVER: "left",
    },
    Phase.ACQUIRING: {
        Phase.LEADING: "the acquiring PUT was accepted: a term begins",
        Phase.HOLDING: "the POST was accepted, or the PUT too late: no term yet",
        Phase.STANDBY: "refused, or nobody knows: look again",
        Phase.RELEASING: "resigned with the write in flight",
    },
    Phase.HOLDING: {
        Phase.LEADING: "taken up by a new PUT: a term begins",
        Phase.STANDBY: "somebody else was seen",
        Phase.ACQUIRING: "deleted: created again",
        Phase.RELEASING: "resigned",
        Phase.OVER: "left while waiting: the hold runs out by itself",
    },
    Phase.LEADING: {
        Phase.CLOSING: "the renew deadline, a rival, a deletion, a refusal, a resignation",
    },
    Phase.CLOSING: {
        Phase.STANDBY: "drained: nothing is held any more",
        Phase.ACQUIRING: "drained: the Lease is free again, written at once",
        Phase.HOLDING: "drained: the hold is still mine, taken up by a new PUT",
        Phase.RELEASING: "drained: the Lease is given back",
        Phase.OVER: "drained and left: nothing to give back",
    },
    Phase.RELEASING: {
        Phase.STANDBY: "released: stands back",
        Phase.HOLDING: "the release cannot be confirmed: stands back",
        Phase.ACQUIRING: "given up with the release still in flight: stands back",
        Phase.OVER: "released, or nobody waits for it any more",
    },
    Phase.OVER: {},
}
