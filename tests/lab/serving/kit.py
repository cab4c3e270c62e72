# SPDX-License-Identifier: MIT
"""What a pair is made of: a server, which runs in the target and then under `mirrord exec --steal`, and its client elsewhere in the cluster.

Both note what they observe, as probes do (probes/kit.py); what client and server saw must be equal, whoever the server was.
"""

import importlib
import os
import signal
import socket
import time

from labkit import pattern
from probes.kit import Probe

AREAS = ["tcp", "ends", "listeners", "queues", "many", "udp"]
PORT = 21100  # nobody's in the lab
PAIRS = {}


class Pair:
    def __init__(self, name, roles, families, modes, long, timeout, node, needs, lent):
        self.lent = lent
        self.name, self.roles, self.families, self.modes, self.long, self.timeout, self.node = name, roles, families, modes, long, timeout, node
        self.area, self.oracle, self.needs = "serving", "target", needs


def pair(families=(4,), modes=("root", "user"), long=False, timeout=25, node="services", needs=(), lent=False):
    """The function returns (server, client). @node: where the client runs; @lent: only what stealing by lent sockets can do."""
    def add(function):
        assert function.__name__ not in PAIRS, function.__name__
        PAIRS[function.__name__] = Pair(function.__name__, function, families, modes, long, timeout, node, needs, lent)
        return function
    return add


def load():
    for area in AREAS:
        importlib.import_module("serving." + area)
    return list(PAIRS.values())


class Role(Probe):
    """A probe that may be a server."""

    def any_address(self):
        return "0.0.0.0" if self.family == 4 else "::"

    def listener(self, ip=None, port=PORT, backlog=64, ready=True, **options):
        """@options: SO_… of the socket's."""
        s = socket.socket(self.af, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for name, value in options.items():
            s.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        s.settimeout(15)
        s.bind((ip or self.any_address(), port))
        s.listen(backlog)
        if ready:
            self.ready()
        return s

    def datagrams(self, ip=None, port=PORT, ready=True):
        u = self.udp(10)
        u.bind((ip or self.any_address(), port))
        if ready:
            self.ready()
        return u

    @staticmethod
    def ready():
        print("ready", flush=True)

    def accept(self, s, key="accept"):
        c, peer = s.accept()
        c.settimeout(15)
        self.note(key, self.plain(peer))
        return c

    def dial(self, port=PORT, name="pod", **more):
        return self.connect(name, port, **more)

    def take(self, s, n, key="took"):
        """Reads @n bytes, as much as there is before an end."""
        got = b""
        try:
            while len(got) < n:
                data = s.recv(n - len(got))
                if not data:
                    break
                got += data
            self.note(key, self.plain(got))
        except OSError as e:
            self.note(key, {"data": self.plain(got), "error": type(e).__name__})
        return got

    def pour(self, s, size, key="poured"):
        sent = 0
        try:
            while sent < size:
                n = min(65536, size - sent)
                s.sendall(pattern.piece(sent, n))
                sent += n
            self.note(key, sent)
        except OSError as e:
            self.note(key, type(e).__name__)

    def drain(self, s, size, key="drained"):
        """Reads @size bytes, which must be what pour() writes."""
        at, good = 0, True
        while at < size:
            data = s.recv(min(65536, size - at))
            if not data:
                break
            good = good and data == pattern.piece(at, len(data))
            at += len(data)
        self.note(key, [at, good])


def stop_for(seconds):
    """This process is stopped, and goes on later."""
    parent = os.getpid()
    if os.fork() == 0:
        time.sleep(seconds)
        os.kill(parent, signal.SIGCONT)
        os._exit(0)
    os.kill(parent, signal.SIGSTOP)
    os.wait()


