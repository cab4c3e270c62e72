# SPDX-License-Identifier: MIT
"""Hands tests to workers, each with a sandbox and a cluster of its own, and reports what they say.

A worker is asked for one test at a time. One that does not answer in time is ended with all that it has (its PID namespace goes with
it), the test has failed, and another takes its place.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from . import worker
from .lab import PYTHON
from .registry import PATIENCE

GRACE_SECONDS = 60 * PATIENCE
START_SECONDS = 240 * PATIENCE


class Slot:
    """A running worker."""

    stages = []  # of all that there were

    def __init__(self, mode, options, built):
        self.mode, self.test, self.began, self.limit = mode, None, time.monotonic(), START_SECONDS
        self.ready = False
        self.stage = _stage(built)
        self.sock, theirs = socket.socketpair()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.sock.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os._exit(worker.main(theirs, mode, self.stage, options))
        theirs.close()
        self.lines = self.sock.makefile("r")

    def give(self, test):
        self.test, self.began, self.limit = test, time.monotonic(), test.timeout * PATIENCE + GRACE_SECONDS
        self.sock.sendall(json.dumps(test.name).encode() + b"\n")

    def end(self, kill=False):
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        else:  # closing is not enough: later workers have inherited our end
            self.sock.sendall(b"null\n")
        self.sock.close()
        self.lines.close()
        os.waitpid(self.pid, 0)
        shutil.rmtree(self.stage, ignore_errors=True)


def _stage(built):
    stage = tempfile.mkdtemp(prefix="mirrord-lab-")
    Slot.stages.append(stage)
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


class Report:
    """TAP lines and the closing count."""

    def __init__(self, total, no_skips):
        self.total, self.no_skips, self.failed = total, no_skips, []
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        print(f"1..{total}", flush=True)

    def add(self, mode, name, result):
        outcome = result["outcome"]
        if outcome == "skipped" and self.no_skips:
            outcome, result["detail"] = "failed", "skipped: " + result["detail"]
        self.count[outcome] += 1
        number = sum(self.count.values())
        label = f"{number} - {mode}/{name} ({result.get('seconds', 0):.1f} s)"
        if outcome == "failed":
            self.failed.append(f"{mode}/{name}")
            print("not ok " + label)
            for key in ("expected", "seen", "detail"):
                for line in str(result.get(key, "")).splitlines() or ():
                    print(f"# {key}: {line}" if key != "detail" else f"#   {line}")
        else:
            print("ok " + label + (f" # SKIP {result['detail']}" if outcome == "skipped" else ""))
            for line in result.get("note", "").splitlines():
                print(f"# seen once, and not again: {line}")
        sys.stdout.flush()

    def close(self):
        for name in self.failed:
            print(f"# failed: {name}")
        print("{passed} passed, {failed} failed, {skipped} skipped".format(**self.count), flush=True)
        return 1 if self.count["failed"] else 0


def run(work, options, built):
    queues = {}
    for mode, test in work:
        queues.setdefault(mode, []).append(test)
    report = Report(len(work), options.no_skips)
    slots = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    try:
        while slots or any(queues.values()):
            _fill(slots, queues, options, built)
            for slot in _ready(slots):
                _listen(slot, slots, queues, report)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for slot in slots:
            slot.end(kill=True)
        for stage in Slot.stages:
            shutil.rmtree(stage, ignore_errors=True)
    left = _left_outside()
    if left:
        print("# left behind outside the sandboxes: " + ", ".join(left))
    return report.close() or bool(left)


def _left_outside():
    """What this run has left on the machine: children, mounts and directories of its own. (Namespaces go with their processes.)"""
    left = [s for s in Slot.stages if os.path.exists(s)]
    with open("/proc/self/mountinfo") as f:
        left += [line.split()[4] for line in f if any(s in line for s in Slot.stages)]
    try:
        while True:
            left.append(f"process {os.waitpid(-1, os.WNOHANG)[0]}")
            if left[-1] == "process 0":
                break
    except ChildProcessError:
        pass
    return left


def _fill(slots, queues, options, built):
    """Starts workers for the longest queue per worker while there is room."""
    while len(slots) < options.jobs:
        def share(mode):
            return len(queues[mode]) / (1 + sum(s.mode == mode for s in slots))
        mode = max(queues, key=share)
        if share(mode) < 1:
            return
        slots.append(Slot(mode, options, built))


def _ready(slots):
    """Slots that have something to say or are out of time."""
    now = time.monotonic()
    wait = max(0, min(s.began + s.limit - now for s in slots))
    readable, _, _ = select.select([s.sock for s in slots], [], [], wait)
    now = time.monotonic()
    return [s for s in slots if s.sock in readable or now > s.began + s.limit]


def _listen(slot, slots, queues, report):
    readable, _, _ = select.select([slot.sock], [], [], 0)
    line = slot.lines.readline() if readable else ""
    if not line:
        why = "its worker died" if readable else f"no end within {slot.limit} s"
        lost = [slot.test] if slot.test else []
        if not slot.ready and any(s.ready and s.mode == slot.mode for s in slots):
            print("# a cluster didn't start: " + why, flush=True)  # others did
        elif not slot.ready:  # the next one wouldn't start either
            lost, queues[slot.mode], why = queues[slot.mode], [], "no cluster: " + why
        for test in lost:
            report.add(slot.mode, test.name, {"outcome": "failed", "expected": "an end", "seen": why})
        slots.remove(slot)
        slot.end(kill=True)
        return
    result = json.loads(line)
    slot.ready = True
    if slot.test:
        report.add(slot.mode, slot.test.name, result)
    if queues[slot.mode]:
        slot.give(queues[slot.mode].pop(0))
    else:
        slots.remove(slot)
        slot.end()
