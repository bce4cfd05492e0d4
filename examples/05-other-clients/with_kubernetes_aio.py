"""An operator whose Lease lives in another cluster, reached by the configuration of the asynchronous client."""

import asyncio
import os

import kopf
import kubernetes.aio.client
import kubernetes.aio.config

import kopf_leader

there = kubernetes.aio.client.Configuration()
asyncio.run(
    kubernetes.aio.config.load_kube_config(config_file=os.environ["LEASE_KUBECONFIG"], client_configuration=there)
)
kopf_leader.enable("my-operator", namespace="default", client=there)


@kopf.on.create("kopfexamples")
def create(spec, name, logger, **_):
    logger.info("Creating %s for %s.", name, spec.get("field"))
    return {"created-for": spec.get("field")}
