# SPDX-License-Identifier: MIT
"""mirrord dump: what it shows of the target's traffic, against what both ends had, and against tshark."""

import base64
import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess

from labkit import plan
from labkit.lab import MIRRORD, PYTHON
from labkit.registry import PROMPT, expect, expect_in, test

POD4, POD6 = plan.HOSTS["pod"]
PAYMENT4, PAYMENT6 = plan.HOSTS["payment"]
PCAP = "/tmp/lab/home/dump.pcap"
BAD_POD, BAD_CLIENT = ("10.0.27.7", "fd00:27::7"), ("10.0.27.5", "fd00:27::5")


class Dump:
    """`mirrord dump` while the block runs; afterwards @out, @err and @status."""

    def __init__(self, lab, *words, target=None):
        self.lab, self.out = lab, ""
        self.p = lab.start([MIRRORD, "dump", "-t", target or lab.target, *words], env=lab.quiet_environment())

    def __enter__(self):
        self.first = self.p.stderr.readline()
        expect_in("what is captured", self.first, "mirrord: traffic of port", self.first)
        return self

    def __exit__(self, *_):
        self.p.send_signal(signal.SIGINT)
        try:
            rest, self.err = self.p.communicate(timeout=PROMPT)
            self.out += rest
        except subprocess.TimeoutExpired:
            os.killpg(self.p.pid, signal.SIGKILL)
            raise
        self.status = self.p.returncode

    def wait_for(self, text, times=1):
        """Until it has printed that so often; what comes at once is seen by the kernel's capture a moment later, and an end may come later still."""
        fd = self.p.stdout.fileno()
        while self.out.count(text) < times and select.select([fd], [], [], PROMPT)[0]:
            data = os.read(fd, 65536)
            if not data:
                break
            self.out += data.decode()
        expect(f"{text} in the output", self.out.count(text), lambda n: n >= times, self.out)

    def events(self):
        return [json.loads(line) for line in self.out.splitlines()]


def bytes_of(event):
    return event["text"].encode() if "text" in event else base64.b64decode(event["base64"])


def streams(events):
    """{client: (all bytes of the client's, all of the target's)}"""
    found = {}
    for e in events:
        if e["event"] in ("data", "datagram"):
            both = found.setdefault(e["client"], [b"", b""])
            both[e["from"] == "target"] += bytes_of(e)
    return found


def curl(lab, url, where="services"):
    done = lab.run(["curl", "-sS", "-m", "20", url], getattr(lab.cluster, where).enter_as_root)
    expect("curl's status", done.status, 0, str(done))
    return done.out


HTTP = """
import http.server, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ("answer to " + self.path).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", int(sys.argv[1])), Handler).serve_forever()
"""


@contextlib.contextmanager
def pod_server(lab, code, port):
    p = lab.cluster.pod.start([*PYTHON, "-c", code, str(port)])
    try:
        lab.wait_for(f"a server on port {port}", lambda: f":{port} " in lab.cluster.pod.run(["ss", "-Hltun"]))
        yield p
    finally:
        p.kill()
        p.wait()


@test("dump.json", needs=("curl",))
def dump_json(lab):
    """A request by the network, one by the pod's loopback: each once, with both sides' bytes."""
    for url, where, client in ((f"http://{POD4}:7070/four", "services", PAYMENT4), (f"http://[{POD6}]:7070/six", "services", PAYMENT6),
                               ("http://127.0.0.1:7070/lo", "pod", "127.0.0.1"), ("http://[::1]:7070/lo6", "pod", "::1"),
                               (f"http://{POD4}:7070/own", "pod", POD4)):
        path = url[url.rindex("/"):]
        with pod_server(lab, HTTP, 7070), Dump(lab, "--json", "-p", "7070/tcp") as d:
            expect("answer", curl(lab, url, where), f"answer to {path}")
            d.wait_for('"closed"')
        events = d.events()
        expect("status", d.status, 0, d.err)
        expect("events", [e["event"] for e in events if e["event"] != "data"], lambda e: e[0] == "open" and e[-1] == "closed" and sorted(e[1:-1]) == ["end", "end"],
               d.out)
        found = streams(events)
        expect("connections", len(found), 1, d.out)
        (who, (request, reply)), = found.items()
        expect("client", who.rpartition(":")[0].strip("[]"), lambda ip: ip == client or (client, ip) == (PAYMENT6, plan.HOSTS["stranger"][1]))
        expect("request", request.decode().splitlines()[0], f"GET {path} HTTP/1.1")
        expect("answer", reply.decode(), lambda text: text.startswith("HTTP/1.1 200") and text.endswith(f"answer to {path}"))
        expect_in("counts", d.err, "1 connections")
        expect_in("counts", d.err, "; 0 packets lost")


