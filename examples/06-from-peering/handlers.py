"""An ordinary kopf operator: it knows nothing of leader election."""

import kopf


@kopf.on.create("kopfexamples")
def create(spec, name, logger, **_):
    logger.info("Creating %s for %s.", name, spec.get("field"))
    return {"created-for": spec.get("field")}


@kopf.on.update("kopfexamples")
def update(spec, name, logger, **_):
    logger.info("Updating %s for %s.", name, spec.get("field"))
