# SPDX-License-Identifier: MIT
"""A pod of a mesh's: an init container writes istio-init's rules, a sidecar takes what they redirect (labkit/meshes.py). What is stolen and copied is
what the sidecar sends on."""

import os
import tempfile

from labkit.meshes import MESHES, SIDECAR, restore
from labkit.registry import expect, test

from .agent import WAYS
from .incoming import ends
from .targets import objects

# Prints what it gets, and answers with its name and that.
SERVER = """
import os, socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        data = self.request.recv(4096)
        os.write(1, data + b"\\n")
        self.request.sendall(sys.argv[1].encode() + b":" + data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
Server(("", 8080), Handler).serve_forever()
"""
CLIENT = "import socket, sys; s = socket.create_connection((sys.argv[1], 8080), 30); s.sendall(sys.argv[2].encode()); print(s.recv(4096).decode(), end='')"


def pod():
    rules, _, words, _ = MESHES["istio"]
    write = {"name": "istio-init", "image": "localhost/app:1", "command": ["bash", "-c", 'iptables-nft-restore --noflush <<<"$0"', restore(rules)],
             "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "meshed", "labels": {"app": "meshed"}}, "spec": {
        "terminationGracePeriodSeconds": 0, "initContainers": [write],
        "containers": [{"name": "istio-proxy", "image": "localhost/app:1", "command": ["python3", "-c", SIDECAR, *map(str, words)]},
                       {"name": "main", "image": "localhost/app:1", "command": ["python3", "-c", SERVER, "pod"]}]}}


def exchange(kit, address, word):
    """The sidecar changes the case of letters, there and back."""
    return kit.in_pod("client", f"python3 -c \"{CLIENT}\" {address} {word} 2>&1 || true")


@test("mesh.istio", timeout=240)
def istio(kit):
    with objects(kit, pod()):
        kit.wait_ready("pod/meshed")
        address = kit.pod_address("meshed")
        kit.wait_for("the pod's answer by way of its sidecar", lambda: exchange(kit, address, "Real") == "POD:Real")
        for way, options in WAYS.items():
            p = kit.start_mirrord(["python3", "-c", SERVER, "here"], "pod/meshed", ["--steal", *options])
            try:
                kit.wait_logged("the port", "port 8080 is stolen", p=p)
                expect(f"{way}: who answers, by way of the sidecar", exchange(kit, address, "Stolen"), "HERE:Stolen", kit.session_log())
            finally:
                ends(p)
            kit.wait_clean()
            expect(f"{way}: who answers afterwards", exchange(kit, address, "Given"), "POD:Given")
        check_copy(kit, address)


def check_copy(kit, address):
    """One, of what the sidecar sent on, and none of what it got."""
    with tempfile.TemporaryFile("w+") as out:
        def seen():
            return os.pread(out.fileno(), 1 << 16, 0).decode().split()

        p = kit.start_mirrord(["python3", "-c", SERVER, "here"], "pod/meshed", stdout=out)
        try:
            kit.wait_logged("the port", "port 8080 is mirrored", p=p)
            for word in ("One", "Two"):
                expect("who answers", exchange(kit, address, word), f"POD:{word}")
            kit.wait_for("the copies", lambda: len(seen()) >= 2)
        finally:
            ends(p)
        expect("what was copied", sorted(seen()), ["oNE", "tWO"])
