# SPDX-License-Identifier: MIT
"""docs/permissions.md, the agent's container: what can be done with all of its capabilities can't be without the one that it needs."""

import json

from labkit.registry import PROMPT, expect, expect_in, test

from .permissions import run_diagnose
from .targets import objects, pod

USER, PORT, LOW_PORT = 1000, 8070, 777
# Says to each client which port it comes from.
SERVER = f"""
import socketserver
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"%d\\n" % self.client_address[1])
class Server(socketserver.ThreadingTCPServer):
    address_family = 10
    allow_reuse_address = daemon_threads = True
for port in ({PORT + 1}, {PORT + 2}):
    __import__("threading").Thread(target=Server(("", port), Handler).serve_forever).start()
Server(("", {PORT}), Handler).serve_forever()
"""
# ADDRESS OTHER SECONDS: what works, a word each.
TRY = f"""
import socket, subprocess, sys
address, other, seconds = sys.argv[1:]
def ask(port, low=False):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.settimeout(30)
    if low:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", {LOW_PORT}))
    try:
        s.connect((address, port))
        return int(s.recv(9))
    except ConnectionRefusedError:
        return 0
if subprocess.run(["ping", "-c1", "-W", seconds, other], stdout=subprocess.DEVNULL).returncode == 0: print("ping")
if ask({PORT}, True) == {LOW_PORT}: print("low-port")
if ask({PORT + 1}): print("user")
if ask({PORT + 2}): print("group")
"""
# By capability: what doesn't work without it, beside what diagnose says.
BOTH = {"NET_RAW": {"ping"}, "NET_BIND_SERVICE": {"low-port"}, "SETUID": {"user"}, "SETGID": {"user", "group"}}
WORKS = {"job": BOTH, "ephemeral": {**BOTH, "SYS_PTRACE": {"user", "group"}}}  # whose process is out of reach has no user
SAID = {"job": {"NET_ADMIN": "without stealing: NET_ADMIN", "NET_RAW": "without mirroring", "SYS_ADMIN": "entering its network: Operation not permitted",
                "SYS_PTRACE": "looking into process "},
        "ephemeral": {"NET_ADMIN": "without stealing: NET_ADMIN", "NET_RAW": "without mirroring"}}


def owned():
    """A pod whose program is no root's."""
    spec = pod("owned")
    spec["containers"][0].update(command=["python3", "-c", SERVER], securityContext={"runAsUser": USER, "runAsGroup": USER},
                                 readinessProbe={"tcpSocket": {"port": PORT}, "periodSeconds": 1, "timeoutSeconds": 30})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "owned", "labels": {"app": "owned"}}, "spec": spec}


def guard(kit):
    """The pod's own rules: who isn't its user, or of its group, is refused at a port each."""
    status = kit.get("pod", "owned")
    node = next(n for n in kit.cluster.nodes if n.name == status["spec"]["nodeName"])
    container = status["status"]["containerStatuses"][0]["containerID"].partition("//")[2]
    rules = "; ".join(f"tcp dport {port} meta {what} != {USER} reject with tcp reset" for port, what in ((PORT + 1, "skuid"), (PORT + 2, "skgid")))
    init = node.run("sh", "-c", f"grep -l {container} /proc/[0-9]*/cgroup | head -n 1 | cut -d/ -f3").strip()
    node.run("nsenter", "-t", init, "-n", "nft", f"table inet guard {{ chain out {{ type filter hook output priority 0; {rules}; }}; }}")


def without(kit, capability, way):
    """As options."""
    path = f"{kit.cluster.state}/capabilities.json"
    with open(path, "w") as f:
        json.dump({"agent": {"disabled_capabilities": [capability] if capability else [], "ephemeral": way == "ephemeral"}}, f)
    return "-f", path


@test("capabilities.used", timeout=180)
def used(kit):
    """All that is tried works; without a capability what needs it doesn't, and the rest does."""
    everything = set().union(*BOTH.values())
    with objects(kit, owned()):
        kit.wait_ready("pod/owned")
        guard(kit)
        addresses = kit.pod_address("owned"), kit.pod_address("client")
        for way, lost in WORKS.items():
            for capability in ("", *lost):
                patience = "2" if capability == "NET_RAW" else str(int(PROMPT))
                done = kit.mirrord(["python3", "-c", TRY, *addresses, patience], "pod/owned", without(kit, capability, way))
                expect(f"{way} without {capability or 'nothing'}", set(done.out.split()), everything - lost.get(capability, set()),
                       f"{done}\n{kit.session_log()}")


@test("capabilities.said", timeout=180)
def said(kit):
    """By diagnose, of those that the agent sees itself."""
    for way, lines in SAID.items():
        for capability, line in lines.items():
            status, out = run_diagnose(kit, None, *without(kit, capability, way), "-t", "deployment/web")
            expect_in(f"{way} without {capability}", out, line)
            expect(f"{way} without {capability}: status", status, int(capability in ("SYS_ADMIN", "SYS_PTRACE")))