@test("dump.text_and_hex", needs=("curl",))
def dump_text(lab):
    with pod_server(lab, HTTP, 7070), Dump(lab, "-p", "7070") as text, Dump(lab, "-p", "7070", "--hex") as hexed:
        curl(lab, f"http://{POD4}:7070/shown")
        text.wait_for("answer to /shown")
        hexed.wait_for("|GET /shown HTTP/|")
    expect_in("text", text.out, f"> {POD4}:7070 opened\n")
    expect_in("text", text.out, "  GET /shown HTTP/1.1\n")
    expect_in("text", text.out, "  answer to /shown\n")
    expect_in("hex", hexed.out, "  00000000  47 45 54 20 2f 73 68 6f  77 6e 20 48 54 54 50 2f  |GET /shown HTTP/|\n")


ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(70000); s.sendto(b"echo of " + data[:100], peer)
"""

SEND = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)
for n in (5, 4000, 30000):  # the latter two in fragments
    s.sendto(b"x" * n, (sys.argv[1], int(sys.argv[2]))); s.recv(200)
"""


@test("dump.datagrams")
def dump_datagrams(lab):
    for ip in (POD4, POD6):
        with pod_server(lab, ECHO, 7071), Dump(lab, "--json", "-p", "7071/udp") as d:
            done = lab.run([*PYTHON, "-c", SEND, ip, "7071"], lab.cluster.services.enter_as_root)
            expect("status", done.status, 0, str(done))
            d.wait_for('"datagram"', 6)
        expect("datagrams", [(e["event"], e["from"], e["length"]) for e in d.events()],
               [("datagram", who, n) for size in (5, 4000, 30000) for who, n in (("client", size), ("target", 8 + min(size, 100)))], d.out)


@test("dump.default_ports", needs=("curl",))
def dump_default(lab):
    """Without -p: what the target listens on. Its own requests elsewhere are no traffic of its."""
    with pod_server(lab, HTTP, 7070), Dump(lab, "--json") as d:
        for port in ("7070", str(plan.POD_ANY), f"{plan.POD_ANY}/udp", "53/udp"):
            expect_in("ports", d.first, f"port {port}")
        curl(lab, f"http://{POD4}:7070/in")
        curl(lab, f"http://{PAYMENT4}/out", "pod")
        d.wait_for('"closed"')
    expect("connections", list(streams(d.events()).values()), lambda s: len(s) == 1 and s[0][0].startswith(b"GET /in"), d.out)


@test("dump.bad_input")
def dump_bad(lab):
    for words, status, text in ((("-p", "0"), 2, "0 is no port"), (("-p", "65536"), 2, "65536 is no port"), (("-p", "http"), 2, "http is no port"),
                                (("-p", "80/sctp"), 2, "80/sctp is no port"), (("--", "ls"), 2, "it takes no program"),
                                (("--hx",), 2, "did you mean --hex"), (("--pcap", "/no/such/file"), 1, "write /no/such/file")):
        done = lab.run([MIRRORD, "dump", "-t", lab.target, *words], env=lab.quiet_environment())
        expect("status of " + " ".join(words), done.status, status, str(done))
        expect_in("stderr", done.err, text)
    done = lab.run([MIRRORD, "dump", "-p", "80"], env=lab.quiet_environment())
    expect("without a target", (done.status, "the target (-t TARGET) is missing" in done.err), (2, True), str(done))
    done = lab.run([MIRRORD, "dump", "-t", "pid/999999"], env=lab.quiet_environment())
    expect("a target that isn't there", done.status, 1, str(done))


@test("dump.reader_leaves")
def dump_reader_leaves(lab):
    """`mirrord dump | head`: it ends with its reader. The agent ends with it, also when it is killed."""
    read, write = os.pipe()
    p = lab.start([MIRRORD, "dump", "-t", lab.target, "-p", str(plan.POD_ANY)], env=lab.quiet_environment(), stdout=write)
    os.close(write)
    expect_in("ready", p.stderr.readline(), "traffic of port")
    os.close(read)
    lab.run(["nc", "-z", POD4, str(plan.POD_ANY)], lab.cluster.services.enter_as_root)
    p.communicate(timeout=PROMPT)
    p = lab.start([MIRRORD, "dump", "-t", lab.target, "-p", str(plan.POD_ANY)], env=lab.quiet_environment())
    expect_in("ready", p.stderr.readline(), "traffic of port")
    p.kill()
    p.communicate(timeout=PROMPT)
    lab.wait_clean()


