# SPDX-License-Identifier: MIT
"""What comes to the pod reaches the program, from the real client's address; afterwards all is as before. And the pod's environment."""

import collections
import json
import os
import signal
import socket
import subprocess
import tempfile

from labkit.registry import PROMPT, expect, expect_in, test

from kubekit.cluster import PROGRAM, bracketed

from .agent import WAYS
from .targets import objects

# Of both families. [PORT [NAME]]: prints the port, then what it is asked for and by whom; for /slow it takes its time.
SERVER = """
import http.server, json, os, socket, sys, time
port, name = [*sys.argv[1:], *["8080", "local"][len(sys.argv) - 1:]]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            os.write(1, b"begun\\n")
            time.sleep(4)
        peer = self.client_address[0].removeprefix("::ffff:")
        body = (json.dumps({"pod": name, "peer": peer, "path": self.path}) + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        os.write(1, f"{self.path} {peer}\\n".encode())  # in one piece: other threads print, too
http.server.ThreadingHTTPServer.address_family = socket.AF_INET6
server = http.server.ThreadingHTTPServer(("", int(port)), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def ask(kit, path="/", times=12):
    """Answers to the client pod, by way of the service; a connection each."""
    out = kit.in_pod("client", f"for i in $(seq {times}); do curl -sS --max-time 30 -H 'X-Path: {path}' http://web{path}; done")
    return [json.loads(line) for line in out.splitlines()]


def ends(p):
    p.send_signal(signal.SIGTERM)
    return p.communicate(timeout=2 * PROMPT)


@test("incoming.steal", timeout=90)
def steal(kit):
    """One replica's requests go to the program, the other's stay; no request fails, before, during and after."""
    address = kit.pod_address("client")
    probes = "the kubelet probes port 8080 (GET /ready)"
    for options in WAYS.values():
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "deployment/web", ["--steal", *options])
        try:
            kit.wait_for("a request that is answered here", lambda: any(a["pod"] == "local" for a in ask(kit)))
            answers = ask(kit, times=30)
            expect("who answers", {a["pod"] == "local" for a in answers}, {True, False})
            expect("lines that tell of probes", kit.logged(probes), lambda n: n > 0, kit.session_log(400))
            expect("whom the program sees", {a["peer"] for a in answers if a["pod"] == "local"}, {address})
        finally:
            ends(p)
        kit.wait_clean()
        expect("who answers afterwards", any(a["pod"] == "local" for a in ask(kit)), False)


def check_filter(kit, variable, value):
    """Of the requests to a deployment of two by way of its service, those to the target for /mine come here; all others stay."""
    def who(path):
        return {a["pod"] == "local" for a in ask(kit, path, 30)}

    for options in WAYS.values():
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "deployment/web", ["--steal", *options], env=kit.environment(**{variable: value}))
        try:
            kit.wait_logged("the port", "port 8080 is stolen", p=p)
            expect("whether what is wanted is answered here", who("/mine/1"), {True, False}, kit.session_log())
            expect("whether the rest is", who("/other"), {False}, kit.session_log())
        finally:
            ends(p)
        kit.wait_clean()


@test("incoming.filter", timeout=90)
def filter_(kit):
    check_filter(kit, "MIRRORD_HTTP_PATH_FILTER", "^/mine")


@test("incoming.filter_jq", timeout=90)
def filter_jq(kit):
    """libjq is in the image, and in what is brought without one."""
    check_filter(kit, "MIRRORD_HTTP_HEADER_FILTER_JQ", 'ascii_downcase | startswith("x-path: /mine")')


def check_copies(kit, target, host, options=(), pods=1):
    """Asks @host twenty times: what the target's pod answers is copied, once; with more @pods, what any of them answers."""
    copy = f"/copied {kit.pod_address('client')}"
    with tempfile.TemporaryFile("w+") as out:
        def lines():
            return os.pread(out.fileno(), 1 << 20, 0).decode().splitlines()

        p = kit.start_mirrord(["sh", "-c", 'hostname; exec python3 -u -c "$0"', SERVER], target, options, stdout=out)
        try:
            kit.wait_logged("the subscription", "port 8080 is mirrored", pods, p)
            answers = kit.in_pod("client", f"for i in {{1..20}}; do curl -sS --max-time 30 http://{host}/copied; done")
            who = collections.Counter(json.loads(line)["pod"] for line in answers.splitlines())
            wanted = who[lines()[0]] if pods == 1 else 20
            kit.wait_for("the copies", lambda: lines().count(copy) >= wanted)
        finally:
            ends(p)
        expect("copies", lines().count(copy), wanted, f"{who}\n{kit.session_log()}")
        expect("answers", (sum(who.values()), "local" in who), (20, False))
        return who


@test("incoming.mirror")
def mirror(kit):
    """The program gets a copy of each request; the pod answers."""
    web = kit.pods("app=web")[0]
    name = web["metadata"]["name"]
    expect("who answers", check_copies(kit, f"pod/{name}", f"{bracketed(web['status']['podIP'])}:8080"), {name: 20})


