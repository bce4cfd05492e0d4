"""Handlers beside the operator's own: at start-up they start a second operator in the same process, by mistake."""

import threading

import kopf


def _run(logger, namespace):
    try:
        kopf.run(registry=kopf.OperatorRegistry(), standalone=True, namespace=namespace)
    except Exception as error:
        logger.info("The second operator: %s", error)


@kopf.on.startup()
def start_another(logger, **_):
    threading.Thread(target=_run, args=(logger, "default"), name="second operator", daemon=True).start()
