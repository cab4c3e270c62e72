# SPDX-License-Identifier: MIT
"""The kubelet's probes of a port that is stolen: a real kubelet's, of each kind."""

import json
import os
import tempfile
import time

from labkit.registry import expect, expect_in, test

from kubekit.cluster import PROGRAM

from .agent import WAYS
from .incoming import ends
from .targets import objects

PORTS = {"http": 8080, "tcp": 7007, "grpc": 2379, "https": 8443}

# Listens on all of them, says what comes and from where, and answers as no probe would have it.
SINK = """
import socket, socketserver, sys, threading
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.settimeout(5)
        words = self.request.recv(4096)
        print(self.server.server_address[1], self.client_address[0], words[:40], flush=True)
        self.request.sendall(b"HTTP/1.1 404 Not Found\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nlocal")
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
    def handle_error(self, *_): pass
for port in sys.argv[1:]:
    threading.Thread(target=Server(("", int(port)), Handler).serve_forever).start()
"""

TCP = "import socketserver as s; s.TCPServer.address_family = 10; s.TCPServer.allow_reuse_address = True; s.ThreadingTCPServer(('', 7007), s.BaseRequestHandler).serve_forever()"
HTTPS = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=probed -keyout /tmp/key -out /tmp/cert 2>/dev/null
exec python3 -c "
import http.server, ssl
http.server.HTTPServer.address_family = 10
s = http.server.HTTPServer(('', 8443), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain('/tmp/cert', '/tmp/key')
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()"
"""
ETCD = ["/allkube", "etcd", "--data-dir", "/tmp/etcd", "--listen-client-urls", "http://[::]:2379", "--advertise-client-urls",
        "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "error"]


def container(name, command, probe, **more):
    ready = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30, **probe}
    return {"name": name, "image": "localhost/app:1", "command": command, "readinessProbe": ready, **more}


def pod(name):
    program = {"name": "program", "mountPath": "/allkube"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            container("http", ["python3", "/server/server.py"], {"httpGet": {"port": 8080, "path": "/ready"}},
                      livenessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30, "initialDelaySeconds": 5},
                      volumeMounts=[{"name": "server", "mountPath": "/server"}]),
            container("tcp", ["python3", "-c", TCP], {"tcpSocket": {"port": 7007}}),
            container("grpc", ETCD, {"grpc": {"port": 2379}}, volumeMounts=[program]),
            container("https", ["bash", "-c", HTTPS], {"httpGet": {"port": 8443, "path": "/tmp", "scheme": "HTTPS"}}),
        ],
        "volumes": [{"name": "server", "configMap": {"name": "server"}}, {"name": "program", "hostPath": {"path": PROGRAM}}]}}


def readiness(kit, name):
    """When it became as it is, and whether a container was restarted."""
    status = kit.get("pod", name)["status"]
    ready = next(c for c in status["conditions"] if c["type"] == "Ready")
    return ready["status"], ready["lastTransitionTime"], [c["restartCount"] for c in status["containerStatuses"]]


class Sink:
    """The local program. seen(): its lines, as (port, client, words)."""

    def __init__(self, kit, name, options):
        self.out = tempfile.TemporaryFile("w+")
        self.process = kit.start_mirrord(["python3", "-c", SINK, *map(str, PORTS.values())], f"pod/{name}", ["--steal", *options], stdout=self.out)
        kit.wait_for("the ports", lambda: kit.logged("is stolen from the target") == len(PORTS))

    def seen(self):
        lines = os.pread(self.out.fileno(), 1 << 20, 0).decode().splitlines()
        return [(int(port), client, words) for port, client, words in (line.split(" ", 2) for line in lines)]

    def end(self):
        ends(self.process)
        self.out.close()


def check_others(kit, sink, name):
    """Clients that are not the kubelet, one of them on its node, whose address they have."""
    host = kit.pod_host(name)
    node = next(n for n in kit.cluster.nodes if n.name == kit.get("pod", name)["spec"]["nodeName"])
    ask = ["curl", "-s", "--max-time", "30"]
    expect("another pod", kit.in_pod("client", f"curl -s --max-time 30 http://{host}:8080/ready"), "local")
    expect("the node", node.run(*ask, f"http://{host}:8080/ready"), "local")
    expect_in("the node, in words of its own", node.run("sh", "-c", f"echo hello | nc -w 30 {host.strip('[]')} 7007"), "local")
    node.run("sh", "-c", f"curl -ks --max-time 30 --resolve probed.example:8443:{host} https://probed.example:8443/ || true")
    node.run("sh", "-c", f"curl -s --max-time 30 --http2-prior-knowledge http://{host}:2379/ || true")
    for port, words in ((7007, "hello"), (8443, "\\x16"), (2379, "PRI * HTTP/2")):
        kit.wait_for(f"the node's connection to port {port}", lambda: any(p == port and words in w for p, _, w in sink.seen()))


@test("probes.stay", timeout=120)
def stay(kit):
    """With the pod; what others ask is the program's. The pod stays ready."""
    with objects(kit, pod("probed")):
        kit.wait_ready("pod/probed")
        before = readiness(kit, "probed")
        for options in WAYS.values():
            sink = Sink(kit, "probed", options)
            try:
                time.sleep(4)
                expect("what came to the program", sink.seen(), [])
                check_others(kit, sink, "probed")
                others = len(sink.seen())
                time.sleep(2)
                expect("what came afterwards", len(sink.seen()), others, sink.seen())
            finally:
                sink.end()
            kit.wait_for("the count of probes", lambda: kit.logged("probes of the kubelet's that the target's own program got: "))
            kit.wait_clean()
        expect("readiness", readiness(kit, "probed"), before)


@test("probes.stolen", timeout=120)
def stolen(kit):
    """With steal_probes they are the program's, which has to answer."""
    config = f"{kit.cluster.state}/steal_probes.json"
    with open(config, "w") as f:
        json.dump({"feature": {"network": {"incoming": {"steal_probes": True}}}}, f)
    with objects(kit, pod("asked")):
        kit.wait_ready("pod/asked")
        sink = Sink(kit, "asked", ["-f", config])
        try:
            kit.wait_for("a probe", lambda: any(port == 8080 and "/ready" in words for port, _, words in sink.seen()))
            kit.wait_for("the pod to go out of service", lambda: readiness(kit, "asked")[0] == "False")
        finally:
            sink.end()
        kit.wait_for("the pod to come back", lambda: readiness(kit, "asked")[0] == "True")