# A server and a client that send each other @N bytes at once, in pieces of any size, and say what they got.
EXCHANGE = """
import hashlib, json, random, socket, sys, threading
role, ip, port, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
family = socket.AF_INET6 if ":" in ip else socket.AF_INET
got, lock = {}, threading.Lock()
def talk(s, seed):
    chance = random.Random(seed)
    def send():
        data = chance.randbytes(size)
        while data:
            n = chance.choice((1, 100, 1448, 5000, 60000, 400000)); s.sendall(data[:n]); data = data[n:]
        s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send); t.start()
    h, n, end = hashlib.sha256(), 0, s.getpeername() if role == "server" else s.getsockname()
    while data := s.recv(65536):
        h.update(data); n += len(data)
    t.join()
    with lock: got[end[1]] = (n, h.hexdigest())
    s.close()
if role == "server":
    l = socket.socket(family); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind((ip, port)); l.listen(64); print("ready", flush=True)
    socks = [l.accept()[0] for _ in range(count)]
else:
    socks = [socket.create_connection((ip, port), 30) for _ in range(count)]
    for s in socks: s.settimeout(120)
threads = [threading.Thread(target=talk, args=(s, 1000 * (role == "server") + i)) for i, s in enumerate(socks)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps(got))
"""


@contextlib.contextmanager
def bad_link(lab, seed, broken):
    """An interface more for the pod, at the end of a cable that loses, doubles, swaps and breaks. It appears while others look already."""
    c = lab.cluster
    links = [("pod", "bad0", "cable", "bada", BAD_POD), ("services", "bad1", "cable", "badb", BAD_CLIENT)]
    p = None
    try:
        for node, name, other, end, addresses in links:
            n = getattr(c, node)
            n.ip(f"link add {name} type veth peer name {end} netns {c.nodes[other].pid}", f"addr add {addresses[0]}/24 dev {name}",
                 f"addr add {addresses[1]}/64 dev {name} nodad", f"link set {name} up")
            c.nodes[other].ip(f"link set {end} up")
        p = c.cable.start([*PYTHON, "/tmp/lab/tests/labkit/bad_link.py", "bada", "badb", str(seed), str(broken)], stdout=subprocess.PIPE, text=True)
        expect("cable", p.stdout.readline(), "ready\n")
        yield
        for node in (c.pod, c.services):  # the last acknowledgements may have been lost, too
            lab.wait_for("connections over the cable to end", lambda n=node: not [line for line in n.run(
                ["ss", "-Htan", "state", "connected", "exclude", "time-wait"]).splitlines() if "0.27." in line or "00:27:" in line], 60)
    finally:
        if p:
            p.kill()
            p.wait()
            p.stdout.close()
        for node, name, *_ in links:
            getattr(c, node).run(["ip", "link", "del", name], check=False)


def tshark(lab, *words):
    done = lab.run(["tshark", "-r", PCAP, *words])
    expect("tshark's status", done.status, 0, str(done)[-3000:])
    return done.out


def followed(lab, number):
    """What tshark puts together of its stream @number: the client's port, both sides' bytes."""
    lines = tshark(lab, "-q", "-z", f"follow,tcp,raw,{number}").splitlines()
    ends = [line.split(": ")[1] for line in lines if line.startswith("Node ")]
    both = [b"", b""]
    for line in lines[lines.index(next(x for x in lines if x.startswith("Node 1"))) + 1:]:
        if line.strip() and not line.startswith("="):
            both[line.startswith("\t")] += bytes.fromhex(line.strip())
    if ends[0].endswith(":7072"):
        ends.reverse()
        both.reverse()
    return int(ends[0].rpartition(":")[2]), both


def exchange(lab, ip, count, size, link):
    """Several connections at once over the link while two dumps look."""
    server = None
    with Dump(lab, "--pcap", PCAP, "-p", "7072/tcp") as packets, Dump(lab, "--json", "-p", "7072/tcp") as shown, link:
        server = lab.cluster.pod.start([*PYTHON, "-c", EXCHANGE, "server", ip, "7072", str(count), str(size)], stdout=subprocess.PIPE, text=True)
        expect("server", server.stdout.readline(), "ready\n")
        client = lab.run([*PYTHON, "-c", EXCHANGE, "client", ip, "7072", str(count), str(size)], lab.cluster.services.enter_as_root, timeout=240)
        expect("client's status", client.status, 0, str(client))
        out, _ = server.communicate(timeout=4 * PROMPT)
    expect("status", (packets.status, shown.status), (0, 0), packets.err + shown.err)
    return shown, json.loads(client.out), json.loads(out), packets


