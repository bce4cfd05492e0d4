"""The same operator, which enables the election itself."""

import kopf

import kopf_leader

kopf_leader.enable("my-operator", lease_duration="15s")


@kopf.on.create("kopfexamples")
def create(spec, name, logger, **_):
    term = kopf_leader.current_term()
    logger.info("Creating %s for %s with the fencing token %s.", name, spec.get("field"), term.token)
    return {"created-for": spec.get("field")}
