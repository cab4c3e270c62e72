# SPDX-License-Identifier: MIT
"""The oracle of stolen ports: a server in the target, and the same one under `mirrord exec --steal`. What it saw and what its client saw must be
equal."""

import json
import os
import signal
import subprocess

from .lab import PYTHON
from .registry import PATIENCE, Failure

MAIN = "/tmp/lab/tests/serving/main.py"


def run_once(lab, pair, family, way):
    """@way: "target", "twin" or "host"."""
    argv = [*PYTHON, MAIN, pair.name, str(family)]
    if way == "twin":
        server = lab.start_mirrord([*argv, "server"], options=("--steal", "--no-publish"))
    else:
        server = lab.start([*argv, "server"], lab.in_target if way == "target" else lab.plainly)
    first = server.stdout.readline()
    if first == "ready\n":
        client = lab.run([*argv, "client"], lab.cluster.nodes[pair.node].enter_as_root, timeout=3 * pair.timeout)
    try:
        out, err = server.communicate(timeout=3 * pair.timeout * PATIENCE if first == "ready\n" else 2)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        out, err = server.communicate()
    if first != "ready\n":
        raise Failure(f"a server that is ready ({way})", first + out + err, lab.log() if way == "twin" else "")
    return {"client": _steps(client.out, client.err), "server": _steps(out, err), "status": server.returncode, "stderr": err}


def _steps(out, err):
    try:
        return json.loads(out)
    except ValueError:
        return [["no record", out + err]]
