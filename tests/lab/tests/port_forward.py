# SPDX-License-Identifier: MIT
"""mirrord port-forward: both directions, both protocols, both families; what real programs see, and what mistakes are told."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time

from labkit import plan
from labkit.lab import MIRRORD, PYTHON
from labkit.registry import PATIENCE, PROMPT, Failure, expect, expect_in, test

POD4, POD6 = plan.HOSTS["pod"]
PAYMENT4, PAYMENT6 = plan.HOSTS["payment"]
DNS4 = plan.HOSTS["dns"][0]

# Connections one after the other and at once, as JSON says: [host, port, what to send, close for sending?]
CLIENT = """
import json, socket, struct, sys, threading
def one(i, host, port, data, half):
    try:
        s = socket.create_connection((host, port), 60)
        s.settimeout(60)
        s.sendall(data.encode() * (1 if len(data) < 100 else 1000))
        try:
            if half: s.shutdown(socket.SHUT_WR)
        except OSError: pass  # reset already; recv() says so
        got = b""
        while True:
            part = s.recv(1 << 16)
            got += part
            if not part or (not half and got.endswith(b"\\n")): break
        answers[i] = got.decode()
    except OSError as e:
        answers[i] = type(e).__name__
wanted = json.loads(sys.argv[1])
answers = [None] * len(wanted)
threads = [threading.Thread(target=one, args=(i, *w)) for i, w in enumerate(wanted)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(answers))
"""

UDP_CLIENT = """
import json, socket, sys
answers = []
for host, port, data in json.loads(sys.argv[1]):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(float(sys.argv[2]))
    s.connect((host, port))
    for _ in range(2):
        s.send(data.encode())
        try: answers.append(s.recv(70000).decode())
        except OSError as e: answers.append(type(e).__name__)
print(json.dumps(answers))
"""

SERVER = """
import json, socket, sys, threading
host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
s = socket.create_server((host, port), family=family)
u = socket.socket(family, socket.SOCK_DGRAM)
u.bind((host, port))
def udp():
    while True:
        data, peer = u.recvfrom(70000)
        u.sendto(name.encode() + b" " + data, peer)
def serve(c):
    try:
        data = b""
        while part := c.recv(1 << 16): data += part
        c.sendall(f"{name} {len(data)}\\n".encode())
    except OSError: pass
    c.close()
