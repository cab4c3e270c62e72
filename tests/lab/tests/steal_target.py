# SPDX-License-Identifier: MIT
"""Stealing from a target to which something happens: its link goes, its programs die and come again, somebody loads other rules, it has no IPv6."""

import contextlib
import subprocess

from labkit.incoming import FIRST, Program, client, errno_name, left_alone, taken
from labkit.lab import PYTHON
from labkit.registry import expect, expect_in, test
from tests.steal import AGENTS, Echo, pids

PORT = FIRST
OUTER, INNER, SECOND = "10.99.0.1", "10.99.0.2", "10.99.0.3"
SERVER = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("up", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[3].encode() + c.recv(1000))
    c.close()
"""


class Target:
    """A network namespace of its own beside the pod's, with a link to the services' machine."""

    def __init__(self, lab):
        self.lab = lab
        self.process = lab.cluster.pod.start(["unshare", "-n", "sh", "-c", "echo up; exec sleep infinity"], stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        self.name = f"pid/{self.process.pid}"
        self.inside = ["nsenter", "-t", str(self.process.pid), "-n"]
        self.run("ip link set lo up")
        self.link()

    def run(self, command):
        return self.lab.cluster.pod.run([*self.inside, "sh", "-c", command])

    def start(self, argv, **more):
        return self.lab.cluster.pod.start([*self.inside, *argv], **more)

    def link(self):
        outside = self.lab.cluster.services
        outside.ip(f"link add steal0 type veth peer name eth0 netns {self.process.pid}", f"addr add {OUTER}/24 dev steal0", "link set steal0 up")
        self.run(f"ip addr add {INNER}/24 dev eth0; ip link set eth0 up; ip route add default via {OUTER}")

    def cut(self):
        self.lab.cluster.services.ip("link del steal0")

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def own_target(lab):
    target = Target(lab)
    try:
        yield target
    finally:
        with contextlib.suppress(RuntimeError):
            target.cut()
        target.end()


@contextlib.contextmanager
def server(start, ip, word):
    """@start: where it runs. It answers on one address alone."""
    p = start([*PYTHON, "-c", SERVER, ip, str(PORT), word], stdout=subprocess.PIPE, text=True)
    try:
        expect("a server", p.stdout.readline(), "up\n")
        yield
    finally:
        p.kill()
        p.communicate()


def program_of(lab, target):
    program = Program(lab, "--steal", "--no-publish", target=target.name)
    program.do(f"s = listen('0.0.0.0', {PORT})")
    return program


@test("steal.link_goes_away")
def link(lab):
    """The target's veth is removed, and another one comes in its place: what still reaches the port is taken all the time."""
    with own_target(lab) as target, program_of(lab, target) as program:
        taken(lab, program, PORT, ip=INNER)
        target.cut()
        answer = target.run(f"printf local | timeout 60 nc -N 127.0.0.1 {PORT}")
        expect("a client in the target", answer, "here:local", lab.log())
        target.link()
        taken(lab, program, PORT, ip=INNER)


@test("steal.app_on_one_address")
def one_address(lab):
    """What the program doesn't take reaches the target's own one at the address that the client meant, the only one where it listens."""
    with own_target(lab) as target:
        target.run(f"ip addr add {SECOND}/24 dev eth0")
        with server(target.start, INNER, "real:"), Program(lab, "--steal", "--no-publish", target=target.name) as program:
            program.do(f"s = listen('{SECOND}', {PORT})")
            for _ in range(3):
                taken(lab, program, PORT, ip=SECOND)
                left_alone(lab, program, PORT, ip=INNER)


