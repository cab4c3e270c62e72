# SPDX-License-Identifier: MIT
"""What a probe is made of.

A probe is a function that makes socket calls and notes everything that a program could observe. It runs once in the target and once
in the twin, and the notes are compared; so it states no expectation of its own. It is given a Probe object `p`.
"""

import contextlib
import errno
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from labkit import plan  # noqa: E402,F401

AREAS = ["tcp_connect", "tcp_data", "tcp_end", "tcp_more", "udp", "icmp", "dns", "localhost", "listen", "view", "pods"]
PROBES = {}

IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE, UDP_SEGMENT, UDP_GRO = 11, 25, 0x2000, 103, 104
IP_TTL, IPV6_UNICAST_HOPS, IP_RECVTTL, IPV6_RECVHOPLIMIT = 2, 16, 12, 51


class ProbeInfo:
    def __init__(self, area, name, run, families, servers, oracle, options, modes, long, needs, timeout, settle, pod, fresh):
        self.settle, self.pod, self.fresh = settle, pod, fresh
        self.area, self.name, self.run, self.families, self.servers = area, name, run, families, servers
        self.oracle, self.options, self.modes, self.long, self.needs, self.timeout = oracle, options, modes, long, needs, timeout


def probe(families=(4, 6), servers="ordered", oracle="target", options=(), modes=("root", "user"), long=False, needs=(), timeout=20,
          settle=0.1, pod="pod", fresh=False):
    """@servers: "ordered", "unordered" (which connection came first is chance) or "ignored"; @oracle: "target", or "host" for what
    `mirrord exec` with @options leaves to the host; @settle: seconds until the last packet has arrived everywhere; @pod: the target, whose kernel
    forgets what it has learned of routes where @fresh."""
    def add(function):
        area = function.__module__.rpartition(".")[2]
        assert function.__name__ not in PROBES, function.__name__
        PROBES[function.__name__] = ProbeInfo(area, function.__name__, function, families, servers, oracle, options, modes, long, needs, timeout,
                                              settle, pod, fresh)
        return function
    return add


def load():
    for area in AREAS:
        importlib.import_module("probes." + area)
    return list(PROBES.values())


def error_name(e):
    if isinstance(e, socket.timeout):
        return "(timeout)"
    if isinstance(e, socket.gaierror):
        return {v: k for k, v in vars(socket).items() if k.startswith("EAI_")}.get(e.errno, str(e.errno))
    return errno.errorcode.get(e.errno, str(e)) if isinstance(e, OSError) else f"{type(e).__name__}: {e}"


EVENTS = [(n, getattr(select, n)) for n in ("POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLNVAL", "POLLRDHUP")]


