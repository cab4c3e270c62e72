# SPDX-License-Identifier: MIT
"""What a test has at hand: the cluster, and ways to run a program plainly, in the target, and under `mirrord exec`."""

import os
import signal
import subprocess
import sys
import time

from . import linux, snapshot
from .registry import PATIENCE, PROMPT, Failure
from .sandbox import REPORTS

# An ordinary user may not be able to reach the one that runs this
PYTHON = ["/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable, "-S", "-E", "-B"]
MIRRORD = "/tmp/lab/bin/mirrord"
LOG = "/tmp/lab/home/session.log"


class Done:
    """A program's end. @status is negative for death by a signal, None when it had to be killed after its time."""

    def __init__(self, argv, status, out, err, seconds):
        self.argv, self.status, self.out, self.err, self.seconds = argv, status, out, err, seconds

    def __str__(self):
        return f"status {self.status} after {self.seconds:.2f} s\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"


class Lab:
    def __init__(self, sandbox, cluster, tunnel, way):
        """@way: "twin", or where what should run under mirrord runs instead, to test the tests: "target" or "host"."""
        self.sandbox, self.cluster, self.tunnel, self.mode, self.way = sandbox, cluster, tunnel, sandbox.mode, way
        self.target = f"pid/{cluster.target}"
        self.target2 = f"pid/{cluster.target2}"
        self.clean = snapshot.take_first(cluster)

    # Where programs run

    def plainly(self):
        """preexec_fn: on the host, as the product's user."""
        self.sandbox.become_user()

    def target_of(self, pod):
        return f"pid/{self.cluster.other_targets[pod]}" if pod in self.cluster.other_targets else self.target

    def in_target(self, pod="pod"):
        """preexec_fn: in the target, as the product's user and without privileges over it. (The owner of a user namespace has them all;
        so an ordinary user becomes one inside the target's.)"""
        if self.mode == "root":
            self.cluster.nodes[pod].enter()
            return
        self.cluster.nodes[pod].enter_as_root()
        linux.make_dumpable()
        linux.unshare(linux.NEWUSER)
        linux.map_ids((self.sandbox.uid, self.sandbox.gid), 0, 0)

    def command(self, argv, target=None, options=(), log=True):
        """The command line that runs @argv under mirrord."""
        return [MIRRORD, "exec", "-t", target or self.target, *(("--log-file", LOG) if log else ()), *options, "--", *argv]

    def environment(self, **more):
        if self.tunnel:
            more.setdefault("MIRRORD_TUNNEL", "1")
        return self.sandbox.environment(**{"MIRRORD_LOG": "debug", **more})

    def quiet_environment(self, **more):
        """Without MIRRORD_LOG, as users have it: only what a user must know reaches stderr."""
        env = self.environment(**more)
        del env["MIRRORD_LOG"]
        return env

    # Running to the end

    def run(self, argv, where=None, env=None, text=None, timeout=120, **more):
        """@where: one of the preexec functions above; on the host by default."""
        began = time.monotonic()
        p = self.start(argv, where, env, stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL, **more)
        try:
            out, err = p.communicate(text, timeout=timeout * PATIENCE)
            status = p.returncode
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            try:
                out, err = p.communicate(timeout=PROMPT)
            except subprocess.TimeoutExpired:
                out, err = "", "(its output is held open by somebody)"
            status = None
        return Done(argv, status, out or "", err or "", time.monotonic() - began)

    def start(self, argv, where=None, env=None, **more):
        options = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="backslashreplace",
                       start_new_session=True, env=env or self.environment())
        options.update(more)
        return subprocess.Popen(argv, preexec_fn=where or self.plainly, **options)

    def direct(self, argv, **more):
        return self.run(argv, self.in_target, **more)

    def mirrord(self, argv, target=None, options=(), **more):
        self.forget_log()
        if self.way != "twin":
            return self.run(argv, self.in_target if self.way == "target" else self.plainly, **more)
        return self.run(self.command(argv, target, options), **more)

    def start_mirrord(self, argv, target=None, options=(), **more):
        self.forget_log()
        if self.way != "twin":
            return self.start(argv, self.in_target if self.way == "target" else self.plainly, **more)
        return self.start(self.command(argv, target, options), **more)

    def forget_log(self):
        if os.path.exists(LOG):
            os.unlink(LOG)

    def log(self, lines=80):
        try:
            with open(LOG, errors="backslashreplace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return "(no log)"

    # What is left

    def wait_clean(self, seconds=PROMPT):
        """Nothing of the product's is left: processes, namespaces, devices, rules, mounts, files. Raises Failure."""
        left = snapshot.wait_same(self.clean, self.cluster, seconds)
        if left:
            snapshot.remove(self.clean)
            raise Failure("nothing left behind", "left behind: " + "; ".join(left))

    def take_reports(self):
        """What sanitizers had to say since the last time."""
        text = ""
        for name in sorted(os.listdir(REPORTS)):
            with open(f"{REPORTS}/{name}", errors="backslashreplace") as f:
                text += f"{name}:\n{f.read()}"
            os.unlink(f"{REPORTS}/{name}")
        return text

    def processes(self, name):
        """Pids of the processes whose comm is @name."""
        return [pid for pid in snapshot.pids() if linux.comm(pid) == name and linux.process_state(pid) not in ("Z", "")]

    def wait_for(self, what, condition, seconds=PROMPT):
        """Polls until @condition() is true. Raises Failure."""
        end = time.monotonic() + seconds * PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise Failure(what, f"not within {seconds * PATIENCE:.0f} s")
            time.sleep(0.01)
