# SPDX-License-Identifier: MIT
"""A control group for each node, which the node sees as the root.

Version 1: a group in each hierarchy, below the one that we are in. Version 2: one group; as only leaves may have both processes and
controllers, the node's first processes go into a leaf of their own."""

import os
import signal
import time

ROOT = "/sys/fs/cgroup"
LEAF = "first"


def _parents():
    """The directories that groups are made in."""
    if os.path.exists(f"{ROOT}/cgroup.controllers"):
        return [ROOT]
    parents = []
    with open("/proc/self/cgroup") as f:
        for line in f:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            if number != "0":
                parents.append(f"{ROOT}/{controllers.removeprefix('name=')}{path}".rstrip("/"))
    return parents


def _write(path, text):
    with open(path, "w") as f:
        f.write(text)


def _read(path):
    with open(path) as f:
        return f.read()


def _delegate(directory):
    """Version 2: what is below may use all controllers."""
    for controller in _read(f"{directory}/cgroup.controllers").split():
        try:
            _write(f"{directory}/cgroup.subtree_control", "+" + controller)
        except OSError:
            pass  # one that can't be


class Groups:
    def __init__(self, name):
        self.v2 = os.path.exists(f"{ROOT}/cgroup.controllers")
        self.paths = [f"{parent}/{name}" for parent in _parents()]

    def make(self):
        if self.v2:
            _delegate(ROOT)
        for path in self.paths:
            os.makedirs(path)
            if "/cpuset/" in path + "/":
                for setting in ("cpuset.cpus", "cpuset.mems"):
                    self._inherit(path, setting)
        if self.v2:
            os.mkdir(f"{self.paths[0]}/{LEAF}")

    @classmethod
    def _inherit(cls, path, setting):
        if not _read(f"{path}/{setting}").strip():
            cls._inherit(os.path.dirname(path), setting)
            _write(f"{path}/{setting}", _read(f"{os.path.dirname(path)}/{setting}"))

    def enter(self):
        for path in self.paths:
            _write(f"{path}/cgroup.procs", "0")

    def processes(self):
        found = set()
        for path in self.paths:
            for directory, _, files in os.walk(path):
                if "cgroup.procs" in files:
                    try:
                        found.update(int(p) for p in _read(f"{directory}/cgroup.procs").split())
                    except OSError:
                        pass  # gone meanwhile
        return found

    def remove(self, patience=20):
        """Ends what is in them. Returns those that don't go away."""
        until = time.monotonic() + patience
        while True:
            for pid in self.processes() - {0}:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for path in self.paths:
                for directory, _, _ in os.walk(path, topdown=False):
                    try:
                        os.rmdir(directory)
                    except OSError:
                        pass
            left = [p for p in self.paths if os.path.isdir(p)]
            if not left or time.monotonic() > until:
                return left
            time.sleep(0.05)
