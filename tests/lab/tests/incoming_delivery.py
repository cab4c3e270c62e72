# SPDX-License-Identifier: MIT
"""Handing over: what is slow, stopped or gone in the program troubles no other connection; datagrams of all kinds; and what becomes of calls
when one of us is gone."""

import os
import shutil
import signal
import subprocess
import time

from labkit import plan
from labkit.incoming import FIRST, LAST, Program, Real, Waiting, client, taken
from labkit.lab import PYTHON
from labkit.registry import PROMPT, Failure, Skip, expect, expect_in, test

PORT = FIRST


@test("incoming.stopped_program")
def stopped_program(lab):
    """SIGSTOP: its connections wait; those of another program in the twin go on; after SIGCONT what was sent meanwhile is there."""
    with Real(lab), Program(lab) as program:
        program.do(f"c = child('from listens import serve, bound; s = bound(\"0.0.0.0\", {PORT}); s.listen(64); serve(s); print(\"up\", flush=True)')",
                   "c.stdout.readline()", f"s = listen('0.0.0.0', {PORT + 1})", "os.kill(c.pid, 19)")
        for _ in range(20):
            client(lab, PORT)
        for _ in range(3):
            taken(lab, program, PORT + 1, True)
        program.do("os.kill(c.pid, 18)", "c.stdin.close()", "c.wait()")


@test("incoming.stopped_program_steals")
def stopped_steals(lab):
    """A client of a stopped program waits for it, as it would for the real one; nobody else does."""
    with Real(lab), Program(lab, "--steal") as program:
        program.do(f"c = child('from listens import serve, bound; s = bound(\"0.0.0.0\", {PORT}); s.listen(64); serve(s); print(\"up\", flush=True)')",
                   "c.stdout.readline()", f"s = listen('0.0.0.0', {PORT + 1})", "os.kill(c.pid, 19)")
        waiting = [Waiting(lab, PORT) for _ in range(5)]
        for _ in range(3):
            taken(lab, program, PORT + 1)
        expect("clients that wait", [w.waits() for w in waiting], [True] * 5)
        program.do("os.kill(c.pid, 18)")
        for w in waiting:
            expect("the answer after all", w.result().get("answer"), "here:" + w.data, lab.log())
        program.do("c.stdin.close()", "c.wait()")


@test("incoming.closed_while_stolen")
def closed_while_stolen(lab):
    """The very moment in which the program closes its listener, the target's own program answers: no client fails."""
    with Real(lab), Program(lab, "--steal") as program:
        for _ in range(5):
            program.do(f"s = listen('0.0.0.0', {PORT})")
            taken(lab, program, PORT)
            program.do("shut(s)")
            for _ in range(5):
                answer, data = client(lab, PORT)
                expect("the answer", answer.get("answer"), "real:" + data, lab.log())


@test("incoming.full_backlog")
def full_backlog(lab):
    """A listener that nobody accepts from fills up, and is the only one to suffer."""
    with Real(lab), Program(lab) as program:
        program.do(f"full = bound('0.0.0.0', {PORT})", "full.listen(1)", f"s = listen('0.0.0.0', {PORT + 1})")
        for _ in range(10):
            client(lab, PORT)
        for _ in range(3):
            taken(lab, program, PORT + 1, True)


@test("incoming.udp_sizes")
def udp_sizes(lab):
    with Real(lab), Program(lab) as program:
        program.do(f"u = udp('0.0.0.0', {PORT})")
        for size in (1, 1400, 1473, 8000, 60000):
            _, data = client(lab, PORT, kind="SOCK_DGRAM", data="x" * size)
            lab.wait_for(f"a datagram of {size}", lambda size=size: any(e.get("bytes") == size for e in program.value("seen")))


@test("incoming.udp_two_clients")
def udp_two_clients(lab):
    """Of one port, at different addresses: told apart by their addresses, also where the program hears only localhost."""
    with Real(lab), Program(lab) as program:
        program.do(f"u = udp('0.0.0.0', {PORT})", f"v = udp('127.0.0.1', {PORT + 1})")
        for node, ip in (("services", "10.0.20.5"), ("services", "10.0.20.6")):
            saw = taken(lab, program, PORT, True, kind="SOCK_DGRAM", node=node, source=[ip, 33333])
            expect("the client", saw["peer"], [ip, 33333])
        peers = set()
        for ip in ("10.0.20.5", "10.0.20.6"):
            _, data = client(lab, PORT + 1, kind="SOCK_DGRAM", source=[ip, 33333])
            saw = program.saw(data, PROMPT)
            if not saw:
                raise Failure("the datagram of a second client", "nothing", lab.log())
            peers.add(tuple(saw["peer"]))
        expect("two clients on localhost", (len(peers), {ip for ip, _ in peers}), (2, {"127.0.0.1"}), lab.log())


@test("incoming.udp_to_localhost")
def udp_to_localhost(lab):
    with Real(lab), Program(lab) as program:
        program.do(f"u = udp('127.0.0.1', {PORT})", f"v = udp('::1', {PORT})")
        saw = taken(lab, program, PORT, True, kind="SOCK_DGRAM", node="pod", ip="127.0.0.1")
        expect("who came", saw["peer"][0], "127.0.0.1")
        saw = taken(lab, program, PORT, True, kind="SOCK_DGRAM", node="pod", ip="::1")
        expect("who came", saw["peer"][0], "::1")


