"""An operator that has kopf write what comes of its handler, as most do."""

import os

import kopf


@kopf.on.create("kopfexamples")
def create(**_):
    return os.environ["POD"]