threading.Thread(target=udp, daemon=True).start()
print("ready", flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""


class Forward:
    """`mirrord port-forward` while the block runs. @at: where each -L listens, in their order."""

    def __init__(self, lab, *words, target=None, options=(), before=()):
        self.lab, self.wanted = lab, sum(w in ("-L", "-R") for w in words)
        self.remotes = words.count("-R")
        self.p = lab.start([*before, MIRRORD, "port-forward", "-t", target or lab.target, *options, *words], env=lab.quiet_environment())
        self.told = []

    def line(self, seconds=60):
        if not select.select([self.p.stderr], [], [], seconds * PATIENCE)[0]:
            raise Failure("a line on stderr", f"none in {seconds} s; so far {self.told}")
        line = os.read(self.p.stderr.fileno(), 65536).decode()
        if not line:
            raise Failure("a line on stderr", f"its end; so far {self.told}")
        self.told += line.splitlines()

    def wait_told(self, part, times=1):
        while sum(part in t for t in self.told) < times:
            self.line()

    def __enter__(self):
        self.wait_told(" leads to ", self.wanted)
        self.wait_told(" from the target", self.remotes)
        self.at = [(m[1].strip("[]"), int(m[2])) for t in self.told if (m := re.match(r"mirrord: (\S+):(\d+)(?: \(UDP\))? leads to ", t))]
        return self

    def __exit__(self, *_):
        self.p.send_signal(signal.SIGINT)
        try:
            self.status = self.p.wait(PROMPT)
        finally:
            if self.p.poll() is None:
                os.killpg(self.p.pid, signal.SIGKILL)
        rest = self.p.stderr.read()
        self.told += rest.splitlines()
        for pipe in (self.p.stdout, self.p.stderr):
            pipe.close()
        expect("status after Ctrl-C", self.status, 0, "\n".join(self.told))


def ask(lab, code, wanted, where=None, patience=60):
    done = lab.run([*PYTHON, "-c", code, json.dumps(wanted), str(patience)], where)
    expect("the client's status", done.status, 0, str(done))
    return json.loads(done.out)


def server_on_host(lab, host, port, name):
    p = lab.start([*PYTHON, "-c", SERVER, host, str(port), name])
    expect("the server", p.stdout.readline(), "ready\n")
    return p


def end(*processes):
    for p in processes:
        p.kill()
        p.communicate()


@test("port_forward.tcp")
def tcp(lab):
    """By name, with search list and without, by address; each family on each side; the target's localhost; half-closed; 60 at once."""
    places = ["127.0.0.1:0:payment:8084", "[::1]:0:payment.shop.svc.cluster.test.:8084", f"0:[{PAYMENT6}]:8084", f"*:0:{PAYMENT4}:8084",
              f"0:only6:{plan.SUM}", f"0:localhost:{plan.POD_LOOPBACK}", f"0:localhost:{plan.POD_LOOPBACK6}", "0:db.data:8080", f"0:eyeballs.cluster.test:{plan.SUM}"]
    with Forward(lab, *(w for p in places for w in ("-L", p))) as f:
        sums, peers = f.at[:5] + f.at[8:], f.at[5:8]
        data = "0123456789" * 20
        wanted = [[host.replace("::", "::1") if host == "::" else host, port, data, True] for host, port in sums] * 10
        wanted += [["127.0.0.1" if host != "::1" else host, port, "x", False] for host, port in peers]
        wanted.append(["127.0.0.1", sums[3][1], data, True])  # "*" is IPv4's as well
        answers = ask(lab, CLIENT, wanted)
    for w, a in zip(wanted, answers):
        if w[3]:
            expect(f"bytes that arrived by {w[:2]}", json.loads(a), lambda x: x["bytes"] == 200000, str(a))
    labels = [json.loads(a)["server"] for a in answers[len(sums) * 10:-1]]
    expect("who answered", labels, ["loopback", "loopback6", "stranger"])
    seen = json.loads(answers[len(sums) * 10 + 2])
    expect("the client that the service saw", seen["peer"]["ip"], POD4)


@test("port_forward.tcp_failures")
def tcp_failures(lab):
    """A connection that can't go on is reset, and why is said; resets and a server's half-close pass."""
    with Forward(lab, "-L", "0:payment:81", "-L", "0:no-such-name.cluster.test.:80", "-L", "0:no-such-name:80", "-L", f"0:payment:{plan.RESET_AFTER_DATA}", "-L",
                 f"0:payment:{plan.HALF_CLOSE}") as f:
        answers = ask(lab, CLIENT, [["127.0.0.1", at[1], "x", True] for at in f.at])
        expect("answers", answers, ["ConnectionResetError"] * 4 + ["that is all from me\n"], "\n".join(f.told))
        f.wait_told("payment:81 from the target: Connection refused")
        f.wait_told("no-such-name.cluster.test.:80 from the target: the target knows no such name")
        f.wait_told("no-such-name:80 from the target: the target's name servers give no answer to it")


@test("port_forward.udp", needs=("dig",))
def udp(lab):
    places = [f"0:payment:{plan.UDP_ECHO}/udp", f"[::1]:0:[{PAYMENT6}]:{plan.UDP_ECHO}/udp", f"*:0:only6:{plan.UDP_ECHO}/udp",
              f"0:{DNS4}:53/udp", f"0:{DNS4}:53", f"0:localhost:{plan.POD_LOOPBACK6}/udp", "0:payment:9/udp",
              f"0.0.0.0:0:payment:{plan.UDP_ECHO}/udp"]
    with Forward(lab, *(w for p in places for w in ("-L", p))) as f:
        wanted = [["127.0.0.1", f.at[0][1], "one"], ["127.0.0.1", f.at[0][1], "two" * 10000], ["::1", f.at[1][1], "three"],
                  ["127.0.0.1", f.at[2][1], "four"], ["::1", f.at[2][1], "five"], ["127.0.0.2", f.at[2][1], "answered from there"],
                  ["127.0.0.3", f.at[7][1], "from there, too"]]
        answers = ask(lab, UDP_CLIENT, wanted)
        expect("echoes", answers, [w[2] for w in wanted for _ in range(2)])
        for at, way in ((f.at[3], "+notcp"), (f.at[4], "+tcp")):
            done = lab.run(["dig", "+short", "+tries=1", "+time=20", way, "-p", str(at[1]), "@127.0.0.1", "payment.shop.svc.cluster.test"])
            expect(f"dig {way}", done.out.split(), [PAYMENT4], str(done))
        answers = ask(lab, UDP_CLIENT, [["127.0.0.1", f.at[5][1], "x"]])
        expect("the target's ::1, after 127.0.0.1 refused", [json.loads(a)["server"] for a in answers], ["loopback6"] * 2, str(answers))
        ask(lab, UDP_CLIENT, [["127.0.0.1", f.at[6][1], "x"]], patience=0.2)
        f.wait_told("payment:9 (UDP) from the target: Connection refused")


@test("port_forward.remote")
def remote(lab):
    """Ports of the target's lead to servers here; TCP and UDP, both families on each side, from elsewhere and from the target itself."""
    servers = [server_on_host(lab, "127.0.0.1", 3001, "four"), server_on_host(lab, "::1", 3002, "six")]
    rules = ["7801:3001", "7802:localhost:3002", "7801:127.0.0.1:3001/udp", "7802:localhost:3002/udp", "7803:localhost:3003"]
    try:
        with Forward(lab, *(w for r in rules for w in ("-R", r))) as f:
            data = "0123456789" * 20
            for where in (lab.cluster.services.enter_as_root, lab.cluster.pod.enter_as_root):
                wanted = [[ip, port, data, True] for ip in (POD4, POD6) for port in (7801, 7802)] * 10
                answers = ask(lab, CLIENT, wanted, where)
                expect("answers", answers, ["four 200000\n", "six 200000\n"] * 20, "\n".join(f.told))
            where = lab.cluster.services.enter_as_root
            wanted = [[ip, port, "x"] for ip in (POD4, POD6) for port in (7801, 7802)]
            expect("datagrams", ask(lab, UDP_CLIENT, wanted, where), ["four x", "four x", "six x", "six x"] * 2, "\n".join(f.told))
            expect("nobody listens there", ask(lab, CLIENT, [[POD4, 7803, "x", True]], where),
                   lambda a: a[0] in ("ConnectionResetError", "ConnectionRefusedError", ""))
            expect("the target's localhost", ask(lab, CLIENT, [["127.0.0.1", 7801, data, True], ["::1", 7801, data, True]], lab.cluster.pod.enter_as_root),
                   ["four 200000\n"] * 2)
    finally:
        end(*servers)


@test("port_forward.slow_name")
def slow_name(lab):
    """-L doesn't wait for a name of -R's that nobody answers; nor does Ctrl-C."""
    with open("/etc/resolv.conf") as f:
        before = f.read()
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    p = None
    try:
        silent.bind(("127.0.0.9", 53))
        with open("/etc/resolv.conf", "w") as f:
            f.write("nameserver 127.0.0.9\noptions timeout:30 attempts:5\n")
        p = lab.start([MIRRORD, "port-forward", "-t", lab.target, "-L", "18181:payment:8084", "-R", "7801:nobody-says.example.:3001"], env=lab.quiet_environment())
        deadline = time.monotonic() + 60 * PATIENCE
        while (answers := ask(lab, CLIENT, [["127.0.0.1", 18181, "x", True]]))[0] == "ConnectionRefusedError":
            expect("a listener in time", time.monotonic() < deadline, True)
        expect_in("what arrived", answers[0], '"bytes": 1')
        p.send_signal(signal.SIGINT)
        expect("status after Ctrl-C", p.wait(PROMPT), 0)
    finally:
        with open("/etc/resolv.conf", "w") as f:
            f.write(before)
        silent.close()
        if p:
            end(p)


@test("port_forward.no_ipv6", needs=("deny",))
def no_ipv6(lab):
    """Where the kernel has no IPv6, "*" is IPv4's; with and without /udp."""
    with Forward(lab, "-L", "*:0:payment:8084", "-L", f"*:0:payment:{plan.UDP_ECHO}/udp", before=["/tmp/lab/bin/deny", "socket:0=10=97", "--"]) as f:
        expect("where it listens", [at[0] for at in f.at], ["0.0.0.0"] * 2)
        expect("bytes", [json.loads(a)["bytes"] for a in ask(lab, CLIENT, [["127.0.0.1", f.at[0][1], "x", True]])], [1])
        expect("echo", ask(lab, UDP_CLIENT, [["127.0.0.1", f.at[1][1], "x"]]), ["x"] * 2)


@test("port_forward.remote_refused")
def remote_refused(lab):
    """A port that somebody else steals is not to be had: it says who has it, and ends."""
    server = server_on_host(lab, "127.0.0.1", 3001, "four")
    try:
        with Forward(lab, "-R", "7801:3001"):
            done = lab.run([MIRRORD, "port-forward", "-t", lab.target, "-R", "7801:3001"], env=lab.quiet_environment())
            expect("status", done.status, 1, str(done))
            expect_in("message", done.err, "port-forward", str(done))
            expect_in("message", done.err, "-R: port 7801 of the target is not to be had", str(done))
    finally:
        end(server)


@test("port_forward.filter", needs=("curl",))
def http_filter(lab):
    """The configuration's filter holds for -R: other requests stay with the target's program."""
    config = "/tmp/lab/home/forward.json"
    with open(config, "w") as f:
        json.dump({"feature": {"network": {"incoming": {"mode": "steal", "http_filter": {"path_filter": "^/mine"}}}}}, f)
    code = "import http.server,sys\nclass H(http.server.BaseHTTPRequestHandler):\n def do_GET(self):\n  b=sys.argv[2].encode();self.send_response(200)\n" \
           "  self.send_header('Content-Length',str(len(b)));self.end_headers();self.wfile.write(b)\n def log_message(self,*_):pass\n" \
           "s=http.server.HTTPServer(('0.0.0.0',int(sys.argv[1])),H);print('ready',flush=True);s.serve_forever()"
    here = lab.start([*PYTHON, "-c", code, "3004", "here"])
    there = lab.cluster.pod.start([*PYTHON, "-c", code, "7804", "there"], stdout=subprocess.PIPE, text=True)
    try:
        for p in (here, there):
            expect("a server", p.stdout.readline(), "ready\n")
        with Forward(lab, "-R", "7804:3004", options=("-f", config)) as f:
            for path, who in (("/mine/1", "here"), ("/other", "there"), ("/mine/2", "here")):
                done = lab.run(["curl", "-sS", "-m", "60", f"http://{POD4}:7804{path}"], lab.cluster.services.enter_as_root)
                expect(path, done.out, who, f"{done}\n{f.told}")
    finally:
        end(here, there)
        os.unlink(config)


@test("port_forward.agent_killed")
def agent_killed(lab):
    """Its connections are reset, the listeners stay, and another agent comes: what connected meanwhile is served by that one."""
    server = server_on_host(lab, "127.0.0.1", 3001, "four")
    try:
        with Forward(lab, "-L", f"0:payment:{plan.SUM}", "-R", "7801:3001") as f:
            for round in range(2):
                for pid in lab.processes("mirrord-agent"):
                    os.kill(pid, signal.SIGKILL)
                f.wait_told("lost the agent", round + 1)
                answers = ask(lab, CLIENT, [["127.0.0.1", f.at[0][1], "x", True]] * 3)
                expect("bytes", [json.loads(a)["bytes"] for a in answers], [1] * 3, "\n".join(f.told))
                f.wait_told("the agent is there again", round + 1)
                f.wait_told("port 7801 is stolen from the target", round + 2)
                expect("-R", ask(lab, CLIENT, [[POD4, 7801, "x", True]], lab.cluster.services.enter_as_root), ["four 1\n"], "\n".join(f.told))
    finally:
        end(server)


@test("port_forward.mistakes")
def mistakes(lab):
    """Each is told with what would be right."""
    def refused(words, *parts, status=2, target=("-t", lab.target)):
        done = lab.run([MIRRORD, "port-forward", *target, *words], env=lab.quiet_environment())
        expect(f"status of {words}", done.status, status, str(done))
        for part in parts:
            expect_in(f"message of {words}", done.err, part, str(done))
    refused([], "nothing to forward")
    for bad in ("8080", "8080:", "a:b:c", "1:2:3:4:5", "70000:payment:80", "8080:payment:0", "8080:fd00::1:80", "8080:pay_ment..x:80", "8080:payment:80/sctp",
                "[::1:8080:payment:80", "nowhere:8080:payment:80"):
        refused(["-L", bad], f"-L {bad} can't be understood", "8080:payment-service:80")
    for bad in ("0", "0:80", "80:0", "1:2:3:4", "http:80"):
        refused(["-R", bad], f"-R {bad} can't be understood", "80:localhost:8080")
    refused(["-L", "8080:a:1", "-L", "8080:b:2"], "port 8080 is there twice")
    refused(["-R", "80:1", "-R", "80:2"], "port 80 is there twice")
    refused(["-L", "8080:a:1", "true"], "it takes no program")
    refused(["-L", "8080:a:1"], "the target (-t TARGET) is missing", target=())
    refused(["-R", "80:no-such-host.invalid:1"], "find no-such-host.invalid", status=1)
    server = server_on_host(lab, "127.0.0.1", 3001, "four")
    try:
        refused(["-L", "3001:payment:80"], "listen on 127.0.0.1:3001", "18080:payment:80", status=1)
    finally:
        end(server)
