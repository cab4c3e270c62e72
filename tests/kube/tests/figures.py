# SPDX-License-Identifier: MIT
"""What a session costs beside `kubectl exec` on the same cluster in the same minute; printed, and held against the goals. Takes minutes, and a machine
that has nothing else to do: only with --long."""

import contextlib
import statistics
import subprocess
import time

from labkit import slow_link
from labkit.registry import expect, test

from kubekit.cluster import PROGRAM

from .agent import WAYS, await_sleep
from .connect import certificate
from .permissions import config
from .resume import find_agents
from .targets import objects

BULK = 192 << 20
ROUNDS = 7  # of one command in turn with its peers, whose rates differ by a half from one time to the next
# Sends so many bytes as it is asked for in a line.
SOURCE = """
import socketserver
piece = bytes(1 << 20)
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        left = int(self.rfile.readline())
        while left > 0:
            self.request.sendall(piece[:left])
            left -= len(piece)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("", 7010), Handler).serve_forever()
"""
# ADDRESS BYTES FLOWS: how many seconds all took.
DRAIN = """
import socket, sys, threading, time
room = 1 << 18
def drain():
    c = socket.create_connection((sys.argv[1], 7010), 60)
    c.sendall(sys.argv[2].encode() + b"\\n")
    buffer, n = bytearray(room), 0
    while got := c.recv_into(buffer): n += got
    assert n == int(sys.argv[2])
began = time.monotonic()
threads = [threading.Thread(target=drain) for _ in range(int(sys.argv[3]))]
[t.start() for t in threads]; [t.join() for t in threads]
print(time.monotonic() - began)
"""
PING = """
import socket, sys, time
c = socket.create_connection((sys.argv[1], 7007), 60)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
times = []
for _ in range(int(sys.argv[2])):
    began = time.monotonic()
    c.sendall(bytes(64))
    n = 0
    while n < 64: n += len(c.recv(64))
    times.append(time.monotonic() - began)
print(sorted(times)[len(times) // 2])
"""

# ADDRESS BYTES: what the source sends goes out.
COPY = """
import os, socket, sys
c = socket.create_connection((sys.argv[1], 7010), 60)
c.sendall(sys.argv[2].encode() + b"\\n")
buffer = memoryview(bytearray(1 << 18))
while got := c.recv_into(buffer):
    piece = buffer[:got]
    while piece: piece = piece[os.write(1, piece):]
"""
# ADDRESS: what comes in goes there, and what comes from there goes out.
RELAY = """
import os, socket, sys
c = socket.create_connection((sys.argv[1], 7007), 60)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while piece := os.read(0, 64):
    c.sendall(piece)
    os.write(1, c.recv(64))
"""


def show(what, value):
    print(f"# figure: {what}: {value}", flush=True)


def source():
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "source", "labels": {"app": "source"}}, "spec": {
        "terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "localhost/app:1", "command": ["python3", "-c", SOURCE],
                                                             "readinessProbe": {"tcpSocket": {"port": 7010}, "periodSeconds": 1}}]}}


def by_kubectl(kit, amount, kubeconfig=None, command=None):
    """Seconds for @amount bytes by `kubectl exec`, of a command that writes so many."""
    argv = [PROGRAM, "kubectl", "exec", "client", "--", *(command or ("head", "-c", str(amount), "/dev/zero"))]
    began = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, env=kit.cluster.environment(kubeconfig), check=True)
    return time.monotonic() - began


def by_copy(kit, amount):
    """The same work as ours: from the source, through a program in the pod."""
    return by_kubectl(kit, amount, command=("python3", "-c", COPY, kit.pod_address("source"), str(amount)))


def by_us(kit, amount, flows=1, kubeconfig=None):
    return in_pod(kit, "python3", "-c", DRAIN, kit.pod_address("source"), str(amount), str(flows), kubeconfig=kubeconfig)


def in_pod(kit, *command, kubeconfig=None):
    """The figure that a program prints in the pod's network."""
    done = kit.mirrord(list(command), "pod/client", timeout=300, env=quiet(kit, kubeconfig))
    expect("status", done.status, 0, f"{done}\n{kit.session_log()}")
    return float(done.out)


def quiet(kit, kubeconfig=None):
    return kit.environment(kubeconfig, MIRRORD_LOG="error")


