# SPDX-License-Identifier: MIT
"""Many at once, few descriptors, peers that read nothing or talk nonsense: what must not cost memory, descriptors, CPU or patience."""

import contextlib
import os
import resource
import shutil
import socket
import subprocess
import time

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PATIENCE, PROMPT, Failure, expect, test

LOAD = "/tmp/lab/bin/load"
IP, PORT = plan.HOSTS["payment"][0], 7300
KIB_PER_FLOW, GROWN_KIB, UNREAD_KIB = 8, 2048, 8192
HARD = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
SANITIZED = "ASAN_OPTIONS" in os.environ  # what is freed stays in memory then


def load(*words):
    return [LOAD, words[0], IP, *(str(w) for w in words[1:])]


@contextlib.contextmanager
def server(lab):
    """tests/lab/programs/load.c's, on the machine of the services."""
    p = lab.cluster.services.start([LOAD, "serve", IP, str(PORT)], stdout=subprocess.PIPE, text=True)
    try:
        expect("the server's first line", p.stdout.readline(), "ready\n")
        yield p
    finally:
        p.kill()
        p.communicate()


def ours(lab):
    return {name: lab.processes("mirrord-" + name)[0] for name in ("session", "agent")}


def measure(pids):
    """KiB of private memory and number of descriptors, of both together."""
    memory = descriptors = 0
    for pid in pids.values():
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        with open(f"/proc/{pid}/status") as f:
            memory += 0 if SANITIZED else sum(int(line.split()[1]) for line in f if line.startswith("RssAnon"))
    return memory, descriptors


