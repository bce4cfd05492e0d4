"""An ordinary kopf operator. What it does to an object, and how it misbehaves, stands in the object's spec:

- ``seconds``: how long create, update and delete take (asleep, cancellable);
- ``thread``: how long a synchronous handler takes, which cannot be cancelled;
- ``block``: how long ``create`` blocks the whole event loop;
- ``gil``: how long ``create`` stays in a C function that keeps the GIL, so that no thread of Python runs;
- ``only``: the name of the replica on which all this takes time; on others it takes none;
- ``daemon``, ``timer``: give the object a daemon, a timer.

Every handler writes down when it starts and how it ends.
"""

import asyncio
import ctypes
import os
import time

import kopf
from facts import REPLICA, handling


def duration(spec: kopf.Spec, field: str) -> float:
    """Seconds, as the object asks for."""
    here = spec.get("only", os.environ.get(REPLICA)) == os.environ.get(REPLICA)
    return spec.get(field, 0) if here else 0


@kopf.on.create("kopfexamples")
async def create(spec, uid, name, meta, **_):
    with handling(handler="create", uid=uid, name=name, change=str(meta["generation"])):
        time.sleep(duration(spec, "block"))  # noqa: ASYNC251 - the misbehaviour asked for
        if gil := duration(spec, "gil"):
            ctypes.PyDLL(None).usleep(int(gil * 1_000_000))
        await asyncio.sleep(duration(spec, "seconds"))


@kopf.on.update("kopfexamples")
async def update(spec, uid, name, meta, **_):
    with handling(handler="update", uid=uid, name=name, change=str(meta["generation"])):
        await asyncio.sleep(duration(spec, "seconds"))


@kopf.on.delete("kopfexamples")
async def delete(spec, uid, name, meta, **_):
    with handling(handler="delete", uid=uid, name=name, change=str(meta["generation"])):
        await asyncio.sleep(duration(spec, "seconds"))


@kopf.on.resume("kopfexamples")
async def resume(uid, name, **_):
    with handling(handler="resume", uid=uid, name=name):
        await asyncio.sleep(0)


@kopf.on.create("kopfexamples", when=lambda spec, **_: "thread" in spec)
def in_thread(spec, uid, name, meta, **_):
    with handling(handler="in_thread", uid=uid, name=name, change=str(meta["generation"])):
        time.sleep(duration(spec, "thread"))


@kopf.daemon("kopfexamples", when=lambda spec, **_: spec.get("daemon", False))
async def daemon(stopped, uid, name, **_):
    with handling(handler="daemon", uid=uid, name=name):
        await stopped.wait()


@kopf.timer("kopfexamples", interval=0.5, when=lambda spec, **_: spec.get("timer", False))
async def timer(uid, name, **_):
    with handling(handler="timer", uid=uid, name=name):
        await asyncio.sleep(0.1)
