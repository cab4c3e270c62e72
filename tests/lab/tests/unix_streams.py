# SPDX-License-Identifier: MIT
"""feature.network.outgoing.unix_streams: what the program connects to is in the target's file system, or has an abstract name in its network
namespace. The path lies in a file system that only the target has mounted."""

import contextlib
import json
import os
import signal
import subprocess
import time

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, expect_in, test
from labkit.service import find

THERE = "/mnt"  # a file system of the target's own is mounted there; here it is an empty directory
CONFIG = "/tmp/lab/home/unix.json"
HERE = "/tmp/lab/home/here.sock"

# Serves at the names that it is given: "stream:NAME", "packets:NAME"; @NAME is an abstract one. Does what the first bytes say.
SERVER = r"""
import json, os, socket, sys, threading
kept = []
def name_of(text): return "\0" + text[1:] if text.startswith("@") else text
def serve(c, name):
    c.settimeout(30)
    try:
        if name.endswith("greets"):
            c.sendall(b"hello " * 20000)
            c.close()
            return
        what = c.recv(5 if c.type == socket.SOCK_STREAM else 70000)
        if what == b"who":
            c.sendall(json.dumps({"name": name}).encode())
        elif what == b"count":
            n = 0
            while data := c.recv(65536):
                n += len(data)
            c.sendall(b"%d" % n)
        elif what == b"records":
            got = [what]
            for _ in range(4):
                got.append(c.recv(300000))
            for record in got:
                c.send(record)
        elif what == b"die":
            os._exit(0)
        c.close()
    except OSError as e:
        print("server:", e, file=sys.stderr)
def run(kind, name):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_SEQPACKET)
    s.bind(name_of(name))
    kept.append(s)
    if not name.startswith("@"):
        os.chmod(name, 0 if "private" in name else 0o777)
    if "deaf" not in name:
        s.listen(0 if "full" in name else 128)
    if "full" in name:
        sys.stdin.readline()
    while "deaf" not in name:
        c, _ = s.accept()
        threading.Thread(target=serve, args=(c, name), daemon=True).start()
for arg in sys.argv[1:]:
    threading.Thread(target=run, args=arg.split(":"), daemon=True).start()
import time
while True:
    time.sleep(0.05)
    names = open("/proc/net/unix").read().split()
    if all(arg.split(":")[1] in names for arg in sys.argv[1:]):
        break
print("ready", flush=True)
threading.Event().wait()
"""

CLIENT = r"""
import errno, json, os, socket, sys, time
def name_of(text): return "\0" + text[1:] if text.startswith("@") else text
def connect(name, packets=False, blocking=True):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM)
    s.setblocking(blocking)
    s.connect(name_of(name))
    s.settimeout(30)
    return s
def failure(name, **more):
    try:
        connect(name, **more)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "connected"
def ask(name, what=b"who", **more):
    s = connect(name, **more)
    s.sendall(what)
    s.shutdown(socket.SHUT_WR)
    answer = b""
    while data := s.recv(65536):
        answer += data
    return answer.decode()
def say(what): print(json.dumps(what), flush=True)
"""


@contextlib.contextmanager
def served(lab, *servers, patterns=(f"^{THERE}/", "^lab-"), **more):
    with open(CONFIG, "w") as f:
        json.dump({"feature": {"network": {"outgoing": {"unix_streams": list(patterns)}, **more}}}, f)
    os.chmod(CONFIG, 0o644)
    pod = lab.cluster.pod
    pod.run(["mount", "-t", "tmpfs", "none", THERE])
    pod.run(["chmod", "777", THERE])
    server = None
    try:
        if servers:
            server = pod.start([*PYTHON, "-c", SERVER, *servers], stdout=subprocess.PIPE, text=True)
            expect("the target's server", server.stdout.readline(), "ready\n")
        yield server
    finally:
        if server:
            server.kill()
            server.wait()
        pod.run(["umount", "-l", THERE])


