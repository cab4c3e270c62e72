# SPDX-License-Identifier: MIT
"""Service meshes (labkit/meshes.py): what their sidecar decrypts is what is stolen, filtered and copied; and what it encrypts isn't."""

import contextlib
import os
import subprocess

from labkit import plan
from labkit.incoming import FIRST, Program, Real, client
from labkit.lab import PYTHON
from labkit.meshes import MESHES, SIDECAR, SKIPPED, restore
from labkit.registry import PROMPT, expect, test

RICH = os.geteuid() == 0  # the meshes' users exist
MODES = ("root",) if RICH else ()
NEEDS = ("iptables-nft", "ip6tables-nft")
PORT = FIRST  # and SKIPPED is one of the target's, too
HTTP_PORT = 7821


@contextlib.contextmanager
def mesh(lab, name):
    pod, (rules4, rules6, words, _) = lab.cluster.pod, MESHES[name]
    routes = [["ip", "address", "add", "::6/128", "dev", "lo"]]  # as istio-init does
    routes += [["ip", f, "rule", "add", "fwmark", "0x111/0xfff", "pref", "32764", "lookup", "100"] for f in ("-4", "-6")] + \
             [["ip", f, "route", "add", "local", "default", "dev", "lo", "table", "100"] for f in ("-4", "-6")] if name == "istio_ambient" else []
    sidecar = pod.start([*PYTHON, "-c", SIDECAR, *map(str, words)], stdout=subprocess.PIPE, text=True)
    try:
        expect("the sidecar", sidecar.stdout.readline(), "ready\n")
        for program, rules in (("iptables-nft", rules4), ("ip6tables-nft", rules6)):
            pod.run([program + "-restore", "--noflush"], restore(rules))
        for r in routes:
            pod.run(r)
        yield sidecar
    finally:
        sidecar.kill()
        sidecar.wait()
        for r in routes:
            pod.run(["del" if w == "add" else w for w in r], check=False)
        for family in ("ip", "ip6"):
            for table in ("nat", "mangle"):
                pod.run(["nft", "delete", "table", family, table], check=False)


def exchange(lab, port, expected, family=4):
    """A client by way of the sidecar is answered so, in its own letters. Returns what it sent."""
    answer, data = client(lab, port, family=family)
    expect(f"the answer over IPv{family}", answer.get("answer"), expected + data, lab.log())
    return data


WEB = """
import http.server, socket, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        b = sys.argv[2].encode(); self.send_response(200); self.send_header("Content-Length", str(len(b))); self.end_headers(); self.wfile.write(b)
    def log_message(self, *_): pass
class S(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
s = S(("::", int(sys.argv[1])), H); print("ready", flush=True); s.serve_forever()
"""
WEB_CLIENT = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
s.sendall(f"GET {sys.argv[3]} HTTP/1.1\\r\\nHost: shop\\r\\nConnection: close\\r\\n\\r\\n".encode().swapcase())
got = b""
while data := s.recv(65536): got += data
print(got.swapcase().decode().split("\\r\\n\\r\\n")[-1], end="")
"""


def add(name):
    left_out = MESHES[name][3]

    @test(f"mesh.{name}_steal", modes=MODES, needs=NEEDS)
    def steal(lab):
        with Real(lab), mesh(lab, name):
            exchange(lab, PORT, "REAL:")
            with Program(lab, "--steal") as program:
                program.do(f"s = listen('::', {PORT})", f"t = listen('::', {SKIPPED})")
                for family in (4, 6):
                    data = exchange(lab, PORT, "HERE:", family)
                    expect("what our program saw", bool(program.saw(data.swapcase(), PROMPT)), True, lab.log())
                    if left_out:
                        exchange(lab, left_out, "here:", family)
                program.do(f"c = socket.create_connection(('payment', {plan.PEER}), 20)")
                expect("our program reaches a service", program.value("json.loads(c.recv(1000))['server']"), "payment", lab.log())
                program.do("shut(s)")
                lab.wait_for("the port is the target's again", lambda: client(lab, PORT)[0].get("answer", "").startswith("REAL:"))

    @test(f"mesh.{name}_filter", modes=MODES, needs=NEEDS)
    def filtered(lab):
        there = lab.cluster.pod.start([*PYTHON, "-c", WEB, str(HTTP_PORT), "there"], stdout=subprocess.PIPE, text=True)
        here = None
        try:
            expect("the target's server", there.stdout.readline(), "ready\n")
            with mesh(lab, name):
                here = lab.start_mirrord([*PYTHON, "-c", WEB, str(HTTP_PORT), "here"], options=("--steal",),
                                         env=lab.environment(MIRRORD_HTTP_PATH_FILTER="^/mine"))
                expect("our server", here.stdout.readline(), "ready\n", lab.log())
                for family in (4, 6):
                    for path, who in (("/mine", "here"), ("/other", "there")):
                        answer = lab.cluster.services.run([*PYTHON, "-c", WEB_CLIENT, plan.address("pod", family), str(HTTP_PORT), path])
                        expect(f"{path} over IPv{family}", answer, who, lab.log())
        finally:
            for p in (there, here):
                if p:
                    p.kill()
                    p.communicate()

    @test(f"mesh.{name}_mirror", modes=MODES, needs=NEEDS)
    def mirror(lab):
        """One copy, of what the sidecar decrypted, and none of what reached the sidecar."""
        with Real(lab), mesh(lab, name), Program(lab) as program:
            program.do(f"s = listen('::', {PORT})", f"t = listen('::', {SKIPPED})")
            for family in (4, 6):
                data = exchange(lab, PORT, "REAL:", family)
                expect("the copy", bool(program.saw(data.swapcase(), PROMPT)), True, lab.log())
                if left_out:
                    plain = exchange(lab, left_out, "real:", family)
                    expect("the copy of a port that the mesh leaves out", bool(program.saw(plain, PROMPT)), True, lab.log())
                last = exchange(lab, PORT, "REAL:", family)
                expect("a later copy", bool(program.saw(last.swapcase(), PROMPT)), True, lab.log())
                seen = [e["data"] for e in program.value("seen")]
                expect("copies", sorted(seen.count(x) for x in (data.swapcase(), data, last)), [0, 0, 1], f"{seen}\n{lab.log()}")


for each in MESHES:
    add(each)
