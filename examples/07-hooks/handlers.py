"""Code around a term: the election enabled by a decorator, and hooks for the beginning and the end."""

import kopf

import kopf_leader


@kopf.on.startup()
@kopf_leader.elect("my-operator")
def configure(memo, **_):
    memo.books = {}  # one container for all: kopf copies the memo itself for each object


@kopf_leader.on.started_leading(retries=5, backoff=2)
async def prepare(term, memo, logger, **_):
    memo.books["token"] = term.token
    logger.info("Prepared for the term %s.", term.token)


@kopf_leader.on.stopped_leading()
def conclude(term, reason, memo, logger, **_):
    memo.books.clear()
    logger.info("Concluded the term %s: %s.", term.token, reason)


@kopf_leader.on.new_leader()
async def announce(holder, is_me, logger, **_):
    logger.info("The leader is %s.", "this process" if is_me else holder)


@kopf.on.create("kopfexamples")
def create(spec, name, memo, logger, **_):
    logger.info("Creating %s in the term %s.", name, memo.books["token"])
    return {"created-for": spec.get("field")}
