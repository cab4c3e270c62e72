# SPDX-License-Identifier: MIT
"""What workers of the lab start from: for each a folder with the programs and these tests, which it sees as /tmp/lab."""

import os
import shutil
import subprocess
import tempfile

from . import schedule, worker
from .lab import PYTHON

STAGES = []  # all that there were


def _stage(built):
    stage = tempfile.mkdtemp(prefix="mirrord-lab-")
    STAGES.append(stage)
    os.chmod(stage, 0o755)
    os.mkdir(os.path.join(stage, "bin"))
    for name, path in built.items():
        shutil.copy(path, os.path.join(stage, "bin", name))
        os.chmod(os.path.join(stage, "bin", name), 0o755)
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shutil.copytree(here, os.path.join(stage, "tests"), ignore=shutil.ignore_patterns("__pycache__"))
    # What runs in the lab is compiled once, not by each probe that starts.
    subprocess.run([PYTHON[0], "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
                    *(os.path.join(stage, "tests", part) for part in ("labkit", "probes", "serving"))], check=True)
    for directory, _, files in os.walk(stage):
        os.chmod(directory, 0o755)
        for f in files:
            path = os.path.join(directory, f)
            os.chmod(path, os.stat(path).st_mode | 0o444)
    return stage


def run(work, options, built):
    def begin(mode):
        stage = _stage(built)
        return schedule.Slot(mode, lambda sock: worker.main(sock, mode, stage, options), lambda: shutil.rmtree(stage, ignore_errors=True))

    report = schedule.Report(len(work), options.no_skips)
    schedule.run(work, options.jobs, begin, report)
    left = _left_outside()
    if left:
        print("# left behind outside the sandboxes: " + ", ".join(left))
    return report.close() or bool(left)


def _left_outside():
    """What this run has left on the machine: children, mounts and directories of its own. (Namespaces go with their processes.)"""
    left = [s for s in STAGES if os.path.exists(s)]
    with open("/proc/self/mountinfo") as f:
        left += [line.split()[4] for line in f if any(s in line for s in STAGES)]
    try:
        while True:
            left.append(f"process {os.waitpid(-1, os.WNOHANG)[0]}")
            if left[-1] == "process 0":
                break
    except ChildProcessError:
        pass
    return left
