"""An ordinary kopf operator, unchanged; the environment enables the election (see README.md)."""

import kopf


@kopf.on.create("kopfexamples")
def create(spec, name, logger, **_):
    logger.info("Creating %s for %s.", name, spec.get("field"))
    return {"created-for": spec.get("field")}