def compare(shown, packets, by_client, by_server):
    """What was shown is what the ends had. Returns {port: both sides' bytes}."""
    events = shown.events()
    expect("nothing lost by the capture", "; 0 packets lost" in shown.err and "; 0 packets lost" in packets.err, True, shown.err)
    expect("nothing missing", [e for e in events if e["event"] == "missing"], [], shown.err)
    expect("all connections came to an end", len([e for e in events if e["event"] == "closed"]), len(by_server), shown.err)
    found = {who.rpartition(":")[2]: both for who, both in streams(events).items()}
    expect("connections", sorted(found), sorted(by_server))
    for port, (sent, answered) in found.items():
        expect(f"bytes of the client's, port {port}", [len(sent), hashlib.sha256(sent).hexdigest()], by_server[port])
        expect(f"bytes of the target's, port {port}", [len(answered), hashlib.sha256(answered).hexdigest()], by_client[port])
    return found


@test("dump.bad_link", needs=("tshark",), timeout=600)
def dump_bad_link(lab):
    """Loss, copies and disorder: both sides' bytes are what the ends had, and what tshark makes of the same packets."""
    for ip, seed in zip(BAD_POD, (1, 2)):
        shown, by_client, by_server, packets = exchange(lab, ip, 4, 200000, bad_link(lab, seed, 0))
        found = compare(shown, packets, by_client, by_server)
        for number in range(4):
            port, both = followed(lab, number)
            expect(f"tshark's stream {number}", [hashlib.sha256(b).hexdigest() for b in both], [hashlib.sha256(b).hexdigest() for b in found[str(port)]])
        for what in ("retransmission", "out_of_order", "lost_segment"):
            expect(f"the cable did that ({what})", len(tshark(lab, "-Y", f"tcp.analysis.{what}").splitlines()), lambda n: n > 0)
        os.unlink(PCAP)


BIG = """
import socket, struct, sys
name, family, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def attribute(kind, data): return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(name), 0, 0)
for kind in {4: (63, 64), 6: (41, 58)}[family]:  # IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE, IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE
    body += attribute(kind, struct.pack("=I", size))
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(struct.pack("=IHHII", 16 + len(body), 16, 1 | 4, 1, 0) + body)
sys.exit(-struct.unpack_from("=i", s.recv(4096), 16)[0])
"""


@contextlib.contextmanager
def big_link(lab, family):
    """A cable between the services and the pod with packets of up to 192 KiB, as Cilium makes them ("BIG TCP"), if this kernel has such."""
    c = lab.cluster
    ends = (c.pod, "big0", BAD_POD), (c.services, "big1", BAD_CLIENT)
    c.pod.ip(f"link add big0 type veth peer name big1 netns {c.services.pid}")
    try:
        for node, name, addresses in ends:
            node.ip(f"addr add {addresses[0]}/24 dev {name}", f"addr add {addresses[1]}/64 dev {name} nodad", f"link set {name} up")
            for ip in (6, 4):
                lab.run([*PYTHON, "-c", BIG, name, str(ip), str(196608 if ip == family else 65536)], node.enter_as_root)
        yield
    finally:
        c.pod.run(["ip", "link", "del", "big0"], check=False)


@test("dump.big_packets", needs=("tshark",), timeout=600)
def dump_big(lab):
    """Packets longer than the IP header can say: nothing of them is missing."""
    release = tuple(int(n) for n in os.uname().release.split(".")[:2])
    for ip, family, since in zip(BAD_POD, (4, 6), ((6, 3), (5, 19))):
        shown, by_client, by_server, packets = exchange(lab, ip, 2, 1 << 20, big_link(lab, family))
        compare(shown, packets, by_client, by_server)
        if release >= since:
            expect(f"IPv{family} packets over 64 KiB", len(tshark(lab, "-Y", "frame.len > 65600").splitlines()), lambda n: n > 0)
        os.unlink(PCAP)


@test("dump.broken_checksums", timeout=600)
def dump_broken(lab):
    """Frames with a wrong bit: the receiver drops them, and nobody sees a byte of them. (tshark takes what comes first.)"""
    for ip, seed in zip(BAD_POD, (3, 4)):
        shown, by_client, by_server, packets = exchange(lab, ip, 3, 100000, bad_link(lab, seed, 0.05))
        compare(shown, packets, by_client, by_server)
        os.unlink(PCAP)
