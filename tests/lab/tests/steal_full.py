# SPDX-License-Identifier: MIT
"""A stolen port that changes hands: by deaths and by other sessions while the program's queue is full and nobody is answered, while a handshake is on or
much is on its way, and in a loop."""

import json
import subprocess

from labkit.incoming import FIRST, Program, Real, client, taken
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, test
from tests.steal import AGENTS, kill, pids, rules, with_input

PORT = FIRST
BACKLOG, KNOCKING = 2, 8

# So many come one after the other; when it is told to go on, each says something. How often which answer came, by whether they were connected before.
KNOCK = f"""
import collections, json, select, socket, sys, time
socks, seen = [], collections.Counter()
for i in range(int(sys.argv[1])):
    s = socket.socket(); s.setblocking(False); s.connect_ex(("10.244.1.7", {PORT})); socks.append(s); time.sleep(0.005)
time.sleep(0.3)
p = select.poll()
for s in socks: p.register(s, select.POLLOUT)
connected = {{fd for fd, events in p.poll(0) if not events & select.POLLERR}}
print(len(connected), flush=True)
sys.stdin.readline()
for s in socks:
    try:
        select.select([], [s], [], 60)
        s.settimeout(60); s.sendall(b"me"); answer = s.recv(20).decode()
    except OSError as e: answer = type(e).__name__
    seen[("connected " if s.fileno() in connected else "knocked ") + answer] += 1
print(json.dumps(seen))
"""


class Knocking:
    def __init__(self, lab, n):
        self.process = with_input(lab.cluster.services, [*PYTHON, "-c", KNOCK, str(n)])
        self.connected = int(self.process.stdout.readline())

    def answers(self):
        return json.loads(self.process.communicate("\n", timeout=2 * PROMPT)[0])


def fill(lab, program):
    """The program accepts nobody, and its queue is full. Returns those who are in it, and behind it."""
    program.do(f"s = bound('0.0.0.0', {PORT})", f"s.listen({BACKLOG})")
    k = Knocking(lab, KNOCKING)
    expect("who is answered", k.connected, BACKLOG + 1, lab.log())
    return k


def death_test(name, *victims, program=False):
    @test(f"steal.full_queue_{name}_killed")
    def run(lab):
        """The target's own answers at once, those who knocked, too; those whom our kernel's queue had are reset, as in any server's that dies."""
        with Real(lab):
            p = Program(lab, "--steal")
            knocking = fill(lab, p)
            kill(lab, *victims)
            if program:
                p.process.kill()
            for _ in range(3):
                answer, data = client(lab, PORT)
                expect("the very next answers", answer.get("answer"), "real:" + data, str(answer) + lab.log())
            expect("who answered", knocking.answers(), {"connected ConnectionResetError": BACKLOG + 1, "knocked real:me": KNOCKING - BACKLOG - 1})
            try:
                p.process.wait(5)
            except subprocess.TimeoutExpired:
                p.process.kill()
            p.process.communicate()
            kill(lab, "mirrord-session", "mirrord-keeper")
            lab.wait_for("no table is left", lambda: "mirrord" not in lab.cluster.pod.run(["nft", "list", "ruleset"]))
            lab.wait_for("no process is left", lambda: not pids(lab, *AGENTS))
            if "mirrord-watch" in victims:  # the next agent clears what those two leave
                with Program(lab, "--steal") as again:
                    again.do(f"s = listen('0.0.0.0', {PORT})")
                    taken(lab, again, PORT)
            lab.wait_for("no rule is left", lambda: "12397" not in rules(lab))


death_test("agent", "mirrord-agent")
death_test("session", "mirrord-session")
death_test("keeper", "mirrord-keeper")
death_test("program", program=True)
death_test("everybody", *AGENTS, "mirrord-session", "mirrord-keeper", program=True)


@test("steal.full_queue_beside_others")
def others(lab):
    """Sessions that come and go, with another port and with a copy of this one, let nobody in."""
    with Real(lab), Program(lab, "--steal") as ann:
        crowds = [fill(lab, ann)]
        for options, port in ((("--steal",), PORT + 1), ((), PORT)):
            with Program(lab, *options) as bob:
                bob.do(f"s = listen('0.0.0.0', {port})")
                crowds.append(Knocking(lab, 3))
            crowds.append(Knocking(lab, 3))
        expect("who is answered", [k.connected for k in crowds[1:]], [0] * 4, lab.log())
        ann.do("serve(s)")
        expect("who answered", crowds[0].answers(), {"connected here:me": BACKLOG + 1, "knocked here:me": KNOCKING - BACKLOG - 1})
        expect("who answered the others", [k.answers() for k in crowds[1:]], [{"knocked here:me": 3}] * 4)
        taken(lab, ann, PORT)


# What a client sends after its SYN is lost until it is told to go on.
SLOW = f"""
import socket, sys
s = socket.socket(); s.bind(("", int(sys.argv[1]))); s.settimeout(60)
s.connect(("10.244.1.7", {PORT}))
print("connected", flush=True)
sys.stdin.readline()
try: s.sendall(b"me"); print(s.recv(20).decode())
except OSError as e: print(e)
"""


class Slow:
    def __init__(self, lab, port):
        self.node, self.table = lab.cluster.services, f"slow{port}"
        lost = f"tcp sport {port} tcp flags & (syn|ack) == ack drop"
        self.node.run(["nft", "-f", "-"], f"table ip {self.table} {{ chain c {{ type filter hook output priority 0; {lost}; }}; }}")
        self.process = with_input(self.node, [*PYTHON, "-c", SLOW, str(port)])
        self.process.stdout.readline()

    def answer(self):
        self.node.run(["nft", "delete", "table", "ip", self.table])
        return self.process.communicate("\n", timeout=PROMPT)[0].strip()