def cpu_seconds(pids):
    ticks = 0
    for pid in pids.values():
        with open(f"/proc/{pid}/stat") as f:
            ticks += sum(int(x) for x in f.read().rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def expect_rest(lab, pids):
    """There comes a second in which they have next to nothing to do."""
    def one():
        before = cpu_seconds(pids)
        time.sleep(1)
        return cpu_seconds(pids) - before < 0.2
    lab.wait_for("a second of rest", one)


class Talk:
    """A program under mirrord that is steered by lines."""

    def __init__(self, lab, argv, **more):
        self.p = lab.start_mirrord(argv, stdin=subprocess.PIPE, **more)

    def hear(self):
        return self.p.stdout.readline().split()

    def say(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()

    def end(self):
        return self.p.communicate(timeout=PROMPT)


def many_at_once(lab, count):
    with server(lab):
        warm = Talk(lab, ["sh", "-c", " ".join(load("open", PORT, 1)) + " </dev/null; read x; exec " + " ".join(load("open", PORT, count))])
        warm.hear()
        pids = ours(lab)
        memory, descriptors = measure(pids)
        warm.say("")
        expect("connections", warm.hear()[1], str(count), lab.log())
        for what in ("open", "exchange", "rtt"):
            if what != "open":
                warm.say(what)
                expect(what, warm.hear()[1], str(count), lab.log())
            used = (measure(pids)[0] - memory) / count
            expect(f"KiB per flow after {what}", used, lambda kib: kib <= KIB_PER_FLOW)
        warm.say("close")
        warm.hear()
        lab.wait_for("descriptors as before", lambda: measure(pids)[1] <= descriptors + 130)  # shelves of sockets may be fuller
        lab.wait_for("memory as before", lambda: measure(pids)[0] <= memory + GROWN_KIB)
        warm.end()


@test("soak.many_at_once")
def many(lab):
    many_at_once(lab, 1500)


@test("soak.ten_thousand_at_once", long=True, timeout=600)
def ten_thousand(lab):
    # With lent sockets a connection has two descriptors of the session's
    many_at_once(lab, min(10_000, HARD - 600 if lab.tunnel else HARD // 2 - 300))


def short_ones(lab, count):
    with server(lab):
        script = " ".join(load("short", PORT + 4, 1000, 50)) + "; read x; " + " ".join(load("short", PORT + 4, count, 50)) + "; read x"
        talk = Talk(lab, ["sh", "-c", script])
        talk.hear()
        pids = ours(lab)
        memory, descriptors = measure(pids)
        talk.say("")
        expect("connections done and failed", talk.hear()[1:4:2], [str(count), "0"], lab.log())
        lab.wait_for("descriptors as before", lambda: measure(pids)[1] <= descriptors + 130)
        lab.wait_for("memory as before", lambda: measure(pids)[0] <= memory + GROWN_KIB)
        talk.end()


@test("soak.short_connections")
def short(lab):
    short_ones(lab, 5000)


@test("soak.two_hundred_thousand_short", long=True, timeout=1200)
def short_long(lab):
    short_ones(lab, 200_000)


def at_a_limit(lab, limits, count, argv):
    """What is over the hard limit is refused at once, the rest goes on, and nobody spins. Returns how many were open, and refused."""
    def limited():
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        lab.plainly()
    with server(lab):
        talk = Talk(lab, argv, where=limited)
        line = talk.hear()
        if len(line) < 6:
            raise Failure("a count", line, talk.p.stderr.read() + lab.log())
        good, refused, other = int(line[1]), int(line[3]), int(line[5])
        expect("open, refused, other", (good, refused, other), lambda n: n[0] >= 100 and n[0] + n[1] == count and n[2] == 0, lab.log())
        expect_rest(lab, ours(lab))
        talk.say("rtt")
        expect("those that answer", talk.hear()[1], str(good), lab.log())
        talk.say("close")
        talk.hear()
        talk.end()
    return good, refused


@test("soak.few_descriptors")
def few_descriptors(lab):
    _, refused = at_a_limit(lab, (64, 300), 290, load("open", PORT, 290))
    if not lab.tunnel:
        expect("refused", refused, lambda n: n > 0)


@test("soak.twenty_thousand_at_1024", long=True, timeout=600)
def twenty_thousand(lab):
    """The limit is raised at start to what is allowed; what is over that is refused. With lent sockets a connection has two descriptors."""
    # The program's and the server's own limits are no higher. Through the tunnel all are open, and from half of ip_local_port_range
    # on (14,116) Linux's connect() looks through the half that is taken first: milliseconds for each.
    count = min(12_000 if lab.tunnel else 20_000, HARD - 100)
    good, _ = at_a_limit(lab, (1024, HARD), count, load("open", PORT, count))
    expect("open ones", good, lambda n: n >= min(count, HARD // 2 - 300))


@test("soak.unread")
def unread(lab):
    """A sender without end to a peer that reads nothing, and the same the other way round: memory stays, others' round trips stay."""
    with server(lab):
        script = (" ".join(load("pour", PORT + 1, 0)) + " & a=$!; " + " ".join(load("hold", PORT + 2, 100)) + " & b=$!; sleep 2; "
                  + " ".join(load("rtt", PORT, 500)) + "; read x; kill $a $b")
        talk = Talk(lab, ["sh", "-c", script])
        expect("first line", talk.hear(), ["connected"], lab.log())
        median = float(talk.hear()[0])
        expect("median round trip in microseconds", median, lambda us: us < 1_000_000 * PATIENCE)  # what stands still behind the others' bytes does so for seconds
        pids = ours(lab)
        expect("KiB of session and agent", measure(pids)[0], lambda kib: kib < UNREAD_KIB)
        expect_rest(lab, pids)
        talk.say("")
        talk.p.wait(PROMPT)
    talk.end()


# What may be kept of what nobody reads, in KiB. In the tunnel (tunnel/mux.h) MUX_WINDOW for a stream and MUX_BUDGET in all, by the side that
# receives, and what is on its way, MUX_SEND_QUEUE and MUX_TAIL. By lent sockets (relay/pump.c) PUMP_BUFFER for a connection, and PUMP_LEAN
# from PUMP_KEPT in all on.
MUX_WINDOW, MUX_BUDGET, MUX_SEND_QUEUE, MUX_TAIL = 4 << 10, 64 << 10, 1 << 10, 4 << 10
PUMP_BUFFER, PUMP_KEPT, PUMP_LEAN = 512, 64 << 10, 32
GIB = 1 << 30


def most_kept(count, tunnel):
    if tunnel:
        return min(count * MUX_WINDOW, MUX_BUDGET) + MUX_SEND_QUEUE + MUX_TAIL
    return min(count * PUMP_BUFFER, PUMP_KEPT + count * PUMP_LEAN)


def expect_gone(lab):
    """The next measurement is not of these."""
    for name in ("session", "agent"):
        lab.wait_for(f"the {name}'s end", lambda name=name: not lab.processes("mirrord-" + name))


def unread_uploads(lab, count, tunnel):
    """Programs that would send 10 GiB each stand still, and memory stays below what the constants say."""
    with server(lab):
        warm = " ".join(load("open", PORT, 1)) + " </dev/null; read x; exec " + " ".join(load("stall", PORT + 1, count))
        talk = Talk(lab, ["sh", "-c", warm], env=lab.environment(**({"MIRRORD_TUNNEL": "1"} if tunnel else {})))
        talk.hear()
        pids = ours(lab)
        memory = measure(pids)[0]
        talk.say("")
        sent = int(talk.hear()[1])
        grown = measure(pids)[0] - memory
        expect_rest(lab, pids)
        talk.say("")
        talk.p.wait(PROMPT)
        talk.end()
    expect_gone(lab)
    expect("bytes that were taken of 10 GiB each", sent, lambda n: 0 < n < count * (GIB >> 4))
    most = most_kept(count, tunnel or lab.tunnel)
    expect(f"KiB more of session and agent, which may be {most}, for {count} connections", grown, lambda kib: kib <= most + GROWN_KIB)


@test("soak.ten_gib_unread")
def ten_gib_unread(lab):
    for count in (1, 200):
        for tunnel in (False, True):
            unread_uploads(lab, count, tunnel)


def ten_gib(lab, tunnel):
    """All of it arrives, and memory is the same all the time."""
    with server(lab) as s:
        script = " ".join(load("pour", PORT + 3, GIB >> 4)) + "; read x; exec " + " ".join(load("pour", PORT + 3, 10 * GIB))
        talk = Talk(lab, ["sh", "-c", script], env=lab.environment(**({"MIRRORD_TUNNEL": "1"} if tunnel else {})))
        expect("what the server got to begin with", s.stdout.readline(), f"took {GIB >> 4}\n", lab.log())
        pids = ours(lab)
        memory, most = measure(pids)[0], 0
        talk.say("")
        while talk.p.poll() is None:
            most = max(most, measure(pids)[0])
            time.sleep(0.1)
        expect("what the server got", s.stdout.readline(), f"took {10 * GIB}\n", lab.log())
        talk.end()
    expect_gone(lab)
    expect("most KiB more of session and agent", most - memory, lambda kib: kib <= GROWN_KIB)


@test("soak.ten_gib", long=True, timeout=1200)
def ten_gib_read(lab):
    for tunnel in (False, True):
        ten_gib(lab, tunnel)


@test("soak.many_questions")
def many_questions(lab):
    """Each from a socket of its own, as a resolver does."""
    with server(lab):
        talk = Talk(lab, load("questions", PORT, 3000))
        expect("answered", talk.hear()[1], lambda n: int(n) >= 2990, lab.log())
        pids = ours(lab)
        lab.wait_for("no descriptor left behind", lambda: measure(pids)[1] <= 330)
        talk.say("")
        talk.end()


@test("soak.exit_behind_data")
def exit_behind_data(lab):
    """All that was written before the program's end arrives."""
    with server(lab) as s:
        for count in (1, 100_000_000):
            done = lab.mirrord(load("pour", PORT + 3, count))
            expect("status", done.status, 0, str(done))
            expect("what the server got", s.stdout.readline(), f"took {count}\n", lab.log())


@test("soak.exit_behind_data_to_half_closed")
def half_closed(lab):
    """The peer has said its end before, and reads slowly what came behind it."""
    code = """
import socket, time
l = socket.create_server(("%s", 7310)); print("ready", flush=True)
c, _ = l.accept(); c.setsockopt(1, 8, 4096); c.shutdown(socket.SHUT_WR); time.sleep(1); n = 0
while data := c.recv(65536):
    n += len(data); time.sleep(0.001)
print(n, flush=True)""" % IP
    s = lab.cluster.services.start([*PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        s.stdout.readline()
        lab.mirrord([*PYTHON, "-c", f"import socket; s = socket.create_connection(('{IP}', 7310)); s.recv(1); s.sendall(bytes(3000000))"])
        expect("what the peer got", s.stdout.readline(), "3000000\n", lab.log())
    finally:
        s.kill()
        s.communicate()


@test("soak.pipes_while_draining")
def pipes(lab):
    """Nobody who waits for the end of stdout or stderr waits for what still goes out."""
    with server(lab):
        command = " ".join(lab.command(load("pour", PORT + 1, 500_000), log=False))
        done = lab.run(["sh", "-c", f"x=$({command} 2>&1); echo done"], env={**lab.environment(), "MIRRORD_LOG": "error"})
        expect("output", done.out, "done\n", str(done))
        expect("sessions that still send", len(lab.processes("mirrord-session")), 1)


@contextlib.contextmanager
def hostile(how):
    """A mirrord whose agent misbehaves."""
    directory = "/tmp/lab/hostile"
    os.makedirs(directory)
    shutil.copy("/tmp/lab/bin/mirrord", directory)
    path = directory + "/mirrord-agent"
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\nexec {' '.join(PYTHON)} /tmp/lab/tests/programs/hostile_agent.py {how} \"$@\"\n")
    os.chmod(path, 0o755)
    try:
        yield directory + "/mirrord"
    finally:
        shutil.rmtree(directory)


VICTIM = """
import errno, socket, signal, time
told = []
signal.signal(signal.SIGTERM, lambda *a: told.append(1))
try:
    socket.create_connection(("%s", %d), 60).recv(1)
    print("connected")
except OSError as e:
    print(errno.errorcode.get(e.errno, e))
end = time.monotonic() + 60
while not told and time.monotonic() < end:
    time.sleep(0.01)
print("told" if told else "not told")
""" % (IP, plan.HELLO)


ENDS = ("ENETUNREACH", "EHOSTUNREACH", "ECONNRESET")  # the second where the connect call meets the cut


def hostile_test(how):
    @test(f"soak.hostile_agent[{how}]")
    def run(lab):
        with hostile(how) as mirrord:
            lab.forget_log()
            done = lab.run([mirrord, *lab.command([*PYTHON, "-c", VICTIM])[1:]], env=lab.environment(MIRRORD_TUNNEL="1"))
        expect("the connection and the signal", done.out.split(), lambda w: w[0] in ENDS and w[1] == "told", str(done) + lab.log())
        expect("lines on stderr", len(done.err.splitlines()), 1, done.err)
        expect("the line", done.err, lambda line: line.startswith("mirrord: lost the agent: tunnel: "))


for _how in ("garbage", "cut", "huge", "unknown_stream", "text"):
    hostile_test(_how)


@test("soak.hostile_agent[opens]")
def opens(lab):
    """100,000 streams that nobody asked for: each is refused, and the session goes on. The connection has no answer, as from a mute agent."""
    with hostile("opens") as mirrord:
        lab.forget_log()
        p = lab.start([mirrord, *lab.command([*PYTHON, "-c", VICTIM])[1:]], env=lab.environment(MIRRORD_TUNNEL="1"))
        lab.wait_for("a session", lambda: lab.processes("mirrord-session"))
        time.sleep(1.5)
        memory = measure({"session": lab.processes("mirrord-session")[0]})[0]
        p.terminate()
        p.communicate(timeout=PROMPT)
    expect("KiB of the session", memory, lambda kib: kib < UNREAD_KIB)


@test("soak.agent_fed_garbage", modes=("root",))
def fed(lab):
    """The real agent, with a session that talks nonsense: it ends, and says nothing more than a line."""
    for nonsense in (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(100_000), b"\x89mrdt\r\n\x1a" + bytes(500)):
        ours_, theirs = socket.socketpair()
        p = lab.start(["/tmp/lab/bin/mirrord-agent", "--target", "x", "--pid", str(lab.cluster.target)], stdin=theirs, stdout=theirs)
        theirs.close()
        with contextlib.suppress(OSError):
            ours_.sendall(nonsense)
            ours_.shutdown(socket.SHUT_WR)
        try:
            _, err = p.communicate(timeout=PROMPT)
        except subprocess.TimeoutExpired:
            p.kill()
            raise Failure("the agent's end", "none") from None
        ours_.close()
        expect("its death", p.returncode, lambda status: status in (0, 1), err)