def client(lab, code, options=(), **more):
    done = lab.mirrord([*PYTHON, "-c", CLIENT + code], options=["-f", CONFIG, *options], **more)
    expect("status", done.status, 0, str(done) + lab.log())
    return [json.loads(line) for line in done.out.splitlines()], str(done) + lab.log()


@test("unix.path_and_abstract")
def path_and_abstract(lab):
    """A path of the target's file system, reached by a symbolic link there, too; an abstract name; and what doesn't match is here."""
    names = [f"{THERE}/db.sock", "@lab-abstract"]
    with served(lab, *(f"stream:{n}" for n in names)):
        lab.cluster.pod.run(["ln", "-s", f"{THERE}/db.sock", f"{THERE}/link"])
        lab.cluster.pod.run(["ln", "-s", "/../..", f"{THERE}/up"])
        answers, detail = client(lab, f"""
import threading
here = socket.socket(socket.AF_UNIX)
here.bind({HERE!r})
here.listen()
def local():
    c, _ = here.accept()
    c.recv(9)
    c.sendall(b"local")
    c.close()
threading.Thread(target=local).start()
for name in {names + [f"{THERE}/link", f"{THERE}/up{THERE}/db.sock", HERE]!r}: say(ask(name))
os.unlink({HERE!r})
""")
        expect("answers", answers[:4] and [json.loads(a)["name"] for a in answers[:4]], [names[0], names[1], names[0], names[0]], detail)
        expect("the local one", answers[4], "local", detail)
        expect_in("the log", lab.log(1000), f'unix {THERE}/db.sock: remote, by unix_streams "^{THERE}/"')
        expect_in("the log", lab.log(1000), f"unix {HERE}: local")


@test("unix.errors")
def errors(lab):
    """The target's errno, as its own processes get it; the socket can be used again after it."""
    with served(lab, f"stream:{THERE}/deaf", f"packets:{THERE}/packets", f"stream:{THERE}/good"):
        lab.cluster.pod.run(["sh", "-c", f"touch {THERE}/file && chmod 666 {THERE}/file; ln -s loop {THERE}/loop; mkdir -m 700 {THERE}/closed"])
        code = f"""
for name in ("none", "file", "deaf", "file/x", "loop", "packets", "x" * 90): say(failure("{THERE}/" + name))
say(failure("@lab-nobody"))
say(failure("{THERE}/good", packets=True))
s = socket.socket(socket.AF_UNIX)
for name in ("none", "good"):
    try:
        s.connect("{THERE}/" + name)
        s.sendall(b"who")
        say(json.loads(s.recv(999))["name"])
        s.connect("{THERE}/good")
    except OSError as e:
        say(errno.errorcode[e.errno])
"""
        answers, detail = client(lab, code)
        direct = lab.direct([*PYTHON, "-c", CLIENT + code])
        expect("as in the target", answers, [json.loads(line) for line in direct.out.splitlines()], detail + str(direct))
        expect("errors", answers, ["ENOENT", "ECONNREFUSED", "ECONNREFUSED", "ENOTDIR", "ELOOP", "EPROTOTYPE", "ENOENT", "ECONNREFUSED", "EPROTOTYPE",
                                   "ENOENT", f"{THERE}/good", "EISCONN"], detail)


@test("unix.rights", needs=("setpriv",))
def rights(lab):
    """The target's process decides what is allowed: one that may open everything, and one that may not."""
    with served(lab, f"stream:{THERE}/private"):
        ask = f"""
try: say(json.loads(ask("{THERE}/private"))["name"])
except OSError as e: say(errno.errorcode[e.errno])
"""
        answers, detail = client(lab, ask)
        expect("by a target with all rights", answers, [f"{THERE}/private"], detail)
        weak = lab.cluster.pod.start(["setpriv", "--bounding-set=-all", "--inh-caps=-all", *PYTHON, "-c", "import time; print(1, flush=True); time.sleep(60)"],
                                     stdout=subprocess.PIPE)
        try:
            weak.stdout.readline()
            answers, detail = client(lab, ask, target=f"pid/{weak.pid}")
            expect("by a target without", answers, ["EACCES"], detail)
        finally:
            weak.kill()
            weak.wait()


