# SPDX-License-Identifier: MIT
"""Mirroring: nginx as the target, nginx as the local program, and what each logged. Every request that the target had, the program had
once; and whatever becomes of the program, the target's clients don't notice."""

import collections
import contextlib
import os
import shutil
import signal
import subprocess
import time

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, Failure, expect, expect_in, test
from labkit.service import HOME, Services, find
from tests.dump import BAD_CLIENT, BAD_POD, bad_link

POD4, POD6 = plan.HOSTS["pod"]
PORT = 7080
LOCAL = "/tmp/lab/home/nginx"

NGINX = """
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{
  log_format one '$remote_addr $request_method $uri $request_length';
  access_log {home}/access.log one;
  client_body_temp_path {home}/body; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  keepalive_requests 1000000; client_max_body_size 100m;
  server {{
    listen {port}; listen [::]:{port};
    location / {{ return 200 "{name}\\n"; }}
    location /upload {{ proxy_pass http://127.0.0.1:{port}/taken; }}
  }}
}}
"""


def configure(home, name, port=PORT):
    os.makedirs(home, exist_ok=True)
    with open(f"{home}/nginx.conf", "w") as f:
        f.write(NGINX.format(home=home, name=name, port=port))
    os.chmod(home, 0o777)
    return [find("nginx"), "-e", f"{home}/error.log", "-p", home, "-c", f"{home}/nginx.conf"]


def logged(home):
    try:
        with open(f"{home}/access.log") as f:
            return collections.Counter(line.rstrip("\n") for line in f if " /probe" not in line)
    except FileNotFoundError:
        return collections.Counter()


def curl(lab, words, node="services"):
    return lab.run(["curl", "-sS", "-m", "200", *words], getattr(lab.cluster, node).enter_as_root, timeout=240)


def probe(lab, homes, seconds=PROMPT):
    """Asks until each program in @homes has logged it: then all of it works."""
    def had():
        curl(lab, [f"http://{POD4}:{PORT}/probe"])
        for home in homes:
            with contextlib.suppress(FileNotFoundError), open(f"{home}/access.log") as f:
                if "/probe" in f.read():
                    continue
            return False
        return True
    lab.wait_for("a first copy", had, seconds)
    give_turns(lab)


def give_turns(lab):
    """What copies may run when nobody else wants the CPU, and loses copies where somebody always does. Here they are counted; so it has its turns."""
    for pid in lab.processes("mirrord-mirror"):
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


@contextlib.contextmanager
def target(lab):
    with Services(lab, "pod") as services:
        services.start(configure(f"{HOME}/target", "the target's"), PORT, POD4)
        yield f"{HOME}/target"


@contextlib.contextmanager
def program(lab, home=LOCAL, options=()):
    """nginx under mirrord, mirroring, until the end of the block."""
    shutil.rmtree(home, ignore_errors=True)
    argv = configure(home, "the copy's")
    if lab.sandbox.real_root and lab.mode == "user":
        os.chown(home, lab.sandbox.uid, lab.sandbox.gid)
    p = lab.start_mirrord(argv, options=options)
    try:
        yield p
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGCONT)
            os.killpg(p.pid, signal.SIGTERM)
        try:
            p.communicate(timeout=PROMPT)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate(timeout=PROMPT)
        shutil.rmtree(home, ignore_errors=True)


def expect_copied(lab, home, copies, seconds=PROMPT):
    """Each request of the target's log is in the copy's, as often."""
    try:
        lab.wait_for("all copies", lambda: all(logged(c) == logged(home) for c in copies), seconds)
    except Failure:
        want = logged(home)
        for c in copies:
            have = logged(c)
            raise Failure(f"{sum(want.values())} copies", f"{sum(have.values())}; missing {list((want - have).items())[:5]}, too many "
                          f"{list((have - want).items())[:5]}", lab.log()) from None


