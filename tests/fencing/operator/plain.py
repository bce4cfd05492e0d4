"""An operator that has kopf write what comes of its handler, as most do."""

import os

import kopf


@kopf.on.create("kopfexamples")
@kopf.on.resume("kopfexamples")
def create(**_):
    return os.environ["POD"]