@test("unix.bytes")
def carries(lab):
    """Bytes, half-closes and closes: all that was sent before a close arrives, in both directions."""
    with served(lab, f"stream:{THERE}/s", f"stream:{THERE}/greets"):
        answers, detail = client(lab, f"""
def read_all(s):
    n = 0
    while data := s.recv(65536): n += len(data)
    return n
say(read_all(connect("{THERE}/greets")))  # who writes to a server that has closed gets EPIPE: this one may have
s = connect("{THERE}/s")
s.sendall(b"count")
for _ in range(100): s.sendall(b"x" * 50000)
s.shutdown(socket.SHUT_WR)
say(s.recv(99).decode())
slow = connect("{THERE}/greets")
time.sleep(0.5)
n = 0
while data := slow.recv(1000): n += len(data)
say(n)
s = connect("{THERE}/s")
s.sendall(b"die")
say(s.recv(9).decode())
try:
    for _ in range(1000): s.sendall(b"x" * 10); time.sleep(0.01)
except OSError as e: say(errno.errorcode[e.errno])
while (end := failure("{THERE}/s")) == "connected": time.sleep(0.01)  # the server is at its end, its listener not yet
say(end)
""")
        expect("seen", answers, [120000, "5000000", 120000, "", "EPIPE", "ECONNREFUSED"], detail)


@test("unix.seqpacket")
def seqpacket(lab):
    """Records keep their boundaries, the empty one, too; large ones are whole."""
    names = [f"{THERE}/p", "@lab-packets"]
    with served(lab, *(f"packets:{n}" for n in names)):
        answers, detail = client(lab, f"""
for name in {names!r}:
    s = connect(name, packets=True)
    for record in (b"records", b"a", b"", b"x" * 150000, b"end"): s.send(record)
    say([len(s.recv(300000)) for _ in range(5)])
    say(s.recv(9).decode())
""")
        expect("lengths", answers, [[7, 1, 0, 150000, 3], ""] * 2, detail)


@test("unix.nonblocking")
def nonblocking(lab):
    """A connect to a Unix socket is never in progress; a full queue is EAGAIN, and is waited for by who would wait."""
    names = [f"{THERE}/s", "@lab-s"]
    with served(lab, *(f"stream:{n}" for n in names)):
        answers, detail = client(lab, f"""
for name in {names!r}:
    say(json.loads(ask(name, blocking=False))["name"])
    import asyncio
    async def exchange():
        r, w = await asyncio.open_unix_connection({THERE + "/s"!r})
        w.write(b"who")
        return json.loads(await r.read())["name"]
    say(asyncio.run(exchange()))
say(failure("@lab-nobody", blocking=False))
""")
        expect("seen", answers, [names[0], names[0], names[1], names[0], "ECONNREFUSED"], detail)