@test("steal.half_open")
def half_open(lab):
    """Who has begun is served by whoever answered the SYN, if that one is still there, else by the target's own."""
    with Real(lab), Program(lab, "--steal") as program:
        before = Slow(lab, 33001)
        program.do(f"s = listen('0.0.0.0', {PORT})")
        taken(lab, program, PORT)
        expect("one from before", before.answer(), "real:me", lab.log())
        expect("one meanwhile", Slow(lab, 33002).answer(), "here:me", lab.log())
        late = Slow(lab, 33003)
        program.do("shut(s)")
        expect("one who is late", late.answer(), "real:me", lab.log())


# Both ways at once for @seconds; how much, of what, and the longest time in which nothing came.
STREAM = """
import hashlib, random, socket, sys, threading, time
ip, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
if ip: c = socket.create_connection((ip, port), 60)
else:
    l = socket.create_server(("0.0.0.0", port)); print("ready", flush=True); c, _ = l.accept()
c.settimeout(60); print("connected", flush=True)
def pour():
    block, h, n, end = random.randbytes(1 << 18), hashlib.blake2b(), 0, time.monotonic() + seconds
    while time.monotonic() < end: c.sendall(block); h.update(block); n += len(block); time.sleep(0.002)
    c.shutdown(socket.SHUT_WR); print("sent", n, h.hexdigest(), flush=True)
t = threading.Thread(target=pour); t.start()
h, n, last, most = hashlib.blake2b(), 0, time.monotonic(), 0
while data := c.recv(1 << 18):
    h.update(data); n += len(data); now = time.monotonic(); most = max(most, now - last); last = now
t.join(); print("got", n, h.hexdigest()); print("waited %.3f" % most)
"""


@test("steal.bulk_of_the_targets_own")
def bulk_of_the_targets_own(lab):
    """A connection from before, while its port is stolen and given back again and again."""
    argv = [*PYTHON, "-c", STREAM]
    server = lab.cluster.pod.start([*argv, "", str(PORT), "5"], stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    caller = lab.cluster.services.start([*argv, "10.244.1.7", str(PORT), "5"], stdout=subprocess.PIPE, text=True)
    caller.stdout.readline()
    with Program(lab, "--steal") as program:
        while caller.poll() is None:
            program.do(f"s = listen('0.0.0.0', {PORT})")
            taken(lab, program, PORT)
            program.do("shut(s)")
    ends = [dict(line.split(" ", 1) for line in p.communicate(timeout=PROMPT)[0].splitlines() if " " in line) for p in (server, caller)]
    expect("what came", [e["got"] for e in ends], [e["sent"] for e in reversed(ends)], lab.log())


# Asks until its time is over: how often whose answer came, and the longest that one took.
ASK = f"""
import collections, json, socket, sys, time
seen, most, end = collections.Counter(), 0, time.monotonic() + 4
while time.monotonic() < end:
    began = time.monotonic()
    try:
        with socket.create_connection(("10.244.1.7", {PORT}), 20) as s:
            s.settimeout(20); s.sendall(b"x"); answer = s.recv(20).decode().partition(":")[0]
    except OSError as e: answer = type(e).__name__
    seen[answer] += 1; most = max(most, time.monotonic() - began)
print(json.dumps([seen, most]))
"""


def of_the_agent(lab):
    """Its descriptors; its listeners, in the target."""
    (agent,) = pids(lab, "mirrord-agent")
    fds = lab.sandbox.run(["sh", "-c", f"ls /proc/{agent}/fd | wc -l"])
    return int(fds), len(lab.cluster.pod.run(["sh", "-c", "ss -Hltn | grep '192.0.0.8\\|6d69'"]).splitlines())


def again_and_again(name, *turn, never=()):
    """A program does so while clients come. None waits in vain, none sees what is in @never, and the agent has no more than before."""
    @test(f"steal.in_a_loop_{name}")
    def run(lab):
        with Real(lab), Program(lab, "--steal") as program:
            program.do(f"s = listen('0.0.0.0', {PORT}, reuseport=True)")
            taken(lab, program, PORT)
            fds, listeners = of_the_agent(lab)
            clients = [lab.cluster.services.start([*PYTHON, "-c", ASK], stdout=subprocess.PIPE, text=True) for _ in range(3)]
            while any(c.poll() is None for c in clients):
                program.do(*turn)
            for c in clients:
                seen, most = json.loads(c.communicate(timeout=PROMPT)[0])
                expect("who waited in vain", {a: n for a, n in seen.items() if a in ("TimeoutError", "", *never)}, {}, str(seen) + lab.log())
                expect("some are served", seen.get("here", 0) > 0, True, str((seen, most)) + lab.log())
            taken(lab, program, PORT)
            lab.wait_for("the agent has what it had", lambda: of_the_agent(lab)[1] == listeners and of_the_agent(lab)[0] <= fds + 8)


ANOTHER = f"b = listen('0.0.0.0', {PORT}, 'b', reuseport=True)"
again_and_again("closed_and_opened", "shut(s)", f"s = listen('0.0.0.0', {PORT}, reuseport=True)")
again_and_again("of_another_length", "s.listen(1)", "s.listen(64)", "s.listen(0)", "s.listen(128)",
                never=("real", "ConnectionResetError", "ConnectionRefusedError"))
again_and_again("workers_come_and_go", ANOTHER, "shut(b)", never=("real", "ConnectionRefusedError"))
again_and_again("workers_take_over", ANOTHER, "shut(s)", "s = b", never=("real", "ConnectionRefusedError"))
