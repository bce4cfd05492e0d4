"""One of everything: a daemon, a timer, an index, an admission webhook, and a handler that every replica runs."""

import asyncio
import os
from pathlib import Path

import kopf

import kopf_leader

kopf_leader.enable("my-operator")
seen = {}


@kopf.on.startup()
def serve_webhooks(settings, **_):
    files = Path(os.environ.get("WEBHOOK_FILES", "."))
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1",
        port=int(os.environ.get("WEBHOOK_PORT", "9443")),
        certfile=files / "cert.pem",
        pkeyfile=files / "key.pem",
    )


@kopf.index("kopfexamples")
def owners(spec, name, **_):  # kept on every replica
    return {spec.get("field"): name}


@kopf.on.validate("kopfexamples", operations={"CREATE"})
def unique(spec, owners, **_):  # answered by every replica, from its own index
    if spec.get("field") in owners:
        raise kopf.AdmissionError(f"The field {spec['field']!r} is taken.")


@kopf.on.event("kopfexamples")
@kopf_leader.every_replica
def remember(spec, name, logger, **_):  # a cache of this process
    seen[name] = spec.get("field")
    logger.info("Remembered %s.", name)


@kopf.on.create("kopfexamples")
def create(spec, name, logger, **_):  # on the leader only, and so is what follows
    logger.info("Creating %s.", name)
    return {"created-for": spec.get("field")}


@kopf.timer("kopfexamples", interval=2, idle=1)
def check(patch, retry, **_):
    patch.status["checked-in-term"] = kopf_leader.current_term().token


@kopf.daemon("kopfexamples", cancellation_timeout=1)
async def attend(name, logger, **_):
    logger.info("Attending to %s.", name)
    try:
        while True:
            kopf_leader.current_term().check()  # before a step that must not happen twice
            await asyncio.sleep(1)
    finally:
        logger.info("No longer attending to %s.", name)
