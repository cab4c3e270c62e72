# SPDX-License-Identifier: MIT
"""A machine of the cluster: a network, mount and UTS namespace with a process in it that runs its servers.

The process is a fork of the test runner and is steered over a socket pair, one JSON line per request. Programs are started in a node
by the runner itself, which enters the node's namespaces between fork and exec.
"""

import json
import os
import socket
import subprocess
import traceback

from . import linux
from .registry import PROMPT
from .witness import Witness


class NodeProcess:
    """The side inside: runs in the forked process and never returns."""

    def __init__(self, name, control, serve):
        self.witness = Witness()
        self.control = control
        try:
            linux.die_with_parent()
            linux.set_name("node-" + name)
            linux.unshare(linux.NEWNET | linux.NEWNS | linux.NEWUTS)
            linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
            linux.link_up("lo")
            self._answer({"pid": os.getpid()})
            for line in control.makefile("r"):
                self._answer(self._obey(json.loads(line), serve))
        except Exception:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _answer(self, what):
        self.control.sendall(json.dumps(what).encode() + b"\n")

    def _obey(self, request, serve):
        kind = request["do"]
        if kind == "serve":
            try:
                serve(self.witness)
            except Exception:
                return {"error": traceback.format_exc()}
        elif kind == "reset":
            self.witness.reset()
        elif kind == "dump":
            return {"seen": self.witness.dump(request["wait"])}
        return {}


class Node:
    """The side outside."""

    def __init__(self, name):
        self.name = name
        self.control, self._inner = socket.socketpair()
        self.pid = None

    def fork(self, serve):
        """Called in the process that is to be the parent of the node's."""
        if os.fork() == 0:
            NodeProcess(self.name, self._inner, serve)

    def wait_ready(self, user_namespace):
        """@user_namespace: a descriptor of the one that owns the node, None for the runner's own."""
        self._inner.close()
        self._lines = self.control.makefile("r")
        self.control.settimeout(4 * PROMPT)
        self.pid = json.loads(self._lines.readline())["pid"]
        self._user = user_namespace
        self._spaces = [(os.open(f"/proc/{self.pid}/ns/{n}", os.O_RDONLY | os.O_CLOEXEC), kind) for n, kind in
                        (("net", linux.NEWNET), ("uts", linux.NEWUTS), ("mnt", linux.NEWNS))]

    def ask(self, do, **more):
        self.control.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
        answer = json.loads(self._lines.readline())
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        return answer

    def enter(self):
        """Enters net, UTS and mount namespace; for preexec_fn. The process keeps its user."""
        for fd, kind in self._spaces:
            linux.setns(fd, kind)

    def enter_as_root(self):
        """The same as the root of the node; for preexec_fn."""
        if self._user is not None:
            linux.setns(self._user, linux.NEWUSER)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        self.enter()

    def run(self, argv, text="", check=True):
        """Runs a command as the node's root. Returns its output."""
        done = subprocess.run(argv, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              preexec_fn=self.enter_as_root, timeout=4 * PROMPT)
        if check and done.returncode != 0:
            raise RuntimeError(f"in {self.name}: {' '.join(argv)}: {done.stdout}\n{text}")
        return done.stdout

    def start(self, argv, **more):
        """Starts a background program as the node's root; it dies with the runner."""
        def prepare():
            self.enter_as_root()
            linux.die_with_parent()
        return subprocess.Popen(argv, preexec_fn=prepare, stdin=subprocess.DEVNULL, **more)

    def ip(self, *commands, family=None):
        """One `ip` for all; @family "-6" where it can't see from the command that IPv6 is meant."""
        self.run(["ip", *([family] if family else []), "-batch", "-"], "\n".join(commands) + "\n")

    def sysctl(self, **settings):
        """ipv4__ip_forward=1 and so on; settings that this kernel doesn't have are passed over."""
        script = ['for s in "$@"; do f=/proc/sys/net/${s%%=*}; if [ -e $f ]; then echo "${s#*=}" > $f || exit 1; fi; done', "sh"]
        words = [f"{k.replace('__', '/')}={v}" for k, v in settings.items()]
        self.run(["sh", "-c", *script, *words])

    def write(self, path, text):
        """Puts a file over @path that only this node sees."""
        source = f"/tmp/lab/{self.name}{path.replace('/', '_')}"
        with open(source, "w") as f:
            f.write(text)
        os.chmod(source, 0o644)
        self.run(["mount", "--bind", source, os.path.realpath(path)])