@test("mirror.nginx", needs=("nginx", "curl"), timeout=600)
def nginx(lab):
    """Keep-alive connections, many at once, by both families and by the pod's own loopback; bodies; each request once, from its client."""
    with target(lab) as home, program(lab):
        probe(lab, [LOCAL])
        body = f"{HOME}/body"
        with open(body, "wb") as f:
            f.write(os.urandom(3 << 20))
        os.chmod(body, 0o644)
        for node, words in (("services", ["-Z", "--parallel-max", "40", f"http://{POD4}:{PORT}/four[1-600]"]),
                            ("services", ["-Z", "--parallel-max", "40", f"http://[{POD6}]:{PORT}/six[1-600]"]),
                            ("services", [f"http://{POD4}:{PORT}/kept[1-300]"]),
                            ("pod", ["-Z", "--parallel-max", "10", f"http://127.0.0.1:{PORT}/lo[1-100]"]),
                            ("pod", [f"http://[::1]:{PORT}/lo6[1-50]"]),
                            ("pod", [f"http://{POD4}:{PORT}/own[1-50]"]),
                            ("services", ["-H", "Expect:", "--limit-rate", "20M", "--data-binary", "@" + body, f"http://{POD4}:{PORT}/body[1-5]"])):
            done = curl(lab, words, node)
            expect("curl's status", done.status, 0, str(done)[-2000:])
            expect("answers of the target's alone", set(done.out.splitlines()), {"the target's"})
        lab.wait_for("all requests in the target's log", lambda: sum(logged(home).values()) == 600 + 600 + 300 + 100 + 50 + 50 + 5)
        expect_copied(lab, home, [LOCAL])
        expect("clients", {line.split()[0] for line in logged(LOCAL)}, lambda seen: {plan.HOSTS["payment"][0], "127.0.0.1", "::1", POD4} <= seen)


@test("mirror.connections", needs=("nginx", "h2load"), timeout=600)
def connections(lab):
    """A thousand connections at a time, and as many one after the other."""
    with target(lab) as home, program(lab):
        probe(lab, [LOCAL])
        done = lab.run(["h2load", "--h1", "-n", "3000", "-c", "1000", f"http://{POD4}:{PORT}/many"], lab.cluster.services.enter_as_root)
        expect_in("h2load", done.out, "3000 succeeded", str(done))
        for _ in range(10):
            done = lab.run(["h2load", "--h1", "-n", "100", "-c", "100", f"http://{POD4}:{PORT}/again"], lab.cluster.services.enter_as_root)
            expect_in("h2load", done.out, "100 succeeded", str(done))
        expect_copied(lab, home, [LOCAL])


@test("mirror.program_in_trouble", needs=("nginx", "curl"), timeout=600)
def trouble(lab):
    """The program is stopped, goes on, is killed; the mirroring process is killed; the session is killed: the target answers all along."""
    def ask(what, n=200):
        began = time.monotonic()
        done = curl(lab, ["-Z", "--parallel-max", "20", f"http://{POD4}:{PORT}/{what}[1-{n}]"])
        expect(f"{what}: curl's status", done.status, 0, str(done)[-2000:])
        expect(f"{what}: answers", len(done.out.splitlines()), n)
        expect(f"{what}: seconds", time.monotonic() - began, lambda s: s < 180)

    with target(lab), program(lab) as p:
        probe(lab, [LOCAL])
        os.killpg(p.pid, signal.SIGSTOP)
        ask("stopped", 1000)
        os.killpg(p.pid, signal.SIGCONT)
        ask("on")
        for pid in lab.processes("mirrord-mirror"):
            os.kill(pid, signal.SIGKILL)
        ask("unmirrored")
        with open(f"{LOCAL}/access.log", "w"):
            pass
        probe(lab, [LOCAL])
        os.killpg(p.pid, signal.SIGKILL)
        ask("killed")
    lab.wait_clean()


@test("mirror.bad_link", needs=("nginx", "curl"), timeout=600)
def lossy(lab):
    """Clients behind a cable that loses, doubles, swaps and breaks; the interface is younger than the session."""
    with target(lab) as home, program(lab):
        probe(lab, [LOCAL])
        body = f"{HOME}/body"
        with open(body, "wb") as f:
            f.write(os.urandom(100000))
        os.chmod(body, 0o644)
        with bad_link(lab, 5, 0.02):
            for ip, via, own, length in zip((POD4, POD6), BAD_POD, BAD_CLIENT, (32, 128)):
                lab.cluster.services.ip(f"route add {ip}/{length} via {via} dev bad1 src {own}")
                host = f"[{ip}]" if ":" in ip else ip
                done = curl(lab, ["-Z", "--parallel-max", "5", f"http://{host}:{PORT}/bad[1-60]"])
                expect("curl's status", done.status, 0, str(done)[-2000:])
                done = curl(lab, ["-H", "Expect:", "--data-binary", "@" + body, f"http://{host}:{PORT}/bad-body[1-5]"])
                expect("curl's status", done.status, 0, str(done)[-2000:])
            expect_copied(lab, home, [LOCAL])
        expect("clients", {line.split()[0] for line in logged(LOCAL)}, set(BAD_CLIENT))


KEPT = """
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=30)
n = 0
for line in sys.stdin:
    for _ in range(int(line)):
        n += 1; c.request("GET", f"/kept{n}"); c.getresponse().read()
    print(n, flush=True)
"""


