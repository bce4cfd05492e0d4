"""The last module that kopf imports for `kopf-leader run`: the handlers are loaded, and nothing has started yet."""

from kopf_leader.gate.enable import apply

apply()