@test("unix.full_queue")
def full_queue(lab):
    with served(lab):
        pod = lab.cluster.pod
        server = subprocess.Popen([*PYTHON, "-c", SERVER, f"stream:{THERE}/full"], preexec_fn=pod.enter_as_root, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            expect("the target's server", server.stdout.readline(), "ready\n")
            p = lab.start_mirrord([*PYTHON, "-c", CLIENT + f"""
first = connect("{THERE}/full")
say(failure("{THERE}/full", blocking=False))
say(json.loads(ask("{THERE}/full"))["name"])
"""], options=["-f", CONFIG])
            expect("with a full queue", p.stdout.readline(), '"EAGAIN"\n', lab.log())
            server.stdin.write("\n")
            server.stdin.close()
            expect("when there is room", json.loads(p.stdout.readline() or "null"), f"{THERE}/full", lab.log())
            expect("status", p.wait(PROMPT), 0)
        finally:
            server.kill()
            server.wait()


@test("unix.killed_while_it_waits")
def killed(lab):
    """A program that dies in its connect call leaves nothing behind, in the target neither."""
    with served(lab):
        pod = lab.cluster.pod
        server = subprocess.Popen([*PYTHON, "-c", SERVER, f"stream:{THERE}/full"], preexec_fn=pod.enter_as_root, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            server.stdout.readline()
            p = lab.start_mirrord([*PYTHON, "-c", CLIENT + f'first = connect("{THERE}/full"); say(1); connect("{THERE}/full")'], options=["-f", CONFIG])
            expect("one is connected", p.stdout.readline(), "1\n", lab.log())
            time.sleep(0.5)  # by then it waits; should it not, this asks less and passes
            p.send_signal(signal.SIGKILL)
            expect("its end", p.wait(PROMPT), -signal.SIGKILL)
            lab.wait_for("no session is left", lambda: not lab.processes("mirrord-session") and not lab.processes("mirrord-agent"))
        finally:
            server.kill()
            server.wait()


@test("unix.beside_all_else")
def beside(lab):
    """The other connect calls are as ever: TCP to the target's network, UDP, an unnamed address; and listening with all of it."""
    with served(lab, f"stream:{THERE}/s", incoming="mirror"):
        answers, detail = client(lab, f"""
s = socket.create_connection(("{plan.HOSTS['outside'][0]}", {plan.PEER}), 5)
say(json.loads(s.makefile().readline())["peer"]["ip"])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(("{plan.HOSTS['outside'][0]}", {plan.UDP_PEER}))
u.send(b"x")
u.settimeout(5)
say(json.loads(u.recv(4096))["peer"]["ip"])
l = socket.create_server(("127.0.0.1", 0))
say(socket.create_connection(l.getsockname()).getpeername() == l.getsockname())
say(json.loads(ask("{THERE}/s"))["name"])
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
try: d.connect("{THERE}/s")
except OSError as e: say(errno.errorcode[e.errno])
peer = connect("{THERE}/s").getpeername()
say(type(peer).__name__)
""")
        pod = plan.HOSTS["pod"][0]
        expect("seen", answers, [pod, pod, True, f"{THERE}/s", "ENOENT", "bytes"], detail)


@test("unix.peer_name")
def peer_name(lab):
    """Who asks for the peer of an abstract connection gets the name that was asked for."""
    with served(lab, "stream:@lab-named"):
        answers, detail = client(lab, 'say(connect("@lab-named").getpeername().decode())')
        expect("the peer", answers, ["\0lab-named"], detail)


@test("unix.incoming_off")
def incoming_off(lab):
    """Where nothing of the program's listening is wanted, connect alone is looked at."""
    with served(lab, f"stream:{THERE}/s", incoming="off"):
        answers, detail = client(lab, f"""
l = socket.create_server(("127.0.0.1", 0))
say(json.loads(ask("{THERE}/s"))["name"])
""")
        expect("seen", answers, [f"{THERE}/s"], detail)


@test("unix.many")
def many(lab):
    """Many at once, by many threads; and no descriptor is left when they are over."""
    with served(lab, f"stream:{THERE}/s"):
        answers, detail = client(lab, f"""
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(16) as pool:
    say(len([a for a in pool.map(lambda _: ask("{THERE}/s"), range(400)) if json.loads(a)["name"]]))
""")
        expect("answers", answers, [400], detail)


@test("unix.redis", needs=("redis-server", "redis-cli"))
def redis(lab):
    """A real server, by a path and with its own client."""
    with served(lab):
        pod = lab.cluster.pod
        server = pod.start([find("redis-server"), "--port", "0", "--unixsocket", f"{THERE}/redis.sock", "--unixsocketperm", "777", "--save", "", "--dir", THERE],
                           stdout=subprocess.DEVNULL)
        try:
            lab.wait_for("redis listens", lambda: f"{THERE}/redis.sock" in pod.run(["cat", "/proc/net/unix"]))
            for argv, answer in ((["SET", "key", "value"], "OK\n"), (["GET", "key"], "value\n")):
                done = lab.mirrord(["redis-cli", "-s", f"{THERE}/redis.sock", *argv], options=["-f", CONFIG])
                expect(" ".join(argv), done.out, answer, str(done) + lab.log())
        finally:
            server.kill()
            server.wait()
