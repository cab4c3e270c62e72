# SPDX-License-Identifier: MIT
"""Stealing, as far as the target's health goes: deaths, too many connections, several sessions, others who redirect its ports."""

import contextlib
import errno
import json
import os
import random
import re
import resource
import signal
import subprocess
import time

from labkit import linux
from labkit.incoming import FIRST, LAST, Program, Real, client, left_alone, taken, wait_left_alone
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, expect_in, test

PORT = FIRST
LISTEN = f"s = listen('0.0.0.0', {PORT})"
AGENTS = ("mirrord-agent", "mirrord-watch")


def pids(lab, *names):
    return [pid for name in names for pid in lab.processes(name)]


def is_dead(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill(lab, *names):
    """When this returns they are dead: their descriptors are closed."""
    victims = pids(lab, *names)
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    while not all(is_dead(pid) for pid in victims):
        time.sleep(0.001)


def rules(lab):
    commands = "nft list ruleset; ip rule; ip -6 rule; ip route show table 12397; ip -6 route show table 12397"
    return lab.cluster.pod.run(["sh", "-c", commands], check=False)


class Stealing(Program):
    """One that listens on PORT."""

    def __init__(self, lab, *options, **more):
        super().__init__(lab, "--steal", *options, **more)
        self.do(LISTEN)

    def bury(self):
        """After a death: the program gets SIGTERM from who is left, or is ended here."""
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass


def death_test(name, *victims):
    @test(f"steal.{name}_killed")
    def run(lab):
        with Real(lab):
            program = Stealing(lab)
            taken(lab, program, PORT)
            if victims:
                kill(lab, *victims)
            else:
                program.process.kill()
                program.process.wait()
            for _ in range(3):
                answer, data = client(lab, PORT)
                expect("the very next answers", answer.get("answer"), "real:" + data, str((_, answer)) + lab.log())
            program.bury()
            kill(lab, "mirrord-session", "mirrord-keeper")
            lab.wait_for("no table is left", lambda: "mirrord" not in lab.cluster.pod.run(["nft", "list", "ruleset"]))
            if "mirrord-watch" not in victims:
                lab.wait_for("no rule is left", lambda: "12397" not in rules(lab))
            lab.wait_for("no process is left", lambda: not pids(lab, *AGENTS))
            with Stealing(lab) as again:
                taken(lab, again, PORT)
            lab.wait_for("nothing is left", lambda: "mirrord" not in rules(lab) and "12397" not in rules(lab))


death_test("agent", "mirrord-agent")
death_test("agent_and_watchdog", *AGENTS)
death_test("session", "mirrord-session")
death_test("keeper", "mirrord-keeper")
death_test("program")
death_test("everybody", *AGENTS, "mirrord-session", "mirrord-keeper")


@test("steal.two_sessions")
def two_sessions(lab):
    """They share an agent, whose name is that of the first one's; the last to leave ends it."""
    with Real(lab), Stealing(lab) as ann:
        taken(lab, ann, PORT)
        first = set(pids(lab, "mirrord-agent"))  # one of its children may not have its own name yet
        with Program(lab, "--steal") as bob:
            bob.do(f"s = listen('0.0.0.0', {PORT + 1})")
            taken(lab, ann, PORT)
            taken(lab, bob, PORT + 1)
            listeners = lab.cluster.pod.run(["sh", "-c", "grep -c '00010000.*@mirrord-agent' /proc/net/unix"]).strip()
            expect("who can be found", listeners, "1", lab.log())
            ann.end()
            wait_left_alone(lab, bob, PORT)
            taken(lab, bob, PORT + 1)
            expect("agents that are left", len(first & set(pids(lab, "mirrord-agent"))), 1)
        lab.wait_for("the last one to leave ends it", lambda: not pids(lab, *AGENTS))
        left_alone_by_nobody(lab, PORT + 1)


def left_alone_by_nobody(lab, port):
    answer, data = client(lab, port)
    expect(f"the answer on port {port}", answer.get("answer"), "real:" + data, lab.log())


def concurrent(how):
    path = "/tmp/lab/home/mirrord.json"
    with open(path, "w") as f:
        json.dump({"feature": {"network": {"incoming": {"mode": "steal", "on_concurrent_steal": how}}}}, f)
    os.chmod(path, 0o644)
    return ("-f", path)


@test("steal.one_port_twice")
def one_port_twice(lab):
    """Refused with the first one's name and time; behind it; instead of it."""
    with Real(lab), Stealing(lab) as ann:
        with Program(lab, "--steal", env=lab.quiet_environment()) as bob:
            expect("the program", bob.tell(LISTEN).get("errno"), errno.EADDRINUSE, lab.log())
            taken(lab, ann, PORT)
            text = bob.end()
            expect_in("what is said", text, f"port {PORT} is stolen by")
            expect_in("since when", text, time.strftime("%Y-"))
        with Program(lab, *concurrent("continue")) as bob:
            bob.do(LISTEN)
            taken(lab, ann, PORT)
            ann.do("shut(s)")
            lab.wait_for("the next one in turn has it", lambda: client(lab, PORT)[0].get("answer", "").startswith("here:"))
            taken(lab, bob, PORT)
        lab.wait_for("the port is to be had again", lambda: ann.tell(LISTEN) == "ok")
        taken(lab, ann, PORT)
        with Program(lab, *concurrent("override")) as bob:
            bob.do(LISTEN)
            taken(lab, bob, PORT)
    os.unlink("/tmp/lab/home/mirrord.json")



ECHO = """
import select, socket, sys, threading
name, port = sys.argv[1].encode(), int(sys.argv[2])
import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4000, 4000))
l = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
p = select.epoll(); p.register(l, 1); conns = {}
print("ready", flush=True)
while True:
    for fd, _ in p.poll():
        if fd == l.fileno():
            c, _ = l.accept(); conns[c.fileno()] = c; p.register(c, 1)
            continue
        try: data = conns[fd].recv(1000)
        except OSError: data = b""
        if data: conns[fd].sendall(name + b":" + data)
        else: conns.pop(fd).close()
"""

CROWD = """
import collections, json, resource, socket, sys
ip, port, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, n + 100))
who, socks = collections.Counter(), []
def ask(s, text):
    s.sendall(text); return s.recv(100).partition(b":")[0].decode()
try:
    for i in range(n):
        socks.append(socket.create_connection((ip, port), 20)); socks[-1].settimeout(20)
        who[ask(socks[-1], b"hi")] += 1
    for s in socks: who[ask(s, b"again")] += 1
except OSError as e: who[str(e)] += 1
print(json.dumps(who))
"""


def with_input(node, argv):
    def prepare():
        node.enter_as_root()
        linux.die_with_parent()
    return subprocess.Popen(argv, preexec_fn=prepare, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def crowd(lab, n, port=PORT):
    """@n connections at once, each of which asks twice: {who answered: how often}."""
    return json.loads(lab.cluster.services.run([*PYTHON, "-c", CROWD, "10.244.1.7", str(port), str(n)]))


class Echo:
    """A server that keeps connections, as the target's own program."""

    def __init__(self, lab, start, *argv):
        self.process = start([*argv, *PYTHON, "-c", ECHO, "real", str(PORT)], stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def start_stealing_echo(lab, soft_limit=None, **more):
    prefix = [] if soft_limit is None else ["/bin/sh", "-c", f'ulimit -Sn {soft_limit}; exec "$@"', "sh"]
    p = lab.start([*prefix, *lab.command([*PYTHON, "-c", ECHO, "here", str(PORT)], options=("--steal",))], **more)
    expect("the program", p.stdout.readline(), "ready\n", lab.log())
    lab.wait_for("it is asked", lambda: list(crowd(lab, 1)) == ["here"])
    return p


def end_of(p):
    p.terminate()
    p.communicate(timeout=PROMPT)


@test("steal.1200_connections_kept")
def many_kept(lab):
    """With a soft limit of 1 024 descriptors."""
    with Echo(lab, lab.cluster.pod.start):
        p = start_stealing_echo(lab, 1024)
        expect("who answered", crowd(lab, 1200), {"here": 2400}, lab.log())
        end_of(p)


@test("steal.descriptors_run_out", modes=("root",))
def descriptors(lab):
    """What the agent has no descriptors for goes to the target's program; when there are some again, the session has its traffic again."""
    with Echo(lab, lab.cluster.pod.start):
        p = start_stealing_echo(lab)
        (agent,) = pids(lab, "mirrord-agent")
        used = len(os.listdir(f"/proc/{agent}/fd"))
        resource.prlimit(agent, resource.RLIMIT_NOFILE, (used + 120, used + 120))
        seen = crowd(lab, 600)
        expect("who answered", sorted(seen), ["here", "real"], lab.log())
        expect("answers", sum(seen.values()), 1200, lab.log())
        lab.wait_for("the session has it again", lambda: list(crowd(lab, 1)) == ["here"])
        end_of(p)


@test("steal.connections_from_before")
def from_before(lab):
    """They are the target's, whether connection tracking was on or not."""
    track = "table ip lab { chain c { type filter hook input priority 0; ct state established accept; }; }"
    with Echo(lab, lab.cluster.pod.start):
        for on in (False, True):
            if on:
                lab.cluster.pod.run(["nft", "-f", "-"], track)
            waiting = CROWD.replace("    for s in socks:", "    print('held', flush=True); sys.stdin.readline()\n    for s in socks:")
            held = with_input(lab.cluster.services, [*PYTHON, "-c", waiting, "10.244.1.7", str(PORT), "20"])
            expect("connections from before", held.stdout.readline(), "held\n")
            p = start_stealing_echo(lab)
            out, _ = held.communicate("\n", timeout=PROMPT)
            expect("who answered them before and after", json.loads(out), {"real": 40}, lab.log())
            end_of(p)
        lab.cluster.pod.run(["nft", "delete", "table", "ip", "lab"])


KEPT = f"""
import socket
s = socket.create_connection(("10.244.1.7", {PORT}), 60)
s.sendall(b"hi")
print(s.recv(100).partition(b":")[0].decode(), flush=True)
try: print(s.recv(1))
except ConnectionResetError: print("reset")
"""


@test("steal.flush_connections")
def flushed(lab):
    """Who asks for it has them reset, so that their clients come again."""
    with Echo(lab, lab.cluster.pod.start):
        client = lab.cluster.services.start([*PYTHON, "-c", KEPT], stdout=subprocess.PIPE, text=True)
        expect("answered by", client.stdout.readline(), "real\n")
        p = start_stealing_echo(lab, env=lab.environment(MIRRORD_AGENT_STEALER_FLUSH_CONNECTIONS="true"))
        expect("what became of it", client.communicate(timeout=PROMPT)[0], "reset\n", lab.log())
        end_of(p)


BULK_SERVER = f"""
import hashlib, random, socket, sys
size = int(sys.argv[1])
l = socket.create_server(("0.0.0.0", {PORT}))
print("ready", flush=True)
c, _ = l.accept()
c.sendall(b"220 who speaks first\\r\\n")
h, block = hashlib.blake2b(), bytearray(1 << 20)
while n := c.recv_into(block): h.update(memoryview(block)[:n])
c.sendall(h.digest())
r, h = random.Random(1), hashlib.blake2b()
for _ in range(size >> 20):
    block = r.randbytes(1 << 20); h.update(block); c.sendall(block)
c.close()
print(h.hexdigest(), flush=True)
"""

BULK_CLIENT = """
import hashlib, random, socket, sys
ip, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
c = socket.create_connection((ip, port), 20); c.settimeout(200)
f = c.makefile("rb")
print(f.readline().decode().strip())
r, h = random.Random(2), hashlib.blake2b()
for _ in range(size >> 20):
    block = r.randbytes(1 << 20); h.update(block); c.sendall(block)
c.shutdown(socket.SHUT_WR)
print(f.read(64) == h.digest())
h, n = hashlib.blake2b(), 0
while block := f.read(1 << 20): h.update(block); n += len(block)
print(n); print(h.hexdigest())
"""


def bulk(lab, size, seconds):
    """Who speaks first, much there, a half-close, and much back."""
    with Real(lab):
        p = lab.start(lab.command([*PYTHON, "-c", BULK_SERVER, str(size)], options=("--steal",)))
        expect("the program", p.stdout.readline(), "ready\n", lab.log())
        caller = with_input(lab.cluster.services, [*PYTHON, "-c", BULK_CLIENT, "10.244.1.7", str(PORT), str(size)])
        seen, _ = caller.communicate("", timeout=seconds)
        sent, err = p.communicate(timeout=PROMPT)
        expect("what the client saw", seen.split("\n")[:-1], ["220 who speaks first", "True", str(size), sent.strip()], err + lab.log())


@test("steal.256_mib_both_ways", timeout=600)
def some_mib(lab):
    bulk(lab, 256 << 20, 500)


@test("steal.1_gib_both_ways", long=True, timeout=900)
def a_gib(lab):
    bulk(lab, 1 << 30, 800)


SIDECAR = f"""
import socket, sys, threading
l = socket.create_server(("0.0.0.0", 15006))
print("ready", flush=True)
def serve(c):
    u = socket.socket(); u.bind(("127.0.0.6", 0)); u.connect(("10.244.1.7", {PORT}))
    u.sendall(c.recv(1000)); c.sendall(b"proxy:" + u.recv(1000)); c.close(); u.close()
while True:
    threading.Thread(target=serve, args=(l.accept()[0],), daemon=True).start()
"""


@test("steal.port_of_a_mesh")
def mesh(lab):
    """A sidecar to which the port is redirected sees the client first, as before; what it forwards is stolen."""
    pod = lab.cluster.pod
    redirect = f"type nat hook prerouting priority dstnat; tcp dport {PORT} redirect to :15006;"
    pod.run(["nft", "-f", "-"], f"table ip mesh {{ chain pre {{ {redirect} }}; }}")
    sidecar = pod.start([*PYTHON, "-c", SIDECAR], stdout=subprocess.PIPE, text=True)
    sidecar.stdout.readline()
    try:
        with Real(lab), Stealing(lab) as program:
            answer, data = client(lab, PORT)
            expect("the answer", answer.get("answer"), "proxy:here:" + data, lab.log())
            program.do("shut(s)")
            lab.wait_for("the target's program has it again", lambda: client(lab, PORT)[0].get("answer", "").startswith("proxy:real:"))
    finally:
        sidecar.kill()
        sidecar.wait()
        pod.run(["nft", "delete", "table", "ip", "mesh"])


@test("steal.without_tproxy")
def redirected(lab):
    """The way for kernels that lack it."""
    with Real(lab), Program(lab, "--steal", env=lab.environment(MIRRORD_STEAL="redirect")) as program:
        program.do(f"s = listen('::', {PORT})")
        for more in ({}, {"family": 6}, {"node": "pod", "ip": "127.0.0.1"}):
            answer, data = client(lab, PORT, **more)
            expect("the answer", answer.get("answer"), "here:" + data, lab.log())
        left_alone(lab, program, PORT + 1)
        program.do("shut(s)")
        wait_left_alone(lab, program, PORT)


@test("steal.without_the_right", modes=("user",))
def no_right(lab):
    """The target is a process in this machine's own network, which an ordinary user has no rights over."""
    target = lab.start(["/bin/sleep", "60"])
    code = f"import socket, time\ns = socket.create_server(('0.0.0.0', {PORT}))\ntime.sleep(0.5)"
    done = lab.mirrord([*PYTHON, "-c", code], target=f"pid/{target.pid}", options=("--steal",), env=lab.quiet_environment())
    target.kill()
    target.communicate()
    expect_in("the program", done.err, "Address already in use", str(done))
    expect_in("what is said", done.err, "NET_ADMIN")
    expect_in("and what still works", done.err, "mirroring")


class Ends:
    """When somebody was being ended."""

    def __init__(self):
        self.spans = []

    def __enter__(self):
        self.spans.append([time.monotonic(), None])

    def __exit__(self, *_):
        self.spans[-1][1] = time.monotonic()

    def explain(self, failure):
        return any(failure[0] - 0.2 <= end and begin <= failure[1] + 0.2 for begin, end in self.spans)


def end_somebody(lab, programs, dice):
    """Of those who steal: one ends by itself, or somebody's process is killed. Returns who is left."""
    if dice.random() < 0.5:
        programs.pop(dice.randrange(len(programs))).end()
        return programs
    victims = dice.choice([AGENTS, ("mirrord-agent",), ("mirrord-session",), ("mirrord-watch",)])
    kill(lab, *victims)
    if victims == ("mirrord-watch",):
        return programs
    for p in programs:
        Stealing.bury(p)
    kill(lab, "mirrord-session", "mirrord-keeper")
    return []


WEB, WRK_CONNECTIONS = LAST + 7, 8
WEB_SERVER = f"import sys; sys.path.insert(0, '/tmp/lab/tests/programs')\nfrom listens import http\nhttp('0.0.0.0', {WEB}, 'real')\nprint('ready', flush=True)\nsys.stdin.read()"


@contextlib.contextmanager
def asked_by_wrk(lab, seconds, ends):
    """All the while wrk asks the target's WEB, whose server is there, or a program's. It is never refused, never waits in vain, and what fails are
    requests on connections that somebody had who was ended: its own, and those that it made to him in that moment."""
    server = with_input(lab.cluster.pod, [*PYTHON, "-c", WEB_SERVER])
    expect("the target's HTTP server", server.stdout.readline(), "ready\n")
    wrk = lab.cluster.services.start(["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{seconds}s", "--timeout", "60s", f"http://10.244.1.7:{WEB}/"],
                                     stdout=subprocess.PIPE, text=True)
    try:
        yield
        out, _ = wrk.communicate(timeout=seconds)
    finally:
        wrk.kill()
        server.kill()
        server.communicate()
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    connect, read, write, timed_out = map(int, errors.groups()) if errors else (0, 0, 0, 0)
    expect("wrk's requests", int(re.search(r"(\d+) requests in", out).group(1)), lambda n: n > 0, out)
    expect("refused, timed out", (connect, timed_out), (0, 0), out + lab.log())
    expect("answers that were none", "Non-2xx" in out, False, out)
    expect(f"failed at {len(ends.spans)} ends", read + write, lambda n: n <= 3 * WRK_CONNECTIONS * len(ends.spans), out + lab.log())


def chaos(lab, seconds):
    """Sessions start, end and are killed while clients call and call. Every call is answered, by whomever; but for those that were under way when
    somebody was ended."""
    dice, ends, programs, end = random.Random(4711), Ends(), [], time.monotonic() + seconds
    with Real(lab), asked_by_wrk(lab, seconds, ends):
        caller = with_input(lab.cluster.services, [*PYTHON, "/tmp/lab/tests/programs/caller.py", "10.244.1.7", str(PORT), "4"])
        expect("the caller", caller.stdout.readline(), "ready\n")
        while time.monotonic() < end:
            if programs and dice.random() < 0.5:
                with ends:
                    programs = end_somebody(lab, programs, dice)
            elif len(programs) < 3:
                programs.append(Program(lab, "--steal"))
                programs[-1].tell(LISTEN)  # refused, when another one has it
                programs[-1].tell(f"h = http('0.0.0.0', {WEB}, 'here')")
            time.sleep(dice.uniform(0.2, 1.5))
        for p in programs:
            with ends:
                p.end()
        with Stealing(lab) as last:
            lab.wait_for("it still works", lambda: client(lab, PORT)[0].get("answer", "").startswith("here:"))
            with ends:
                last.end()
        out, _ = caller.communicate("", timeout=PROMPT)
    done = json.loads(out)
    detail = f"{done['answers']}, {len(done['failures'])} failed, {len(ends.spans)} ends\n{lab.log()}"
    expect("calls that failed and were not under way at somebody's end", [f for f in done["failures"] if not ends.explain(f)], [], detail)
    expect("who answered", sorted(done["answers"]), ["here:", "real:"], detail)
    lab.wait_for("nothing is left", lambda: "mirrord" not in rules(lab) and "12397" not in rules(lab))


@test("steal.chaos", needs=("wrk",), timeout=600)
def short_chaos(lab):
    chaos(lab, 60)


@test("steal.chaos_for_long", needs=("wrk",), long=True, timeout=900)
def long_chaos(lab):
    chaos(lab, 600)
