# SPDX-License-Identifier: MIT
"""A target with its node's network. Its ports are the node's: who asks them is a client wherever it runs, on that very node, too; what else the node
does, and what only passes it, goes on as without us."""

import json
import os
import tempfile

from labkit.registry import expect, expect_in, test

from kubekit.cluster import bracketed

from .incoming import SERVER, ends, on_node
from .targets import objects, pod

PORT, OTHER = 8090, 8091  # the one that is taken, and another one of the node's


def serves(name, *ports, **more):
    """A pod that answers with its name on each of these ports."""
    spec = pod(name, **more)
    spec["containers"] = [{
        "name": f"on-{port}", "image": "localhost/app:1", "command": ["python3", "-u", "-c", SERVER, str(port), name],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": port}, "periodSeconds": 1, "timeoutSeconds": 30}} for port in ports]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {"nodeName": "node2", **spec}}


def all_objects():
    return (serves("noded", PORT, OTHER, hostNetwork=True), serves("beside", PORT),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "noded"},
             "spec": {"selector": {"app": "noded"}, "ports": [{"port": 80, "targetPort": PORT}]}})


class Clients:
    """On either node: its own processes, and a pod."""

    def __init__(self, kit):
        self.kit = kit
        self.host = kit.pod_host("noded")
        self.service = bracketed(kit.service_address("noded"))
        self.pods = {node.name: on_node(kit, node.name) for node in kit.cluster.nodes}

    def ask(self, url):
        """By client: its answer."""
        curl = f"curl -sS --max-time 30 {url}"
        answers = {node.name: node.run("sh", "-c", curl) for node in self.kit.cluster.nodes}
        answers |= {f"a pod of {node}": self.kit.in_pod(p["metadata"]["name"], curl) for node, p in self.pods.items()}
        return {who: json.loads(answer) for who, answer in answers.items()}

    def expect_all(self, url, who):
        answers = self.ask(url)
        expect(f"who answers {url}", {client: a["pod"] for client, a in answers.items()}, dict.fromkeys(answers, who), self.kit.session_log())
        return answers

    def check(self, path, who):
        """By the node's address and by the service's; and what isn't to be touched."""
        answers = self.expect_all(f"http://{self.host}:{PORT}{path}", who)
        for node, p in self.pods.items():
            expect(f"whom it sees of the pod of {node}", answers[f"a pod of {node}"]["peer"], p["status"]["podIP"])
        self.expect_all(f"http://{self.service}{path}", who)
        self.expect_all(f"http://{self.host}:{OTHER}{path}", "noded")
        self.expect_all(f"http://{self.kit.pod_host('beside')}:{PORT}{path}", "beside")


def allowing(kit):
    path = f"{kit.cluster.state}/host_network.json"
    with open(path, "w") as f:
        json.dump({"agent": {"allow_host_network": True}}, f)
    return ["-f", path]


def await_all(kit):
    """Until each node knows of the service."""
    kit.wait_ready("pod/noded", "pod/beside")
    clients = Clients(kit)
    for node in kit.cluster.nodes:
        ask = f"curl -s --max-time 5 http://{clients.service}/ || true"
        kit.wait_for(f"{node.name}'s way to the service", lambda: "noded" in node.run("sh", "-c", ask))
    return clients


def check_steal(kit, clients):
    p = kit.start_mirrord(["python3", "-u", "-c", SERVER, str(PORT)], "pod/noded", ["--steal", *allowing(kit)])
    try:
        kit.wait_logged("the port", f"port {PORT} is stolen", p=p)
        clients.check("/", "local")
    finally:
        ends(p)
    kit.wait_clean()
    clients.check("/", "noded")


def check_filter(kit, clients):
    p = kit.start_mirrord(["python3", "-u", "-c", SERVER, str(PORT)], "pod/noded", ["--steal", *allowing(kit)],
                          env=kit.environment(MIRRORD_HTTP_PATH_FILTER="^/mine"))
    try:
        kit.wait_logged("the port", f"port {PORT} is stolen", p=p)
        clients.check("/mine", "local")
        clients.check("/other", "noded")
    finally:
        ends(p)
    kit.wait_clean()


def check_mirror(kit, clients):
    """What is seen to arrive at the port is copied. When that very node and its pods ask by the service, it is the service's that is seen."""
    near = clients.pods["node2"]["status"]["podIP"]
    with tempfile.TemporaryFile("w+") as out:
        def copied(path):
            lines = os.pread(out.fileno(), 1 << 20, 0).decode().splitlines()
            return [line.removeprefix(f"/{path} ") for line in lines if line.startswith(f"/{path} ")]

        p = kit.start_mirrord(["python3", "-u", "-c", SERVER, str(PORT)], "pod/noded", stdout=out)
        try:
            kit.wait_logged("the port", f"port {PORT} is mirrored", p=p)
            clients.check("/untouched", "noded")
            for host, path in ((f"{clients.host}:{PORT}", "by-address"), (clients.service, "by-service")):
                clients.expect_all(f"http://{host}/{path}", "noded")
            kit.wait_for("the copies", lambda: len(copied("by-address")) >= 4 and len(copied("by-service")) >= 2)
        finally:
            ends(p)
        expect("copies", (len(copied("by-address")), len(copied("by-service"))), (4, 2))
        expect("of a pod on the node", (near in copied("by-address"), near in copied("by-service")), (True, False))
        expect("copies of what isn't the port's", len(copied("untouched")), 6)


@test("host_network.refused")
def refused(kit):
    """Stealing, unless it is allowed; mirroring is."""
    with objects(kit, serves("noded", PORT, hostNetwork=True)):
        kit.wait_ready("pod/noded")
        done = kit.mirrord(["true"], "pod/noded", ["--steal"])
        expect("status", done.status, 1, str(done))
        expect_in("stderr", done.err, "pod noded has the network of its node (hostNetwork)")
        expect_in("stderr", done.err, "agent.allow_host_network")
        expect("mirror", kit.mirrord(["true"], "pod/noded").status, 0)


@test("host_network.incoming", timeout=180)
def incoming(kit):
    """Stolen, with a filter, and mirrored: of processes and pods of both nodes, by the node's address and by a service's."""
    with objects(kit, *all_objects()):
        clients = await_all(kit)
        check_steal(kit, clients)
        check_filter(kit, clients)
        check_mirror(kit, clients)
