# SPDX-License-Identifier: MIT
"""Real servers in the cluster's services node, each for the time of one test.

They run as an ordinary user, since PostgreSQL insists on it: as the product's own user, or, in the lab of root, as an ordinary user
of a user namespace of their own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from . import linux
from .registry import PATIENCE, PROMPT, Failure, Skip

HOME = "/tmp/lab/service"


def find(*names):
    """The path of the first of @names that is installed, also where Debian keeps what isn't in $PATH. Raises Skip."""
    import glob
    for name in names:
        path = shutil.which(name, path="/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin:/usr/local/go/bin")
        for found in [path] if path else sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True):
            return found
    raise Skip(f"not installed: {names[0]}")


class Services:
    """Starts programs in the services node, and ends them."""

    def __init__(self, lab, node="services"):
        self.lab, self.node, self.running = lab, node, []
        shutil.rmtree(HOME, ignore_errors=True)
        os.makedirs(HOME)
        if lab.mode == "user" and lab.sandbox.real_root:
            os.chown(HOME, lab.sandbox.uid, lab.sandbox.gid)

    def _enter(self):
        getattr(self.lab.cluster, self.node).enter()
        if self.lab.mode == "root":
            linux.unshare(linux.NEWUSER)
            linux.map_ids((1000, 1000), 0, 0)
        else:
            self.lab.sandbox.become_user()
        linux.die_with_parent()

    def run(self, argv, timeout=120, **more):
        done = self.lab.run(argv, self._enter, timeout=timeout, env=self.lab.sandbox.environment(USER="labuser", HOME=HOME), **more)
        if done.status != 0:
            raise Failure(f"{argv[0]} runs", str(done))
        return done.out

    def start(self, argv, port, address="10.0.20.5", seconds=120):
        """Starts a server and waits until it listens on @port."""
        log = open(f"{HOME}/{os.path.basename(argv[0])}.log", "wb")
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, preexec_fn=self._enter, start_new_session=True,
                             env=self.lab.sandbox.environment(USER="labuser", HOME=HOME), cwd=HOME)
        log.close()
        self.running.append(p)
        end = time.monotonic() + seconds * PATIENCE
        while f":{port} " not in self.sockets("-Hltn"):
            if p.poll() is not None or time.monotonic() > end:
                with open(log.name, errors="replace") as f:
                    raise Failure(f"{argv[0]} listens on port {port}", f"status {p.poll()}: {f.read()[-2000:]}")
            time.sleep(0.05)
        return p

    def sockets(self, *words):
        return getattr(self.lab.cluster, self.node).run(["ss", *words])

    def log(self, name):
        with open(f"{HOME}/{name}.log", errors="replace") as f:
            return f.read()

    def close(self):
        for p in self.running:
            for s in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(p.pid, s)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(PROMPT)
                    break
        shutil.rmtree(HOME, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