@test("steal.program_on_one_address")
def program_on_one_address(lab):
    """Nobody is at the target's other addresses: a client there is refused, as by such a program in the target."""
    def refused(ip):
        expect(f"a client of {ip}", client(lab, PORT, ip=ip)[0].get("error"), "ECONNREFUSED", lab.log())

    with own_target(lab) as target:
        target.run(f"ip addr add {SECOND}/24 dev eth0")
        for way in ("tproxy", "redirect"):
            with Program(lab, "--steal", "--no-publish", target=target.name, env=lab.environment(MIRRORD_STEAL=way)) as program:
                program.do(f"s = listen('{SECOND}', {PORT})")
                taken(lab, program, PORT, ip=SECOND)
                refused(INNER)
                program.do(f"t = listen('{INNER}', {PORT})")
                taken(lab, program, PORT, ip=INNER)
                program.do("s.close()")
                lab.wait_for("the first address is nobody's", lambda: "error" in client(lab, PORT, ip=SECOND)[0])
                refused(SECOND)
                taken(lab, program, PORT, ip=INNER)
            lab.wait_for("the agent is gone", lambda: not pids(lab, *AGENTS))


@test("steal.app_calls_out")
def calls_out(lab):
    """The target's own program connects to a server elsewhere, on the port that is stolen: to that very server, also where the rules are NAT's."""
    with own_target(lab) as target, server(lab.cluster.services.start, OUTER, "far:"):
        for way in ("tproxy", "redirect"):
            with Program(lab, "--steal", "--no-publish", target=target.name, env=lab.environment(MIRRORD_STEAL=way)) as program:
                program.do(f"s = listen('0.0.0.0', {PORT})")
                taken(lab, program, PORT, ip=INNER)
                expect(f"its answer ({way})", target.run(f"printf hello | timeout 60 nc -N {OUTER} {PORT}"), "far:hello", lab.log())
            lab.wait_for("the agent is gone", lambda: not pids(lab, *AGENTS))


@test("steal.target_dies")
def dies(lab):
    """Every process of the target's ends, and its link: the session goes on with nobody there, and ends as ever."""
    with own_target(lab) as target:
        program = program_of(lab, target)
        taken(lab, program, PORT, ip=INNER)
        target.cut()
        target.end()
        expect("the program", program.value("1 + 1"), 2, lab.log())
        program.do("s.close()", f"s = listen('0.0.0.0', {PORT + 1})")
        text = program.end()
        expect("its status", program.process.returncode, 0, text + lab.log())
    lab.wait_for("no process is left", lambda: not pids(lab, *AGENTS))


@test("steal.targets_program_restarts")
def restarts(lab):
    """While its port is stolen and a stolen connection is open, the target's program ends and binds its port again; after the session it has it."""
    with Program(lab, "--steal") as program:
        with Echo(lab, lab.cluster.pod.start):
            program.do(f"l = bound('0.0.0.0', {PORT})", "l.listen(9)")
            held = lab.cluster.services.start([*PYTHON, "-c", f"import socket, time\ns = socket.create_connection(('10.244.1.7', {PORT}))\nprint('up', flush=True)\ntime.sleep(60)"],
                                              stdout=subprocess.PIPE, text=True)
            expect("a client", held.stdout.readline(), "up\n", lab.log())
            program.do("c, _ = l.accept()")
        with Echo(lab, lab.cluster.pod.start):
            program.do("l.close()")
            lab.wait_for("the new one answers", lambda: client(lab, PORT)[0].get("answer", "").startswith("real:"))
            held.kill()
            held.communicate()


@test("steal.rules_reloaded")
def reloaded(lab):
    """Somebody flushes all of the target's nftables and routing rules and loads others, again and again: the port stays stolen, their rules stay theirs."""
    table = "table inet lab { chain in { type filter hook input priority 0; tcp dport 1 drop; }; }"
    with own_target(lab) as target:
        target.run(f"nft '{table}'")
        with program_of(lab, target) as program:
            for _ in range(3):
                target.run(f"nft flush ruleset; nft '{table}'; ip rule flush; ip rule add priority 32766 lookup main; ip route flush table 12397")
                lab.wait_for("it is taken", lambda: client(lab, PORT, ip=INNER)[0].get("answer", "").startswith("here:"))
                taken(lab, program, PORT, ip=INNER)
        lab.wait_for("ours are gone", lambda: "12397" not in target.run("nft list ruleset; ip rule; ip route show table all"))
        text = target.run("nft list ruleset")
        expect("tables", [line for line in text.splitlines() if line.startswith("table")], ["table inet lab {"], text)


