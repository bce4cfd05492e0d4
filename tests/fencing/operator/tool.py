"""The other program: writes its pod's name into a ConfigMap, and freezes before, with the operator, the first time.

It asks nobody whether its operator leads: whatever fences it has to stand elsewhere.
"""

import json
import os
import signal
import sys
from pathlib import Path

from tests.controlplane.api import MERGE_PATCH, Api

namespace, name = sys.argv[1:]
folder, pod = Path(os.environ["FOLDER"]), os.environ["POD_NAME"]
config = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
cluster = config["clusters"][0]["cluster"]
api = Api(cluster["server"], Path(cluster["certificate-authority"]), config["users"][0]["user"]["token"])

mine = folder / f"{os.getpid()}.json"
mine.write_text(json.dumps({"pod": pod, "pids": [os.getpid(), os.getppid()]}))
try:
    os.link(mine, folder / "frozen.json")  # by the first one only
    os.kill(os.getppid(), signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGSTOP)
except FileExistsError:
    pass
path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
status, answer = api.attempt("PATCH", path, {"data": {"by": pod}}, content_type=MERGE_PATCH)
with (folder / "outcomes.jsonl").open("a") as file:
    file.write(json.dumps({"pod": pod, "status": status, "message": answer.get("message", "")}) + "\n")
sys.exit(status != 200)