class Probe:
    def __init__(self, family):
        self.family = family
        self.af = socket.AF_INET if family == 4 else socket.AF_INET6
        self.steps = []

    # Notes

    def note(self, key, value):
        self.steps.append([key, value])

    def call(self, key, function, *args, **more):
        """Calls and notes the result, or the error's name. Returns the result, None after an error."""
        try:
            result = function(*args, **more)
        except (OSError, UnicodeError) as e:
            self.note(key, error_name(e))
            return None
        self.note(key, self.plain(result))
        return result

    def plain(self, value):
        if isinstance(value, bytes):
            return value.decode("latin-1") if len(value) <= 200 else {"bytes": len(value), "hash": hash_of(value)}
        if isinstance(value, tuple) and len(value) in (2, 4) and isinstance(value[0], str) and isinstance(value[1], int):
            return address(value)
        if isinstance(value, tuple):
            return [self.plain(v) for v in value]
        if isinstance(value, socket.socket):
            return "ok"
        return "ok" if value is None else value

    @contextlib.contextmanager
    def timed(self, key):
        began = time.monotonic()
        yield
        self.note(key + " took", {"seconds": time.monotonic() - began})

    def names(self, s, key=""):
        self.call(key + "getsockname", s.getsockname)
        self.call(key + "getpeername", s.getpeername)

    def skip(self, why):
        self.note("skip", why)
        raise SystemExit

    # Addresses and sockets

    def ip(self, name):
        return plan.address(name, self.family) if name in plan.HOSTS else name

    def to(self, name, port):
        return (self.ip(name), port)

    @property
    def loopback(self):
        return "127.0.0.1" if self.family == 4 else "::1"

    def tcp(self, timeout=10):
        s = socket.socket(self.af, socket.SOCK_STREAM)
        s.settimeout(timeout)
        return s

    def udp(self, timeout=3):
        s = socket.socket(self.af, socket.SOCK_DGRAM)
        s.settimeout(timeout)
        return s

    def connect(self, name, port, key="connect", s=None, timeout=10):
        """A blocking connect, timed. Returns the socket, connected or not."""
        s = s or self.tcp(timeout)
        with self.timed(key):
            self.call(key, s.connect, self.to(name, port))
        return s

    def begin_connect(self, name, port, key="connect"):
        """A non-blocking connect on its way."""
        s = self.tcp()
        s.setblocking(False)
        self.note(key, error_name(OSError(s.connect_ex(self.to(name, port)), "")))
        return s

    def poll(self, s, events=select.POLLIN | select.POLLOUT | select.POLLRDHUP, seconds=10, key="poll"):
        """One poll(); notes the events. Returns their mask."""
        poller = select.poll()
        poller.register(s, events)
        with self.timed(key):
            ready = poller.poll(int(seconds * 1000))
        mask = ready[0][1] if ready else 0
        self.note(key, event_names(mask))
        return mask

    def await_event(self, s, events=0, seconds=10):
        """Until what a peer has done is here: @events, or an error or a hang-up. Notes nothing, and changes nothing."""
        poller = select.poll()
        poller.register(s, events)
        poller.poll(int(seconds * 1000))

    def so_error(self, s, key="SO_ERROR"):
        code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self.note(key, errno.errorcode.get(code, code))

    def line(self, s, key="line"):
        """Reads one line; a JSON one is noted as what it says."""
        data = b""
        try:
            while not data.endswith(b"\n"):
                byte = s.recv(1)
                if not byte:
                    break
                data += byte
        except OSError as e:
            self.note(key + " error", error_name(e))
        self.json(data, key)
        return data

    def json(self, data, key):
        try:
            self.note(key, json.loads(data))
        except ValueError:
            self.note(key, data.decode("latin-1"))

    def read_to_end(self, s, key="read"):
        """Reads until the end or an error; notes how much came, and how it ended."""
        got = b""
        try:
            while True:
                data = s.recv(65536)
                if not data:
                    end = "eof"
                    break
                got += data
        except OSError as e:
            end = error_name(e)
        self.note(key, {"data": self.plain(got), "end": end})
        return got

    def exchange(self, s, data, peer=None, key="answer", size=65536):
        """Sends a datagram and notes the answer and who sent it."""
        self.call(key + " sent", *((s.send, data) if peer is None else (s.sendto, data, peer)))
        return self.datagram(s, key, size)

    def datagram(self, s, key="datagram", size=65536):
        try:
            data, sender = s.recvfrom(size)
        except OSError as e:
            self.note(key, error_name(e))
            return None
        self.note(key + " from", address(sender))
        self.json(data, key) if len(data) <= 300 else self.note(key, self.plain(data))
        return data

    def errors(self, s, key="error queue", skip=0):
        """Notes everything in the socket's error queue: errno, origin, type, code, offender, the datagram's beginning but for @skip bytes."""
        for i in range(10):
            try:
                data, control, flags, peer = s.recvmsg(512, 512, MSG_ERRQUEUE)
            except OSError as e:
                self.note(f"{key} end", error_name(e))
                return
            for level, kind, value in control:
                if (level, kind) in ((0, IP_RECVERR), (41, IPV6_RECVERR)):
                    code, origin, icmp_type, icmp_code, _, info, extra = struct.unpack_from("=IBBBBII", value)
                    self.note(f"{key} {i}", {"errno": errno.errorcode.get(code, code), "origin": origin, "type": icmp_type, "code": icmp_code,
                                             "info": info, "offender": offender(value[16:]), "to": address(peer) if peer else None,
                                             "data": self.plain(data[skip:])})

    def program(self, argv, key=None, timeout=15, shape=None, text=None, **more):
        """Runs a program; notes its status and output, passed through @shape."""
        key = key or os.path.basename(argv[0])
        try:
            done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, text=True, input=text,
                                  errors="backslashreplace", **more)
        except subprocess.TimeoutExpired:
            self.note(key, "(no end)")
            return ""
        self.note(key + " status", done.returncode)
        self.note(key, shape(done.stdout) if shape else done.stdout)
        return done.stdout

    @contextlib.contextmanager
    def no_sigpipe(self):
        old = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        yield
        signal.signal(signal.SIGPIPE, old)


def event_names(mask):
    return "|".join(n for n, bit in EVENTS if mask & bit) or "none"


def hash_of(data):
    import hashlib
    return hashlib.sha1(data).hexdigest()[:12]


def address(sockaddr):
    if not isinstance(sockaddr, tuple):
        return repr(sockaddr)
    return {"ip": sockaddr[0].partition("%")[0], "port": sockaddr[1]}


def offender(sockaddr):
    if len(sockaddr) < 8:
        return None
    family, = struct.unpack_from("=H", sockaddr)
    if family == socket.AF_INET:
        return socket.inet_ntop(family, sockaddr[4:8])
    if family == socket.AF_INET6:
        return socket.inet_ntop(family, sockaddr[8:24])
    return family


def reset(s):
    """Closes with a RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def send_until_told(s):
    """Sends until the peer wants no more of it. Returns what it had answered before."""
    try:
        while True:
            s.sendall(bytes(65536))
    except (ConnectionResetError, BrokenPipeError):
        return s.recv(100).decode()