@test("incoming.mirror_service", timeout=120)
def mirror_service(kit):
    """A service of two pods as the target, asked by its address: copies of what one of them answers; with all replicas, of everything."""
    service = bracketed(kit.service_address("web"))
    for options in WAYS.values():
        check_copies(kit, "service/web", service, options)
        kit.wait_clean()
    everything = f"{kit.cluster.state}/everything.json"
    with open(everything, "w") as f:
        json.dump({"target": {"service": "web", "replicas": "all"}}, f)
    check_copies(kit, "service/web", service, ["-f", everything], 2)


def on_node(kit, node):
    """The web pod there."""
    return next(p for p in kit.pods("app=web") if p["spec"]["nodeName"] == node)


def node_server():
    """A pod with its node's network."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "noded", "labels": {"app": "noded"}}, "spec": {
        "hostNetwork": True, "nodeName": "node2", "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": "localhost/app:1", "command": ["sleep", "infinity"]}]}}


@test("incoming.host_client", timeout=90)
def host_client(kit):
    """A client with the network of the target's own node: by the pod's address and by the service's."""
    target = on_node(kit, "node2")
    name, address = target["metadata"]["name"], target["status"]["podIP"]
    service = kit.service_address("web")
    with objects(kit, node_server()):
        kit.wait_ready("pod/noded")
        for way, options in WAYS.items():
            p = kit.start_mirrord(["python3", "-u", "-c", SERVER], f"pod/{name}", ["--steal", *options])
            try:
                kit.wait_logged("the port", "port 8080 is stolen", p=p)
                direct = json.loads(kit.in_pod("noded", f"curl -sS --max-time 30 http://{bracketed(address)}:8080/"))
                seen = direct["pod"], direct["peer"]
                expect(f"{way}: who answers, whom it sees", seen, ("local", kit.cluster.nodes[1].gateway), kit.session_log())
                answers = kit.in_pod("noded", f"for i in {{1..30}}; do curl -sS --max-time 30 http://{bracketed(service)}/; done")
                expect(f"{way}: who answers for the service", {json.loads(a)["pod"] == "local" for a in answers.splitlines()}, {True, False})
            finally:
                ends(p)
            kit.wait_clean()


@test("incoming.agent_deleted")
def agent_deleted(kit):
    """The agent's pod is told to end: a request that the program has begun is answered, then the pod's own program answers until there is another
    agent. No request fails."""
    name, address = next((p["metadata"]["name"], p["status"]["podIP"]) for p in kit.pods("app=web"))
    with tempfile.TemporaryFile("w+") as out:
        def told(words):
            return words in os.pread(out.fileno(), 1 << 20, 0).decode()

        def asked():
            answers.append(json.loads(kit.in_pod("client", f"curl -sS --max-time 30 http://{bracketed(address)}:8080/"))["pod"])
            return answers[-1]

        answers = []
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], f"pod/{name}", ["--steal"], stdout=out)
        slow = [PROGRAM, "kubectl", "exec", "client", "--", "curl", "-sS", "--max-time", "20", f"http://{bracketed(address)}:8080/slow"]
        try:
            kit.wait_logged("the subscription", "port 8080 is stolen", p=p)
            client = subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=kit.cluster.environment())
            kit.wait_for("the request", lambda: told("begun"))
            kit.kubectl("delete", "pod", "-l", "app=mirrord", "--wait=false")
            answer = client.communicate(timeout=2 * PROMPT)[0]
            expect_in("the answer", answer, '"pod": "local"', kit.session_log(400))
            kit.wait_for("another agent", lambda: asked() and kit.logged("is the target from here on"))
            kit.wait_for("the program's answer", lambda: asked() == "local")
            expect("who answered", set(answers) <= {"local", name}, True, str(answers))
        finally:
            ends(p)


@test("incoming.published")
def published(kit):
    """The program's port is on this machine's localhost, too."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    p = kit.start_mirrord(["python3", "-u", "-m", "http.server", str(port)], "pod/client")

    def reached():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False
    try:
        kit.wait_for("the port", reached)
    finally:
        ends(p)


@test("incoming.environment")
def environment(kit):
    """Of the pod's container, by every way: from a ConfigMap, a Secret, the pod's fields."""
    script = "echo $COLOUR $PASSWORD $POD_ADDRESS $KUBERNETES_SERVICE_HOST"
    pods = {p["metadata"]["name"]: p["status"]["podIP"] for p in kit.pods("app=web")}
    service = kit.service_address("kubernetes")
    for options in WAYS.values():
        for name, address in pods.items():
            done = kit.mirrord(["sh", "-c", script], f"pod/{name}", options)
            expect(f"{options}", done.out, f"green hunter2 {address} {service}\n", f"{done}\n{kit.session_log()}")
    who = [kit.mirrord(["sh", "-c", "echo $WHO"], f"pod/shell{container}").out for container in ("", "/container/first", "/container/second")]
    expect("of the container that is meant", who, ["second\n", "first\n", "second\n"])