def ping_kubectl(kit, n, *command):
    p = subprocess.Popen([PROGRAM, "kubectl", "exec", "-i", "client", "--", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                         env=kit.cluster.environment())
    times = []
    for _ in range(n):
        began = time.monotonic()
        p.stdin.write(bytes(64))
        got = 0
        while got < 64:
            got += len(p.stdout.read(64))
        times.append(time.monotonic() - began)
    p.stdin.close()
    p.wait()
    return statistics.median(times)


def ping_us(kit, n):
    return in_pod(kit, "python3", "-c", PING, kit.pod_address("echo"), str(n))


@test("figures.start", long=True, timeout=300)
def start(kit):
    """With the image on the node."""
    for way, options in WAYS.items():
        times = [kit.mirrord(["true"], "pod/client", options, env=quiet(kit)).seconds for _ in range(5)]
        show(f"start, {way}", f"{statistics.median(times):.2f} s")
        kit.wait_clean()
        expect(f"{way}: seconds", statistics.median(times), lambda s: s <= 1.5)


@test("figures.idle", long=True, timeout=300)
def idle(kit):
    p = kit.start_mirrord(["sleep", "1000"], "pod/client", env=quiet(kit))
    try:
        await_sleep(kit, p)
        agents = find_agents(kit)  # the one that mirrors is a process of its own
        rss = sum(resident(pid) for pid in agents)
        before = sum(used(pid) for pid in agents)
        time.sleep(20)
        milli = (sum(used(pid) for pid in agents) - before) / 20 * 1000
    finally:
        p.terminate()
        p.communicate()
    show("an idle agent", f"{rss:.1f} MiB, {milli:.2f} m of a CPU")
    expect("MiB", rss, lambda m: m <= 8)
    expect("thousandths of a CPU", milli, lambda m: m <= 1)


def resident(pid):
    """MiB."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Rss:")) / 1024


def used(pid):
    """Seconds of CPU."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9


@test("figures.near", long=True, timeout=600)
def near(kit):
    with objects(kit, source()):
        kit.wait_ready("pod/source")
        ratios, alike, pings = [], [], []
        for _ in range(ROUNDS):
            kubectl, copy, ours = by_kubectl(kit, BULK), by_copy(kit, BULK), by_us(kit, BULK)
            show("bulk", f"kubectl exec head {BULK / kubectl / 1e6:.0f} MB/s, kubectl exec of a program that copies from the same server "
                         f"{BULK / copy / 1e6:.0f} MB/s, a connection of ours {BULK / ours / 1e6:.0f} MB/s")
            ratios.append(kubectl / ours)
            alike.append(copy / ours)
            # To the same server, and no further than the pod.
            kubectl, cat, ours = ping_kubectl(kit, 1000, "python3", "-c", RELAY, kit.pod_address("echo")), ping_kubectl(kit, 1000, "cat"), ping_us(kit, 1000)
            show("round trip", f"kubectl exec to the same server {kubectl * 1e6:.0f} µs, kubectl exec cat {cat * 1e6:.0f} µs, ours {ours * 1e6:.0f} µs")
            pings.append(ours / kubectl)
        show("bulk, × kubectl exec", f"{statistics.median(ratios):.2f}")
        show("bulk, × kubectl exec from the same server", f"{statistics.median(alike):.2f}")
        show("round trip, × kubectl exec to the same server", f"{statistics.median(pings):.2f}")
        expect("bulk, × kubectl exec", statistics.median(ratios), lambda r: r >= 0.8)
        expect("round trip, × kubectl exec to the same server", statistics.median(pings), lambda r: r <= 1.2)


@contextlib.contextmanager
def cable(kit, rtt, loss):
    """Another way to the API server, with a delay; a kubeconfig that goes it. It ends with its links: the thread that passes frames has no more to do."""
    node, net = kit.cluster.nodes[0], f"172.31.{kit.cluster.number}"
    for command in (("link", "add", "name", "mrdfar0", "type", "veth", "peer", "name", "mrdfar1"),
                    ("link", "add", "name", "mrdfar2", "type", "veth", "peer", "name", "far0", "netns", str(node.init)),
                    ("address", "add", f"{net}.9/30", "dev", "mrdfar0"), *(("link", "set", f"mrdfar{i}", "up") for i in range(3))):
        subprocess.run(["ip", *command], check=True)
    node.run("ip", "address", "add", f"{net}.10/30", "dev", "far0")
    node.run("ip", "link", "set", "far0", "up")
    # Frames as long as a network's: of longer ones more would be lost.
    subprocess.run(["ip", "link", "set", "mrdfar0", "gso_max_segs", "1"], check=True)
    node.run("ip", "link", "set", "far0", "gso_max_segs", "1")
    slow_link.start("mrdfar1", "mrdfar2", rtt / 2000, loss / 100)
    try:
        yield config(kit, certificate(kit), name="far.conf", server=f"https://{net}.10:6443", **{"tls-server-name": "kubernetes"})
    finally:
        for i in (0, 2):
            subprocess.run(["ip", "link", "delete", f"mrdfar{i}"])


def far_row(kit, rtt, loss, amount):
    """How much of kubectl exec's rate one flow of ours has, and how much of that eight have."""
    with cable(kit, rtt, loss) as kubeconfig:
        seconds = [(by_kubectl(kit, amount, kubeconfig=kubeconfig), by_us(kit, amount, kubeconfig=kubeconfig),
                    by_us(kit, amount // 8, 8, kubeconfig)) for _ in range(5)]
        kit.wait_clean()
    rates = ", ".join("/".join(f"{amount / s / 1e6:.1f}" for s in row) for row in seconds)
    one, eight = (statistics.median(row[i] / row[i + 1] for row in seconds) for i in (0, 1))
    show(f"{rtt} ms, {loss} % lost: kubectl exec/one flow/eight flows", f"{rates} MB/s; one × {one:.2f}, eight × one's {eight:.2f}")
    return one, eight


@test("figures.far", long=True, timeout=900)
def far(kit):
    """Delay and loss on the way to the API server. Eight flows of ours are in one tunnel; they are to be no slower than one."""
    with objects(kit, source()):
        kit.wait_ready("pod/source")
        rows = {f"{rtt} ms, {loss} % lost": far_row(kit, rtt, loss, mib << 20)
                for rtt, loss, mib in ((20, 0, 64), (80, 0, 32), (20, 1, 24), (80, 1, 12))}
    for what, (one, eight) in rows.items():
        expect(f"{what}: one flow, × kubectl exec", one, lambda r: r >= 0.9)
        expect(f"{what}: eight flows, × one", eight, lambda r: r >= 0.9)
