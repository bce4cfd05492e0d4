"""A webhook on a standby, called by a real API server."""

import socket

import kopf
import pytest
import trustme

from tests.controlplane.api import APIError
from tests.gate.operators import CRD, PLURAL, Cluster, Operator, wait_for


@pytest.fixture
def certificate(tmp_path):
    """Files: the certificate, its key, its authority."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = [str(tmp_path / name) for name in ("cert.pem", "key.pem", "ca.pem")]
    issued.cert_chain_pems[0].write_to_path(files[0])
    issued.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    return files


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_webhook_on_a_standby_sees_its_index(shared_control_plane, certificate):
    """The API server asks a standby, whose index is full and follows: it refuses a name that is taken."""
    shared_control_plane.install(CRD)
    cluster = Cluster(shared_control_plane.admin, shared_control_plane.namespace("gate"))
    cluster.create("first", owner="alice")
    op = Operator(cluster, warm_standby=True)
    certfile, pkeyfile, cafile = certificate
    server = kopf.WebhookServer(
        addr="127.0.0.1", host="127.0.0.1", port=free_port(), certfile=certfile, pkeyfile=pkeyfile, cafile=cafile
    )
    op.settings.admission.server = server
    op.settings.admission.managed = f"{cluster.namespace}.kopf-leader.test"

    @kopf.index(PLURAL, id="owners", **op.on)
    def owners(name, spec, **_):
        return {spec["owner"]: name}

    @kopf.on.validate(PLURAL, operations={"CREATE"}, **op.on)
    def once(spec, owners, **_):
        if spec["owner"] in owners:
            raise kopf.AdmissionError(f"{spec['owner']} has one already")

    @kopf.on.create(PLURAL, **op.on)
    def created(**_):
        op.count("created")

    def refused(owner):
        try:
            cluster.create("second", owner=owner)
        except APIError as error:
            return f"{owner} has one already" in str(error)
        cluster.delete("second")
        return False

    try:
        op.start()
        wait_for(lambda: refused("alice"), "the webhook to refuse")
        cluster.create("third", owner="bob")
        wait_for(lambda: refused("bob"), "the webhook to refuse")
        cluster.delete("first")
        wait_for(lambda: not refused("alice"), "the webhook to admit")
        assert op.paused()
        assert not op.counted
        op.stop()
        assert op.failure is None
    finally:
        op.leave()
        for kind in ("validating", "mutating"):
            path = f"/apis/admissionregistration.k8s.io/v1/{kind}webhookconfigurations"
            for item in cluster.api.get(path)["items"]:
                cluster.api.delete(f"{path}/{item['metadata']['name']}")
