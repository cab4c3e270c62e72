# SPDX-License-Identifier: MIT
"""Mirroring with an HTTP filter: the local program has those of the target's requests that match, once each, and no others."""

import collections
import json
import os
import signal

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, Failure, expect, expect_in, test
from labkit.service import Services
from tests.mirror import LOCAL, PORT, curl, give_turns, logged, probe, program, target

POD4, POD6 = plan.HOSTS["pod"]
CONFIG = "/tmp/lab/home/mirror-filter.json"


def config(filter, path=CONFIG, **agent):
    with open(path, "w") as f:
        json.dump({"agent": agent, "feature": {"network": {"publish": False, "incoming": {"mode": "mirror", "http_filter": filter}}}}, f)
    os.chmod(path, 0o644)
    return ("-f", path)


def seen(home):
    """The requests that are logged. nginx' length of a chunked body that it drops depends on how the bytes came; /taken is a request of its own."""
    return collections.Counter(line.rsplit(" ", 1)[0] if "-chunks" in line else line for line in logged(home).elements() if "/taken" not in line)


def wanted(home, is_wanted):
    """Of the target's log what the copy's should be."""
    return collections.Counter({line: n for line, n in seen(home).items() if is_wanted(line.split())})


def expect_picked(lab, home, is_wanted, copy=LOCAL, seconds=PROMPT):
    try:
        lab.wait_for("all copies", lambda: seen(copy) == wanted(home, is_wanted), seconds)
    except Failure:
        want, have = wanted(home, is_wanted), seen(copy)
        raise Failure(f"{sum(want.values())} copies", f"{sum(have.values())}; missing {list((want - have).items())[:5]}, too many "
                      f"{list((have - want).items())[:5]}", lab.log()) from None


def of_path(word):
    return lambda fields: fields[2].startswith(word)


@test("mirror_filter.nginx", needs=("nginx", "curl", "h2load"), timeout=600)
def nginx(lab):
    """Keep-alive connections on which every other request matches, many at once, by both families and by loopback; large bodies on both sides."""
    body = "/tmp/lab/home/picked-body"
    with target(lab) as home, program(lab, options=config({"path_filter": "^/(probe|wanted)"})):
        lab.wait_for("the process' priority", lambda: [os.sched_getscheduler(pid) for pid in lab.processes("mirrord-mirror")] == [os.SCHED_IDLE])
        probe(lab, [LOCAL])
        with open(body, "wb") as f:
            f.write(os.urandom(300000))
        os.chmod(body, 0o644)
        for node, words in (("services", [f"http://{POD4}:{PORT}/wanted{n}" if n % 2 else f"http://{POD4}:{PORT}/other{n}" for n in range(200)]),
                            ("services", ["-Z", "--parallel-max", "30", f"http://[{POD6}]:{PORT}/{{wanted,other}}-six[1-150]"]),
                            ("pod", ["-Z", "--parallel-max", "10", f"http://127.0.0.1:{PORT}/{{other,wanted}}-lo[1-50]"]),
                            ("services", ["-H", "Expect:", "--data-binary", "@" + body, f"http://{POD4}:{PORT}/{{other,wanted}}-body[1-4]"]),
                            ("services", ["-H", "Expect:", "-H", "Transfer-Encoding: chunked", "--data-binary", "@" + body, f"http://{POD4}:{PORT}/{{wanted,other}}-chunks[1-4]"])):
            done = curl(lab, words, node)
            expect("curl's status", done.status, 0, str(done)[-2000:])
            expect("answers of the target's alone", set(done.out.splitlines()), {"the target's"})
        done = lab.run(["h2load", "--h1", "-n", "2000", "-c", "50", f"http://{POD4}:{PORT}/wanted-many", f"http://{POD4}:{PORT}/other-many"],
                       lab.cluster.services.enter_as_root)
        expect_in("h2load", done.out, "2000 succeeded", str(done))
        lab.wait_for("all requests in the target's log", lambda: sum(logged(home).values()) == 200 + 300 + 100 + 8 + 8 + 2000)
        expect_picked(lab, home, of_path("/wanted"))
        os.unlink(body)


@test("mirror_filter.bodies", needs=("nginx", "curl"))
def bodies(lab):
    """A filter on bodies: whole ones, slow ones, such as are too large to be looked at."""
    filter = {"any_of": [{"path": "^/probe"}, {"body": "json", "query": "$.user", "matches": "^alice$"}]}
    large = {n: f"/tmp/lab/home/large-{n}.json" for n in (100000, 200000)}
    with target(lab) as home, program(lab, options=config(filter, max_body_buffer_size=120000)):
        probe(lab, [LOCAL])
        for n, path in large.items():
            with open(path, "w") as f:
                json.dump({"user": "alice", "more": "x" * n}, f)
            os.chmod(path, 0o644)
        json_of = lambda user: json.dumps({"user": user, "more": "y" * 3000})
        for words in (["-d", json_of("alice"), f"http://{POD4}:{PORT}/alice[1-20]"], ["-d", json_of("bob"), f"http://{POD4}:{PORT}/bob[1-20]"],
                      ["--limit-rate", "1000", "-d", json_of("alice"), f"http://{POD4}:{PORT}/alice-slow"],
                      ["-H", "Transfer-Encoding: chunked", "-d", json_of("alice"), f"http://{POD4}:{PORT}/alice-chunks"],
                      ["-H", "Expect: 100-continue", "-d", json_of("alice"), f"http://{POD4}:{PORT}/upload?alice"],
                      ["-H", "Expect:", "-d", "@" + large[100000], f"http://{POD4}:{PORT}/alice-large"],
                      ["-H", "Expect:", "-d", "@" + large[200000], f"http://{POD4}:{PORT}/too-large"], [f"http://{POD4}:{PORT}/none"]):
            done = curl(lab, words)
            expect("curl's status", done.status, 0, str(done)[-2000:])
        expect_picked(lab, home, lambda fields: fields[2].startswith(("/alice", "/upload")))
        for path in large.values():
            os.unlink(path)