@test("incoming.udp_own_questions_go_out")
def udp_own_questions(lab):
    """What the program itself sends from a port on which it is a server leaves from the target, and is answered, once; whether the target has a
    program of its own there, or not."""
    with Real(lab), Program(lab) as program:
        for port in (PORT, LAST + 6):
            program.do(f"u = bound('0.0.0.0', {port}, socket.SOCK_DGRAM)", "u.settimeout(20)", f"u.sendto(b'question', ('10.0.20.5', {plan.UDP_ECHO}))")
            expect("the answer", program.value("u.recvfrom(99)[0].decode()"), "question", lab.log())
            _, data = client(lab, port, kind="SOCK_DGRAM", source=["10.0.20.5", 33334], patience=1)
            program.do("got = u.recvfrom(99)")
            expect("a client's datagram", program.value("[got[0].decode(), list(got[1])]"), [data, ["10.0.20.5", 33334]], lab.log())
            expect("nothing comes twice", program.tell("u.settimeout(0.3); u.recvfrom(99)").get("error"), "TimeoutError", lab.log())


@test("incoming.udp_answers_of_another_session")
def udp_of_another(lab):
    """What one session's program is answered, at a port that another session mirrors, is the first one's alone."""
    echo = ("10.0.20.5", plan.UDP_ECHO)
    with Real(lab), Program(lab) as ann, Program(lab, "--no-publish") as bob:
        port = LAST + 5  # the target has no program there
        ann.do(f"u = udp('0.0.0.0', {port})")
        bob.do(f"c = bound('0.0.0.0', {port}, socket.SOCK_DGRAM)", "c.settimeout(20)", f"c.connect({echo})")
        lab.wait_for("a datagram of a client's reaches the first", lambda: ann.saw(client(lab, port, kind="SOCK_DGRAM", patience=1)[1], 1))
        for i in range(5):
            bob.do(f"c.send(b'answer-{i}')")
            expect("the second's answer", bob.value("c.recv(99).decode()"), f"answer-{i}", lab.log())
        last = client(lab, port, kind="SOCK_DGRAM", patience=1)
        seen = [e.get("data") for e in ann.value("seen")]
        expect("what the first saw of it", [d for d in seen if d.startswith("answer-")], [], str(last) + lab.log())


@test("incoming.unreadable_program", modes=("user",))
def unreadable_program(lab):
    """A program whose file its user can't read may not be looked into: its calls pass, and the listener is found all the same."""
    if not lab.sandbox.real_root:
        raise Skip("only root can make a file that the user may run and not read")
    path = "/tmp/lab/home/python-unreadable"
    shutil.copy(os.path.realpath(PYTHON[0]), path)
    os.chmod(path, 0o711)
    try:
        code = f"import socket, sys\ns = socket.create_server(('0.0.0.0', {PORT}))\nprint('ready', flush=True)\nc, a = s.accept()\nprint(a[0], c.recv(99).decode())"
        p = lab.start_mirrord([path, *PYTHON[1:], "-c", code], env=lab.environment(PYTHONHOME="/usr"))
        line = p.stdout.readline()
        if line != "ready\n":
            raise Failure("ready", line + p.communicate()[1], lab.log())
        with Real(lab):
            lab.wait_for("the port is mirrored", lambda: f"port {PORT} is mirrored" in lab.log())
            _, data = client(lab, PORT)
            out, err = p.communicate(timeout=PROMPT)
        expect("what it saw", (out, err), (f"10.0.20.5 {data}\n", ""), lab.log())
    finally:
        os.unlink(path)


def kill(lab, name):
    for pid in lab.processes(name):
        os.kill(pid, signal.SIGKILL)


@test("incoming.calls_without_us")
def calls_without_us(lab):
    """Whoever of us is killed: a program that survives SIGTERM still can bind and listen, at once."""
    code = (f"import signal, socket, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ns = socket.create_server(('0.0.0.0', {PORT}))\n"
            "print('ready', flush=True)\nsys.stdin.readline()\ntime.sleep(0.5)\n"
            f"began = time.monotonic()\nt = socket.create_server(('0.0.0.0', {PORT + 1}))\nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"u.bind(('0.0.0.0', {PORT}))\nc = socket.create_connection(('127.0.0.1', {PORT + 1}), 20)\nprint('fine', time.monotonic() - began < 10, flush=True)")
    for name in ("mirrord-agent", "mirrord-session", "mirrord-keeper"):
        p = lab.start_mirrord([*PYTHON, "-c", code], stdin=subprocess.PIPE)
        expect("the program", p.stdout.readline(), "ready\n", lab.log())
        kill(lab, name)
        time.sleep(0.2)
        out, err = p.communicate("\n", timeout=PROMPT)
        expect(f"its calls without {name}", out, "fine True\n", err + lab.log())
        expect_in("stderr", err, "mirrord: ")
        lab.wait_clean()


@test("incoming.many_listeners_at_once")
def many_listeners(lab):
    """Sixteen processes that listen and close all the time: no call fails or hangs, and nothing is left subscribed."""
    code = ("import os, socket, sys\nfor child in range(16):\n if os.fork() == 0:\n  for i in range(60):\n"
            "   s = socket.socket(); s.bind(('0.0.0.0', 22000 + child)); s.listen(5)\n"
            "   u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 22000 + child))\n   s.close(); u.close()\n  os._exit(0)\n"
            "print([os.wait()[1] for _ in range(16)])")
    done = lab.mirrord([*PYTHON, "-c", code])
    expect("how they ended", (done.out, done.err), (f"{[0] * 16}\n", ""), lab.log())
