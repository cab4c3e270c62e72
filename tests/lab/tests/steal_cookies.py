# SPDX-License-Identifier: MIT
"""A target whose kernel answers by SYN cookies (net.ipv4.tcp_syncookies=2, or a flood): it keeps nothing of a client until the last packet of the handshake,
which is no SYN."""

import contextlib
import json

from labkit import plan
from labkit.incoming import FIRST, Program, Real, client, taken
from labkit.lab import PYTHON
from labkit.registry import expect, test
from tests.http_filter import ALICE, Pair, ask
from tests.http_filter import PORT as HTTP_PORT

PORT = FIRST
CLIENTS = [dict(family=4), dict(family=6), dict(family=4, node="pod"), dict(family=6, node="pod")]

# Greets whoever comes, and says who that was.
GREETER = f"""
import json, socket
l = socket.create_server(("::", {PORT}), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
print("ready", flush=True)
while True:
    c, peer = l.accept()
    c.sendall(b"220 " + json.dumps(peer[:2]).encode() + b"\\r\\n"); c.close()
"""

GREETED = f"""
import json, socket, sys
s = socket.create_connection((sys.argv[1], {PORT}), 60)
print(json.dumps([s.getsockname()[:2], s.makefile().read()]))
"""


def of_cookies(lab):
    """How many connections there were by cookies that were right, and how many were wrong."""
    names, numbers = (line.split() for line in lab.cluster.pod.run(["grep", "^TcpExt", "/proc/net/netstat"]).splitlines())
    seen = dict(zip(names, numbers))
    return int(seen["SyncookiesRecv"]), int(seen["SyncookiesFailed"])


@contextlib.contextmanager
def cookies_only(lab, clients):
    """@clients of the stolen port, at least, must have come so."""
    lab.cluster.pod.sysctl(ipv4__tcp_syncookies=2)
    came, wrong = of_cookies(lab)
    try:
        yield
        now, failed = of_cookies(lab)
        expect("clients that came by a cookie", now - came >= clients, True, f"{now - came} of {clients}" + lab.log())
        expect("cookies that weren't known", failed - wrong, 0, lab.log())
    finally:
        lab.cluster.pod.sysctl(ipv4__tcp_syncookies=1)


def all_are_taken(lab, program, **more):
    return [taken(lab, program, PORT, **c, **more) for c in CLIENTS]


@test("steal.syn_cookies")
def own_listener(lab):
    with Real(lab), Program(lab, "--steal") as program, cookies_only(lab, len(CLIENTS)):
        program.do(f"s = listen('::', {PORT}, v6only=0)")
        all_are_taken(lab, program)


@test("steal.syn_cookies_without_tproxy")
def redirected(lab):
    """Connection tracking leads the last packet to where the first went."""
    with Real(lab), Program(lab, "--steal", env=lab.environment(MIRRORD_STEAL="redirect")) as program, cookies_only(lab, len(CLIENTS)):
        program.do(f"s = listen('::', {PORT}, v6only=0)")
        all_are_taken(lab, program)


@test("steal.syn_cookies_two_families")
def two_listeners(lab):
    with Real(lab), Program(lab, "--steal") as program, cookies_only(lab, 2 * len(CLIENTS)):
        program.do(f"s = listen('::', {PORT}, v6only=1)", f"t = listen('0.0.0.0', {PORT})")
        all_are_taken(lab, program)
        program.do("shut(t)")
        for c in CLIENTS:
            answer, _ = client(lab, PORT, **c)
            expect("the answer", answer.get("answer", answer)[:5], "here:" if c["family"] == 6 else "real:", lab.log())


@test("steal.syn_cookies_reuseport")
def workers(lab):
    """A port with several listeners for a family has none of the agent's own."""
    with Real(lab), Program(lab, "--steal") as program, cookies_only(lab, 3 * len(CLIENTS)):
        program.do(f"a = listen('::', {PORT}, 'a', v6only=0, reuseport=True)", f"b = listen('::', {PORT}, 'b', v6only=0, reuseport=True)")
        for _ in range(2):
            all_are_taken(lab, program)
        program.do("shut(a)")
        all_are_taken(lab, program)


@test("steal.syn_cookies_filter")
def filtered(lab):
    pod4, pod6 = plan.HOSTS["pod"]
    with cookies_only(lab, 5), Pair(lab, {"header_filter": "^x-user: alice$"}, ports=(f":::{HTTP_PORT}",)):
        for node, ip in (("services", pod4), ("services", pod6), ("pod", pod4), ("pod", "127.0.0.1"), ("pod", "::1")):
            got = ask(lab, ("GET", "/1", ALICE), ("GET", "/2"), ("GET", "/3", ALICE), node=node, ip=ip)
            expect(f"who answered, from {node} to {ip}", [g.get("name") for g in got], ["here", "real", "here"], str(got) + lab.log())


@test("steal.syn_cookies_server_first")
def server_first(lab):
    with Real(lab), cookies_only(lab, 2):
        p = lab.start_mirrord([*PYTHON, "-c", GREETER], options=("--steal", "--no-publish"))
        expect("the program", p.stdout.readline(), "ready\n", lab.log())
        for ip, family in zip(plan.HOSTS["pod"], (4, 6)):
            own, said = json.loads(lab.cluster.services.run([*PYTHON, "-c", GREETED, ip]))
            mapped = ["::ffff:" + own[0], own[1]] if family == 4 else own
            expect("the greeting", said, f"220 {json.dumps(mapped)}\n", lab.log())
        p.terminate()
        p.communicate()


@test("steal.syn_cookies_beside_a_mirror")
def beside(lab):
    """And a target that is mirrored alone."""
    with Real(lab), Program(lab) as ann, cookies_only(lab, 2 * len(CLIENTS)):
        ann.do(f"s = listen('::', {PORT}, v6only=0)")
        all_are_taken(lab, ann, mirrored=True)
        with Program(lab, "--steal") as bob:
            bob.do(f"s = listen('::', {PORT}, v6only=0)")
            for saw in all_are_taken(lab, bob):
                expect("the copy", ann.saw(saw["data"], 60) is not None, True, lab.log())
