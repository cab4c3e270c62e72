# SPDX-License-Identifier: MIT
"""Incoming traffic: a program that listens as it is told, the target's own one, and clients elsewhere in the cluster."""

import errno
import itertools
import json
import select
import subprocess
import time

from . import plan
from .lab import PYTHON
from .registry import PATIENCE, PROMPT, Failure, expect

FIRST, LAST = 21000, 21040  # ports where the target's own program answers, TCP and UDP
TOKENS = itertools.count(1)
SAW, CHILD_SAW = "seen", "[json.loads(line) for line in open(CHILD_SAW)] if os.path.exists(CHILD_SAW) else []"  # expressions of listens.py

REAL = f"""
import socket, threading
def tcp(s):
    while True:
        c, _ = s.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()
def serve(c):
    try:
        c.settimeout(60)
        c.sendall(b"real:" + c.recv(1000))
    except OSError: pass
    c.close()
def udp(s):
    while True:
        data, peer = s.recvfrom(65536)
        s.sendto(b"real:" + data, peer)
for port in range({FIRST}, {LAST}):
    s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
    u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    u.bind(("::", port))
    for work, sock in ((tcp, s), (udp, u)):
        threading.Thread(target=work, args=(sock,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""

CLIENT = """
import errno, json, socket, sys
ip, port, data, kind, source, patience = (json.loads(sys.argv[1]) + [60])[:6]
s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, getattr(socket, kind))
s.settimeout(patience)
try:
    if source:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(tuple(source))
    s.connect((ip, port))
    own = s.getsockname()[:2]
    s.sendall(data.encode())
    print(json.dumps({"own": own, "answer": s.recv(70000)[:200].decode("latin-1")}))
except OSError as e:
    print(json.dumps({"error": errno.errorcode.get(e.errno, str(e))}))
"""


class Real:
    """The target's own program, for the time of a test."""

    def __init__(self, lab):
        self.process = lab.cluster.pod.start([*PYTHON, "-c", REAL], stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Program:
    """programs/listens.py under mirrord."""

    def __init__(self, lab, *options, env=None, argv=(), prefix=(), target=None):
        self.lab, others = lab, set(lab.processes("mirrord-session"))
        self.process = lab.start_mirrord([*prefix, *PYTHON, "/tmp/lab/tests/programs/listens.py", *argv], target=target, options=options, env=env,
                                         stdin=subprocess.PIPE)
        if self._line() != "ready":
            raise Failure("a ready program", self.process.stderr.read(), lab.log())
        self.sessions = set(lab.processes("mirrord-session")) - others

    def _line(self, seconds=60 * PATIENCE):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise Failure("an answer of the program's", f"none in {seconds} s", self.lab.log())
        line = self.process.stdout.readline()
        if not line:
            raise Failure("an answer of the program's", "its end: " + self.process.stderr.read(), self.lab.log())
        return json.loads(line)

    def tell(self, statement):
        """Runs a statement, or an expression after "= ", and returns what comes of it."""
        self.process.stdin.write(statement + "\n")
        self.process.stdin.flush()
        return self._line()

    def do(self, *statements):
        for s in statements:
            expect(s, self.tell(s), "ok", self.lab.log())

    def value(self, expression):
        return self.tell("= " + expression)

    def saw(self, data, seconds=0.0, where=SAW):
        """What it remembers of @data; None when nothing comes within @seconds."""
        end = time.monotonic() + seconds
        while True:
            found = [e for e in self.value(where) if e.get("data") == data]
            if found or time.monotonic() > end:
                return found[0] if found else None
            time.sleep(0.02)

    def end(self):
        """Its stderr."""
        self.process.stdin.close()
        try:
            self.process.wait(PROMPT * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("the program's end", "none", self.lab.log()) from None
        text = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return text

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None and kind:
            self.process.kill()
        elif self.process.poll() is None:
            self.end()
        if not kind:  # whoever is next has its ports, the target's and this machine's
            self.lab.wait_for("the end of its session", lambda: not self.sessions & set(self.lab.processes("mirrord-session")), 2 * PROMPT)


def client(lab, port, ip="pod", node="services", data=None, kind="SOCK_STREAM", source=None, family=4, patience=60):
    """One exchange with @ip (a name of plan.HOSTS or an address). Returns ({"answer", "own"} or {"error"}, what was sent)."""
    data = data or f"token-{next(TOKENS)}"
    ip = plan.address(ip, family) if ip in plan.HOSTS else ip
    done = lab.cluster.nodes[node].run([*PYTHON, "-c", CLIENT, json.dumps([ip, port, data, kind, source, patience])])
    return json.loads(done), data


class Waiting:
    """A client that waits longer for its answer."""

    def __init__(self, lab, port, ip="pod", node="services", patience=120):
        self.data = f"waits-{next(TOKENS)}"
        argument = json.dumps([plan.address(ip, 4), port, self.data, "SOCK_STREAM", None, patience])
        self.process = lab.cluster.nodes[node].start([*PYTHON, "-c", CLIENT, argument], stdout=subprocess.PIPE, text=True)

    def waits(self):
        return self.process.poll() is None

    def result(self):
        """As the first of client()'s."""
        out, _ = self.process.communicate(timeout=3 * PROMPT)
        return json.loads(out)


def taken(lab, program, port, mirrored=False, by_child=False, **more):
    """Somebody reaches @port of the target: the program, or a child of its, sees it, from the client's own address. Returns what was seen."""
    answer, data = client(lab, port, **more)
    expect(f"the answer on port {port}", answer.get("answer"), ("real:" if mirrored else "here:") + data, lab.log())
    saw = program.saw(data, PROMPT, CHILD_SAW if by_child else SAW)
    if not saw:
        raise Failure(f"the program sees the client of port {port}", "nothing", lab.log())
    if more.get("node", "services") != "pod":
        peer = [saw["peer"][0].removeprefix("::ffff:"), saw["peer"][1]]  # so a listener of both families sees IPv4
        expect("the peer that it sees", peer, answer["own"], lab.log())
    return saw


def left_alone(lab, program, port, **more):
    """Somebody reaches @port of the target, whose own program answers; ours sees nothing."""
    answer, data = client(lab, port, **more)
    expect(f"the answer on port {port}", answer.get("answer"), "real:" + data, lab.log())
    expect("what our program saw", program.saw(data), None, lab.log())


def wait_left_alone(lab, program, port, seconds=PROMPT, **more):
    """The same, from some time on. Whoever comes before may get no answer: a datagram that a socket has when it is closed is lost, so a client
    of UDP asks again."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        answer, data = client(lab, port, patience=1, **more)
        if answer.get("answer") == "real:" + data and program.saw(data) is None:
            return
        if time.monotonic() > end:
            raise Failure(f"port {port} is the target's again", repr(answer), lab.log())


def errno_name(result):
    return errno.errorcode.get(result["errno"]) if isinstance(result, dict) else result
