# SPDX-License-Identifier: MIT
"""Processes: services that stay, runs that end, and the CPUs that both may use."""
import json
import os
import resource
import shutil
import subprocess
import threading
import time

from .box import RUN


class Problem(Exception):
    """Why a figure or a way can't be had; shown to the user."""


CPUS = sorted(os.sched_getaffinity(0))
CLIENT_CPU, SERVER_CPU = CPUS[0], CPUS[1 % len(CPUS)]


def descriptor_limit(most=262144):
    """Raises this process's limits as far as it may, for what it starts. Returns the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (most, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, limit)))
            break
        except (OSError, ValueError):
            pass  # without CAP_SYS_RESOURCE
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def cpus_of(side, pinned):
    """@side: 'client' or 'server'."""
    if not pinned:
        return set(CPUS)
    return {CLIENT_CPU if side == "client" else SERVER_CPU}


def _parents():
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    return parents


def tree(pid):
    """The process and its descendants."""
    parents, found = _parents(), [pid]
    for p in found:
        found += [c for c, parent in parents.items() if parent == p]
    return found


def named(prefix):
    """Processes of the bench's pid namespace by the start of their name: {pid: name}."""
    found = {}
    for pid in _parents():
        try:
            with open(f"/proc/{pid}/comm") as f:
                comm = f.read().strip()
        except OSError:
            continue
        if comm.startswith(prefix):
            found[pid] = comm
    return found


def pin(pids, cpus):
    for pid in pids:
        try:
            for tid in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(tid), cpus)
        except OSError:
            pass  # it has ended


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Problem(f"{p} is not installed")


def tail(path):
    try:
        with open(path, errors="replace") as f:
            lines = [line.strip() for line in f.readlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "no message"


class Service:
    """A program that runs for the whole bench in one node, as root, on one side of the split."""
    all = []

    def __init__(self, name, node, argv, side, env=None):
        self.name, self.node, self.side = name, node, side
        self.log = f"{RUN}/{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(node.within(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **(env or {})}, start_new_session=True)
        Service.all.append(self)

    def wait_for(self, condition, seconds=15):
        """Until condition() is true; a Problem with the last line it logged otherwise."""
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise Problem(f"{self.name} ended at once: {tail(self.log)}")
            if time.monotonic() > end:
                raise Problem(f"{self.name} is not ready after {seconds} s: {tail(self.log)}")
            time.sleep(0.02)
        return self

    def wait_for_port(self, port, kind="tcp", node=None):
        return self.wait_for(lambda: (node or self.node).listens(port, kind))


def pin_services(pinned):
    for s in Service.all:
        pin(tree(s.process.pid), cpus_of(s.side, pinned))


class Run:
    """One run of a program, perhaps with gates (bench/gate.h) at which it waits for us."""

    def __init__(self, argv, env=None, pinned=False, seconds=60):
        prefix = ["taskset", "-c", str(CLIENT_CPU)] if pinned else []
        self.pinned = pinned
        self.errors = f"{RUN}/run.stderr"
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen([*prefix, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                            env={**os.environ, **(env or {})}, text=True, start_new_session=True)
        self.late = False
        self.timer = threading.Timer(seconds, self._too_late)
        self.timer.start()
        self.seconds = seconds

    def _too_late(self):
        self.late = True
        self.kill()

    def kill(self):
        for pid in tree(self.process.pid):
            try:
                os.kill(pid, 9)
            except OSError:
                pass

    def _problem(self):
        if self.late:
            return Problem(f"not done after {self.seconds} s ({tail(self.errors)})")
        return Problem(f"status {self.process.returncode}: {tail(self.errors)}")

    def stage(self):
        """The next gate's fields; the program waits there."""
        for line in self.process.stdout:
            if line.startswith("{"):
                fields = json.loads(line)
                # The agent is on the target's side of the split, wherever it was started from.
                pin(named("mirrord-agent"), cpus_of("server", self.pinned))
                return fields
        self.finish()
        raise Problem(f"ended before its gate: {tail(self.errors)}")

    def go_on(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except OSError:
            pass  # finish() says why

    def finish(self):
        """Its whole remaining output, once it has ended with success."""
        try:
            out = self.process.stdout.read()
            self.process.stdin.close()
        except OSError:
            out = ""
        self.process.wait()
        self.timer.cancel()
        if self.process.returncode or self.late:
            raise self._problem()
        return out

    def abandon(self):
        self.timer.cancel()
        self.kill()
        self.process.wait()


def result(run):
    """Lets a driver through its one gate: its JSON result."""
    run.stage()
    run.go_on()
    out = run.finish().strip().splitlines()
    if not out:
        raise Problem("no result")
    return json.loads(out[-1])
