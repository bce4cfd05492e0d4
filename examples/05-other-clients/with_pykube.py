"""An operator whose Lease lives in another cluster, reached by pykube-ng."""

import os

import kopf
import pykube

import kopf_leader

there = pykube.HTTPClient(pykube.KubeConfig.from_file(os.environ["LEASE_KUBECONFIG"]))
kopf_leader.enable("my-operator", namespace="default", client=there)


@kopf.on.create("kopfexamples")
def create(spec, name, logger, **_):
    logger.info("Creating %s for %s.", name, spec.get("field"))
    return {"created-for": spec.get("field")}