@test("mirror.connection_from_before", needs=("nginx",))
def before(lab):
    """A keep-alive connection that is older than the session is taken up at its next request."""
    with target(lab):
        c = lab.start([*PYTHON, "-c", KEPT, POD4, str(PORT)], lab.cluster.services.enter_as_root, stdin=subprocess.PIPE)
        c.stdin.write("3\n")
        c.stdin.flush()
        expect("requests", c.stdout.readline(), "3\n")
        with program(lab):
            probe(lab, [LOCAL])
            c.stdin.write("4\n")
            c.stdin.flush()
            expect("requests", c.stdout.readline(), "7\n")
            lab.wait_for("the copies of the new ones", lambda: sorted(line.split()[2] for line in logged(LOCAL)) == ["/kept4", "/kept5", "/kept6", "/kept7"])
        c.stdin.close()
        c.wait(PROMPT)


@test("mirror.two_sessions", needs=("nginx", "curl"))
def two(lab):
    """Both have every request; when one ends the other goes on."""
    other = LOCAL + "2"
    with target(lab) as home, program(lab):
        with program(lab, other):
            probe(lab, [LOCAL, other])
            for c in (LOCAL, other, home):
                with open(f"{c}/access.log", "w"):
                    pass
            curl(lab, ["-Z", "--parallel-max", "20", f"http://{POD4}:{PORT}/two[1-300]"])
            expect_copied(lab, home, [LOCAL, other])
        curl(lab, ["-Z", "--parallel-max", "20", f"http://{POD4}:{PORT}/one[1-300]"])
        expect_copied(lab, home, [LOCAL])


@test("mirror.and_steal", needs=("nginx", "curl"))
def and_steal(lab):
    """One session steals the port, another one mirrors it: each request is answered by the first's program and copied to the second's."""
    other = LOCAL + "2"
    with target(lab) as home, program(lab):
        probe(lab, [LOCAL])
        with program(lab, other, options=("--steal",)):
            probe(lab, [LOCAL, other])
            for c in (LOCAL, other, home):
                with open(f"{c}/access.log", "w"):
                    pass
            done = curl(lab, ["-Z", "--parallel-max", "20", f"http://{POD4}:{PORT}/stolen[1-200]"])
            expect("answers of the program's alone", set(done.out.splitlines()), {"the copy's"}, lab.log())
            expect_copied(lab, other, [LOCAL])
            expect("the target's log", sum(logged(home).values()), 0)
        for c in (LOCAL, home):
            with open(f"{c}/access.log", "w"):
                pass
        curl(lab, ["-Z", "--parallel-max", "20", f"http://{POD4}:{PORT}/own[1-200]"])
        expect_copied(lab, home, [LOCAL])


UDP_SERVER = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", int(sys.argv[1])))
out = open(sys.argv[2], "a") if len(sys.argv) > 2 else None
while True:
    data, peer = s.recvfrom(70000)
    if out: print(peer[0].replace("::ffff:", ""), len(data), data[:20].decode(), file=out, flush=True)
    s.sendto(b"copy" if out else b"target", peer)
"""

UDP_CLIENT = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60)
for i in range(int(sys.argv[3])):
    text = f"{sys.argv[4]}{i}."; s.sendto((text * (1 + i * 100)).encode(), (sys.argv[1], int(sys.argv[2])))
    assert s.recv(100) == b"target"
"""


@test("mirror.datagrams")
def datagrams(lab):
    """Datagrams, also in fragments; the client hears the target alone."""
    log = "/tmp/lab/home/datagrams"
    open(log, "w").close()
    if lab.sandbox.real_root and lab.mode == "user":
        os.chown(log, lab.sandbox.uid, lab.sandbox.gid)
    server = lab.cluster.pod.start([*PYTHON, "-c", UDP_SERVER, str(PORT)])
    lab.wait_for("a server", lambda: f":{PORT} " in lab.cluster.pod.run(["ss", "-Hlun"]))

    def lines():
        with open(log) as f:
            return [line.split() for line in f]

    def send(ip, n, word):
        done = lab.run([*PYTHON, "-c", UDP_CLIENT, ip, str(PORT), str(n), word], lab.cluster.services.enter_as_root)
        expect("client's status", done.status, 0, str(done))

    def had():
        send(POD4, 1, "probe")
        return lines()

    p = lab.start_mirrord([*PYTHON, "-c", UDP_SERVER, str(PORT), log])
    try:
        lab.wait_for("a first copy", had)
        give_turns(lab)
        for ip, word in ((POD4, "four"), (POD6, "six")):
            send(ip, 20, word)
            lab.wait_for("all copies", lambda w=word: [line[1] for line in lines() if line[2].startswith(w)] ==
                         [str(len(f"{w}{i}." * (1 + i * 100))) for i in range(20)])
        expect("the client's address", {line[0] for line in lines() if line[2].startswith("four")}, {plan.HOSTS["payment"][0]})
    finally:
        server.kill()
        server.wait()
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate(timeout=PROMPT)
