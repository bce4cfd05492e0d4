"""An operator with an effect outside of Kubernetes: a row in a database, fenced by the token of the term."""

import os

import kopf
from table import Stale, Table

import kopf_leader

kopf_leader.enable("my-operator")
table = Table(os.environ.get("TABLE", "things.db"))


@kopf_leader.on.started_leading()
def raise_the_fence(term, **_):
    table.enter(term.token)  # before the first handler: former leaders are refused from now on


@kopf.on.create("kopfexamples")
@kopf.on.update("kopfexamples")
def store(spec, name, logger, **_):
    token = kopf_leader.current_term().token
    try:
        table.write(name, spec.get("field"), token=token)
    except Stale as error:
        raise kopf.PermanentError(str(error)) from error  # kopf's own note of it is refused as well
    logger.info("Stored %s with the token %s.", name, token)
    return {"created-for": spec.get("field")}
