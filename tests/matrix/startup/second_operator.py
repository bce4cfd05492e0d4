"""Handlers beside the operator's own: a hook starts a second operator in the same process, by mistake.

Not before the first one knows who leads: which of two that start at once is the second one, is not foreseeable.
"""

import threading

import kopf

import kopf_leader


def _run(logger, namespace):
    try:
        kopf.run(registry=kopf.OperatorRegistry(), standalone=True, namespace=namespace)
    except Exception as error:
        logger.info("The second operator: %s", error)


@kopf_leader.on.new_leader()
def start_another(logger, **_):
    threading.Thread(target=_run, args=(logger, "default"), name="second operator", daemon=True).start()
