# SPDX-License-Identifier: MIT
"""NetworkPolicy. Nothing in this cluster enforces it; so these are the rules that a plug-in makes of one on a pod's node, where what leaves the pod
and what comes to it is forwarded. The agent is behind them, as the pod is."""

import contextlib
import errno

from labkit.registry import expect, expect_in, test

from kubekit.cluster import bracketed

from .agent import WAYS
from .incoming import SERVER, ends, on_node

# SECONDS ADDRESS…: what connect() says of port 8080 there; with a limit, EAGAIN of a packet that vanishes.
CONNECT = """
import socket, sys
for address in sys.argv[2:]:
    s = socket.socket()
    s.settimeout(float(sys.argv[1]) or None)
    print(s.connect_ex((address, 8080)))
"""
REFUSALS = {"drop": errno.EAGAIN, "reject with tcp reset": errno.ECONNREFUSED, "reject with icmp type admin-prohibited": errno.EHOSTUNREACH}


@contextlib.contextmanager
def enforced(node, rule):
    node.run("nft", f"add table ip guard; add chain ip guard forward {{ type filter hook forward priority 0; }}; add rule ip guard forward {rule}")
    try:
        yield
    finally:
        node.run("nft", "delete table ip guard")


def node_named(kit, name):
    return next(n for n in kit.cluster.nodes if n.name == name)


@test("policy.egress", timeout=120)
def egress(kit):
    """What a pod may not reach, however that is refused, its program doesn't either; what it may, it does."""
    client = kit.get("pod", "client")
    node = client["spec"]["nodeName"]
    refused = on_node(kit, "node1" if node == "node2" else "node2")["status"]["podIP"]
    open_ = kit.pod_address("echo")  # where nobody listens on it
    for how, error in REFUSALS.items():
        argv = ["python3", "-c", CONNECT, *(("3", refused) if how == "drop" else ("0", refused, open_))]
        results = [str(e) for e in (error, errno.ECONNREFUSED)][:len(argv) - 4]
        with enforced(node_named(kit, node), f"ip saddr {client['status']['podIP']} ip daddr {refused} tcp dport 8080 {how}"):
            expect(f"{how}: the pod", kit.kubectl("exec", "client", "--", *argv).split(), results)
            for way, options in WAYS.items():
                expect(f"{how}, {way}", kit.mirrord(argv, "pod/client", options).out.split(), results)
    expect("without any of them", kit.mirrord(["python3", "-c", CONNECT, "0", refused], "pod/client").out, "0\n")


@test("policy.ingress", timeout=90)
def ingress(kit):
    """Who may not reach the pod doesn't reach the program that steals from it."""
    target = on_node(kit, "node2")
    name, address = target["metadata"]["name"], target["status"]["podIP"]
    peer = on_node(kit, "node1")["metadata"]["name"]
    ask = f"curl -sS --max-time 30 http://{bracketed(address)}:8080/ 2>&1 || echo $?"
    for options in WAYS.values():
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], f"pod/{name}", ["--steal", *options])
        try:
            kit.wait_logged("the port", "port 8080 is stolen", p=p)
            with enforced(kit.cluster.nodes[1], f"iifname uplink0 ip daddr {address} tcp dport 8080 reject with tcp reset"):
                expect_in("one who may not", kit.in_pod(peer, ask), "\n7\n", kit.session_log())
                expect_in("one who may: its node", kit.cluster.nodes[1].run("sh", "-c", ask), '"local"', kit.session_log())
            expect_in("one who may again", kit.in_pod(peer, ask), '"local"', kit.session_log())
        finally:
            ends(p)
        kit.wait_clean()