@test("steal.without_ipv6")
def only_v4(lab):
    """The target's machine has IPv4 only."""
    with own_target(lab) as target:
        target.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
        with program_of(lab, target) as program:
            taken(lab, program, PORT, ip=INNER)
            program.do(f"u = udp('0.0.0.0', {PORT})")
            taken(lab, program, PORT, ip=INNER, kind="SOCK_DGRAM")
            program.do("shut(s)")
            lab.wait_for("its own program's turn", lambda: client(lab, PORT, ip=INNER)[0].get("error") == "ECONNREFUSED")
        with Program(lab, "--steal", "--no-publish", target=target.name, env=lab.environment(MIRRORD_STEAL="redirect")) as program:
            program.do(f"s = listen('0.0.0.0', {PORT})")
            taken(lab, program, PORT, ip=INNER)


@test("steal.loopback_is_down")
def loopback_down(lab):
    """It can't be stolen from a target whose lo is down: that is said at once, without a try; and once it is up, it can."""
    with own_target(lab) as target:
        target.run("ip link set lo down")
        program = Program(lab, "--steal", "--no-publish", target=target.name, env=lab.quiet_environment())
        expect("its listen()", errno_name(program.tell(f"s = listen('0.0.0.0', {PORT})")), "EADDRINUSE", lab.log())
        target.run("ip link set lo up")
        program.do(f"s = listen('0.0.0.0', {PORT})")
        taken(lab, program, PORT, ip=INNER)
        text = program.end()
        for part in ("stealing needs the target's loopback interface (lo), which is down", "mirroring and what leaves the program work without it"):
            expect_in("what is said", text, part, lab.log())


@test("steal.refused_leaves_nothing")
def refused_leaves_nothing(lab):
    """A port that can't be stolen (UDP where tproxy is missing) is refused, and what was made for it is taken away then, not when the session ends."""
    with own_target(lab) as target:
        with Program(lab, "--steal", "--no-publish", target=target.name, env=lab.environment(MIRRORD_STEAL="redirect")) as program:
            program.do(f"u = udp('0.0.0.0', {PORT})")
            lab.wait_for("nothing of ours is there", lambda: "mirrord" not in target.run("nft list ruleset") and not pids(lab, "mirrord-watch"))
            program.do(f"s = listen('0.0.0.0', {PORT})")
            taken(lab, program, PORT, ip=INNER)


@test("steal.untracked")
def untracked(lab):
    """A target whose rules switch connection tracking off, and that drops what is not tracked as new or established elsewhere."""
    table = "table inet lab { chain pre { type filter hook prerouting priority raw; notrack; }; chain out { type filter hook output priority raw; notrack; }; }"
    with own_target(lab) as target:
        target.run(f"nft '{table}'")
        with program_of(lab, target) as program:
            taken(lab, program, PORT, ip=INNER)


@test("incoming.addresses_added_later")
def added(lab):
    """What reaches the target by an address that it has only since the session began is mirrored, and stolen, as all else."""
    with own_target(lab) as target, Echo(lab, target.start):
        for mode, address in (("mirror", "10.99.0.3"), ("steal", "10.99.0.4")):
            with Program(lab, *(["--steal"] if mode == "steal" else []), "--no-publish", target=target.name) as program:
                program.do(f"s = listen('0.0.0.0', {PORT})")
                taken(lab, program, PORT, mode == "mirror", ip=INNER)
                target.run(f"ip addr add {address}/24 dev eth0")
                taken(lab, program, PORT, mode == "mirror", ip=address)