# Agrees to a WebSocket and logs what it gets then; other requests are answered.
TALKER = """
import os, socket, sys, threading
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
def note(*words):  # a line at once: there are many threads
    os.write(log, (" ".join(words) + "\\n").encode())
def serve(c):
    f = c.makefile("rb")
    while True:
        head = []
        while (line := f.readline()).strip():
            head.append(line.decode("latin-1").strip())
        if not head:
            return
        note("request", head[0].split()[1])
        if any(h.lower() == "upgrade: websocket" for h in head) and "/refused" not in head[0]:
            c.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n")
            while frame := f.read(7):
                note("bytes", frame.hex()); c.sendall(frame)
            return
        c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""
SPEAKER = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
def ask(path, more=""):
    c.sendall(f"GET {path} HTTP/1.1\\r\\nHost: a\\r\\n{more}\\r\\n".encode())
    return c.recv(1000).split()[1]
UPGRADE = "Connection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
user = sys.argv[3]
assert ask("/first", f"X-User: {user}\\r\\n") == b"200"
assert ask("/refused", f"X-User: {user}\\r\\n" + UPGRADE) == b"200"
assert ask("/between") == b"200"
assert ask("/ws", f"X-User: {user}\\r\\n" + UPGRADE) == b"101"
for n in range(3):
    c.sendall(bytes([0x81, 0x81, 1, 2, 3, 4, n])); assert c.recv(100)[-1] == n
"""


@test("mirror_filter.websocket")
def websocket(lab):
    """An upgrade that matches is copied with all that follows it, one that was refused is no upgrade, and one that doesn't match is left out."""
    real, copy = "/tmp/lab/home/talker-real", "/tmp/lab/home/talker-copy"
    for path in (real, copy):
        with open(path, "w"):
            pass
        os.chmod(path, 0o666)

    def lines(path):
        with open(path) as f:
            return f.read().splitlines()

    def speak(user):
        done = lab.run([*PYTHON, "-c", SPEAKER, POD4, str(PORT), user], lab.cluster.services.enter_as_root)
        expect("client's status", done.status, 0, str(done))

    with Services(lab, "pod") as services:
        services.start([*PYTHON, "-c", TALKER, str(PORT), real], PORT, POD4)
        p = lab.start_mirrord([*PYTHON, "-c", TALKER, str(PORT), copy], options=config({"header_filter": "^x-user: alice$"}))
        try:
            lab.wait_for("mirrored", lambda: f"port {PORT} is mirrored from the target" in lab.log(1000))
            give_turns(lab)
            speak("alice")
            lab.wait_for("a copy", lambda: (len(lines(copy)), len(lines(real))) == (6, 7))
            for path in (real, copy):
                os.truncate(path, 0)
            speak("bob")
            speak("alice")
            frames = [f"bytes 8181010203040{n}" for n in range(3)]
            lab.wait_for("alice's", lambda: lines(copy) == ["request /first", "request /refused", "request /ws", *frames])
            expect("the target had both", len([line for line in lines(real) if line.startswith("request")]), 8)
        finally:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate(timeout=PROMPT)


@test("mirror_filter.two_sessions", needs=("nginx", "curl"), timeout=600)
def two(lab):
    """Each has its own; a request that both want, both get. The mirroring process is killed, and both go on."""
    other, second = LOCAL + "2", CONFIG + "2"
    urls = [f"http://{POD4}:{PORT}/{word}{n}" for n in range(40) for word in ("one", "two", "both", "none")]

    def clear(homes):
        for home in homes:
            with open(f"{home}/access.log", "w"):
                pass

    with target(lab) as home, program(lab, options=config({"path_filter": "^/(one|both|probe)"})), \
            program(lab, other, options=config({"path_filter": "^/(two|both|probe)"}, second)):
        for again in (False, True):
            if again:
                for pid in lab.processes("mirrord-mirror"):
                    os.kill(pid, signal.SIGKILL)
                clear([LOCAL, other])
            probe(lab, [LOCAL, other])
            clear([home, LOCAL, other])
            done = curl(lab, urls)
            expect("curl's status", done.status, 0, str(done)[-2000:])
            expect_picked(lab, home, lambda fields: fields[2].startswith(("/one", "/both")))
            expect_picked(lab, home, lambda fields: fields[2].startswith(("/two", "/both")), other)


@test("mirror_filter.ambiguous", needs=("nginx", "curl"))
def ambiguous(lab):
    """Nothing is picked on a connection behind a message on whose end two parsers could disagree."""
    raw = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 60)
c.sendall(b"GET /wanted HTTP/1.1\\r\\nHost: a\\r\\n\\r\\nPOST /wanted HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n")
while c.recv(1000): pass
"""
    with target(lab), program(lab, options=config({"path_filter": "^/(probe|wanted)"})):
        probe(lab, [LOCAL])
        lab.run([*PYTHON, "-c", raw, POD4, str(PORT)], lab.cluster.services.enter_as_root)
        curl(lab, [f"http://{POD4}:{PORT}/{{other,wanted-last}}"])
        lab.wait_for("the copies", lambda: [line.split()[1:3] for line in logged(LOCAL)] == [["GET", "/wanted"], ["GET", "/wanted-last"]])
