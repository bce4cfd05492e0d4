"""An ordinary operator that leaves a part of its work to another program, as many do with helm or kubectl."""

import subprocess
import sys
from pathlib import Path

import kopf

TOOL = Path(__file__).with_name("tool.py")


@kopf.on.create("kopfexamples")
def create(name, namespace, **_):
    done = subprocess.run([sys.executable, str(TOOL), namespace, name], check=False)
    if done.returncode:
        raise kopf.TemporaryError("The tool could not write.", delay=0.2)
    return "done"
