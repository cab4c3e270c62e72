# SPDX-License-Identifier: MIT
"""Outgoing and DNS filters: which side a destination is reached from, by name, address, port, protocol, family. Every place that is asked
says whom it saw; names have other addresses here than there."""

import contextlib
import json
import os
import subprocess

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, test

CONFIG = "/tmp/lab/home/filters.json"
OUTSIDE4, OUTSIDE6 = plan.HOSTS["outside"]
PAYMENT4, PAYMENT6 = plan.HOSTS["payment"]

# Each argument: tcp|udp HOST PORT, or name NAME; a line with what was seen for each
ASK = r"""
import json, socket, sys
def ask(kind, host, port=0):
    if kind == "name":
        return " ".join(sorted({a[4][0] for a in socket.getaddrinfo(host, None)}))
    if kind == "tcp":
        s = socket.create_connection((host, int(port)), 20)
        return json.loads(s.makefile().readline())["peer"]["ip"]
    info = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    s = socket.socket(info[0], socket.SOCK_DGRAM)
    s.settimeout(30)
    s.sendto(b"x", info[4])
    return json.loads(s.recv(4096))["peer"]["ip"]
for line in sys.argv[1:]:
    try:
        print(ask(*line.split()))
    except OSError as e:
        print("failed:", e.args[1] if len(e.args) > 1 else e)
"""
SIDES = {plan.HOSTS["pod"][0]: "target", plan.HOSTS["pod"][1]: "target", plan.HOSTS["host"][0]: "here", plan.HOSTS["host"][1]: "here",
         "127.0.0.1": "loopback"}


def configure(network, **more):
    with open(CONFIG, "w") as f:
        json.dump({"feature": {"network": network, **more}}, f)
    os.chmod(CONFIG, 0o644)


def ask(lab, questions, options=()):
    done = lab.mirrord([*PYTHON, "-c", ASK, *questions], options=["-f", CONFIG, *options], env=lab.environment(MIRRORD_LOG="debug"))
    expect("status", done.status, 0, str(done) + lab.log())
    return [SIDES.get(line, line) for line in done.out.splitlines()], str(done) + lab.log()


def row(name, network, **wanted):
    """@wanted: question → side or answer; `_` stands for a space, `__` for a point, in names of keywords."""
    @test("filters." + name)
    def run(lab):
        configure(network)
        questions = wanted["asked"]
        seen, detail = ask(lab, list(questions))
        expect("seen", dict(zip(questions, seen)), questions, detail)


def outgoing(side, *entries, **more):
    return {"outgoing": {"filter": {side: list(entries)}, **more}}


T4, T6 = f"tcp {OUTSIDE4} {plan.PEER}", f"tcp {OUTSIDE6} {plan.PEER}"
U4, U6 = f"udp {OUTSIDE4} {plan.UDP_PEER}", f"udp {OUTSIDE6} {plan.UDP_PEER}"
PAY4, PAY6 = f"tcp {PAYMENT4} {plan.PEER}", f"tcp {PAYMENT6} {plan.PEER}"
LAPTOP, PAY = f"tcp laptop.example.test {plan.PEER}", f"tcp payment {plan.PEER}"

row("nothing", {}, asked={T4: "target", T6: "target", U4: "target"})
row("local_address", outgoing("local", OUTSIDE4), asked={T4: "here", U4: "here", T6: "target", PAY4: "target"})
row("local_address6", outgoing("local", f"[{OUTSIDE6}]"), asked={T6: "here", U6: "here", T4: "target", PAY6: "target"})
row("local_mapped", outgoing("local", OUTSIDE4), asked={f"tcp ::ffff:{OUTSIDE4} {plan.PEER}": "here"})
row("local_prefix", outgoing("local", "198.51.100.0/24", "2001:db8:51::/48"), asked={T4: "here", T6: "here", U4: "here", U6: "here", PAY4: "target"})
row("local_tcp", outgoing("local", f"tcp://{OUTSIDE4}"), asked={T4: "here", U4: "target"})
row("local_udp", outgoing("local", "udp://198.51.100.0/24"), asked={T4: "target", U4: "here"})
row("local_port", outgoing("local", f":{plan.PEER}"), asked={T4: "here", T6: "here", U4: "here"})
row("local_port_range", outgoing("local", f"tcp://:{plan.PEER - 10}-{plan.PEER + 10}"), asked={T4: "here", U4: "target"})
row("local_other_port", outgoing("local", f"{OUTSIDE4}:{plan.PEER + 1}"), asked={T4: "target"})
row("remote_address", outgoing("remote", PAYMENT4), asked={PAY4: "target", T4: "here", U4: "here"})
row("remote_prefixes", outgoing("remote", "10.0.0.0/8", "[fd00::]/8"), asked={PAY4: "target", PAY6: "target", T4: "here", T6: "here", U6: "here"})
row("remote_udp", outgoing("remote", "udp://"), asked={U4: "target", U6: "target", T4: "here"})
row("remote_name", outgoing("remote", "payment"), asked={PAY: "target", T4: "here"})
row("remote_name_whole", outgoing("remote", "payment.shop.svc.cluster.test"), asked={PAY: "target", T4: "here"})
row("remote_wildcard", outgoing("remote", "**.cluster.test"), asked={PAY: "target", f"udp payment {plan.UDP_PEER}": "target", T4: "here"})
row("remote_alias", outgoing("remote", "payment.shop.svc.cluster.test"), asked={f"tcp alias {plan.PEER}": "target", T4: "here"})
row("local_name", outgoing("local", "laptop.example.test"),
    asked={LAPTOP: "here", f"udp laptop.example.test {plan.UDP_PEER}": "here", PAY: "target"})
row("local_wildcard", outgoing("local", "*.example.test"), asked={LAPTOP: "here", PAY: "target", "name api.example.test": "203.0.113.10"})
row("tcp_off", {"outgoing": {"tcp": False}}, asked={T4: "here", U4: "target"})
row("all_off", {"outgoing": False}, asked={T4: "here", U4: "here"})

DNS = {"dns": {"filter": {"local": ["*.example.test", "payment", "from-the-hosts-own-file", "db-*.host"]}}}
row("dns_local", DNS, asked={"name api.example.test": "203.0.113.10", "name laptop.example.test": f"{OUTSIDE4} {OUTSIDE6}",
                             "name from-the-hosts-own-file": "203.0.113.1", "name db.data.svc.cluster.test": "10.0.20.6",
                             "name no-such.example.test": "failed: Name or service not known"})
row("dns_local_search", DNS, asked={"name payment.shop.svc.cluster.test": "203.0.113.9"})
row("dns_remote", {"dns": {"filter": {"remote": ["**.cluster.test", "payment"]}}},
    asked={"name payment": f"{PAYMENT4} {PAYMENT6}", "name api.example.test": "203.0.113.10", "name from-the-hosts-own-file": "203.0.113.1"})
row("dns_off", {"dns": False}, asked={"name api.example.test": "203.0.113.10", "name from-the-hosts-own-file": "203.0.113.1"})


@test("filters.last_name_decides")
def last_name_decides(lab):
    """Two names have one address, one here and one there: the one that was asked for last says where the address is reached from."""
    configure(outgoing("local", "laptop.example.test"))
    here, there = "name laptop.example.test", "name api.example.test"
    seen, detail = ask(lab, [here, T4, there, T4, here, T4])
    expect("seen", seen[1::2], ["here", "target", "here"], detail)


@test("filters.log_tells_the_rule_once")
def log_tells(lab):
    """Each destination once, with the rule that decided and the name."""
    configure(outgoing("local", "laptop.example.test", OUTSIDE4))
    done = lab.mirrord([*PYTHON, "-c", ASK, LAPTOP, T4, PAY4], options=["-f", CONFIG], env=lab.environment(MIRRORD_LOG="info"))
    lines = [line.split("outgoing: ", 1)[1] for line in lab.log(1000).splitlines() if "outgoing: " in line]
    expect("lines", lines, [
        f'tcp {OUTSIDE4}:{plan.PEER} (laptop.example.test.shop.svc.cluster.test): leaves from this machine: '
        '"laptop.example.test" of feature.network.outgoing.filter.local',
        f"tcp {PAYMENT4}:{plan.PEER}: leaves from the target: no rule of feature.network.outgoing.filter.local matches"], str(done) + lab.log())


@contextlib.contextmanager
def here_on_localhost(lab, port):
    """A server on this machine's localhost, of which the target knows nothing."""
    server = lab.start([*PYTHON, "-c", f"import socket; s = socket.create_server(('127.0.0.1', {port})); print('up', flush=True)\n"
                                       "while 1: s.accept()[0].sendall(b'{\"peer\": {\"ip\": \"here\"}}\\n')"])
    try:
        expect("the server", server.stdout.readline(), "up\n")
        yield
    finally:
        server.kill()
        server.communicate()


@test("filters.ignore_localhost")
def ignore_localhost(lab):
    """localhost is this machine's."""
    configure({"outgoing": {"ignore_localhost": True}})
    with here_on_localhost(lab, 7717):
        seen, detail = ask(lab, ["tcp 127.0.0.1 7717", f"tcp 127.0.0.1 {plan.POD_LOOPBACK}"])
        expect("seen", seen, ["here", "failed: Connection refused"], detail)


@test("filters.debugger_ports")
def debugger_ports(lab):
    """A debugger that waits for the program on this machine's localhost: named by what IDEs set, by the program's own words or variables, or by a child's."""
    configure({})
    asked = [*PYTHON, "-c", ASK, "tcp 127.0.0.1 7717", "tcp 127.0.0.1 7718", T4]
    java = {"MIRRORD_DETECT_DEBUGGER_PORT": "javaagent", "AGENT": "-agentlib:jdwp=transport=dt_socket,server=n,address=localhost:7717"}
    for command, variables in ((asked, {"MIRRORD_IGNORE_DEBUGGER_PORTS": "7000-7717,9"}),
                               (asked, {**java, "JAVA_TOOL_OPTIONS": java["AGENT"]}),
                               (["sh", "-c", 'JAVA_TOOL_OPTIONS=$AGENT "$@"; :', "sh", *asked], java)):
        with here_on_localhost(lab, 7717):
            done = lab.mirrord(command, options=["-f", CONFIG], env=lab.environment(**variables))
            expect("seen", [SIDES.get(line, line) for line in done.out.splitlines()], ["here", "failed: Connection refused", "target"], str(done) + lab.log())


@contextlib.contextmanager
def dnsmasq(lab, *options, address="127.0.0.53"):
    """The host's own resolver: on its loopback, as systemd-resolved is, or on @address, with other answers than its upstream's."""
    with open("/etc/resolv.conf") as f:
        before = f.read()
    server = lab.start(["dnsmasq", "-d", "--conf-file=/dev/null", "--user=root", "--no-hosts", "--pid-file=", "--no-resolv", "--server=192.0.2.1",
                        "--bind-interfaces", f"--listen-address={address}", "--port=53", *options], where=lambda: None, stdout=subprocess.DEVNULL)
    try:
        for line in server.stderr:
            if "started" in line or "using nameserver" in line:
                break
        with open("/etc/resolv.conf", "w") as f:
            f.write(f"nameserver {address}\n")
        yield server
    finally:
        with open("/etc/resolv.conf", "w") as f:
            f.write(before)
        server.kill()
        server.communicate()


DIG = ["dig", "+short", "+tries=2", "+time=10"]


@test("filters.split_dns", modes=("root",), needs=("dnsmasq", "dig"))
def split_dns(lab):
    """Every type of record: of a VPN's domain by this machine's resolver, of the cluster's by the target's."""
    configure({"dns": {"filter": {"local": ["**.vpn.test", "10.77.0.0/16"]}}})
    records = ["--host-record=git.vpn.test,10.77.0.1", "--txt-record=git.vpn.test,local text", "--srv-host=_ssh._tcp.vpn.test,git.vpn.test,22",
               "--cname=www.vpn.test,git.vpn.test", "--mx-host=mx.vpn.test,git.vpn.test,5"]
    with dnsmasq(lab, *records):
        for question, answer in [(["git.vpn.test"], "10.77.0.1"), (["git.vpn.test", "TXT"], '"local text"'), (["_ssh._tcp.vpn.test", "SRV"], "0 0 22 git.vpn.test."),
                                 (["www.vpn.test", "CNAME"], "git.vpn.test."), (["mx.vpn.test", "MX"], "5 git.vpn.test."), (["-x", "10.77.0.1"], "git.vpn.test."),
                                 (["text.cluster.test", "TXT"], '"a text of the cluster" "and a second"'), (["payment.shop.svc.cluster.test"], "10.0.20.5"),
                                 (["mail.cluster.test", "MX"], "5 payment.shop.svc.cluster.test."), (["no-such.vpn.test"], "")]:
            for way in ([], ["+tcp"]):
                done = lab.mirrord([*DIG, *way, *question], options=["-f", CONFIG])
                expect(" ".join(way + question), done.out.strip(), answer, str(done) + lab.log())


@test("filters.local_names_and_aliases", modes=("root",), needs=("dnsmasq", "dig"))
def names_and_aliases(lab):
    """What this machine's resolver says beyond addresses: what a name is an alias of, what an address's name is by the hosts file and by its name servers,
    and that there is such a name, but no address."""
    configure({"dns": {"filter": {"local": ["**.vpn.test", "10.77.0.0/16", "fd77::/16", "203.0.113.0/24"]}}})
    records = ["--host-record=git.vpn.test,10.77.0.1,fd77::1", "--cname=www.vpn.test,git.vpn.test", "--txt-record=text.vpn.test,x",
               "--dns-rr=https.vpn.test,65,00010000010003026832"]
    with dnsmasq(lab, *records):
        for question, answer in [(["www.vpn.test"], "git.vpn.test.\n10.77.0.1"), (["www.vpn.test", "AAAA"], "git.vpn.test.\nfd77::1"),
                                 (["-x", "10.77.0.1"], "git.vpn.test."), (["-x", "fd77::1"], "git.vpn.test."), (["-x", "10.77.0.2"], ""),
                                 (["-x", "203.0.113.1"], "from-the-hosts-own-file."), (["https.vpn.test", "HTTPS"], '1 . alpn="h2"'), (["text.vpn.test"], "")]:
            done = lab.mirrord([*DIG, *question], options=["-f", CONFIG])
            expect(" ".join(question), done.out.strip(), answer, str(done) + lab.log())
        for name, status in (("text.vpn.test", "NOERROR"), ("no-such.vpn.test", "NXDOMAIN")):
            done = lab.mirrord([*DIG, "+noshort", "+comments", name], options=["-f", CONFIG])
            expect(name, f"status: {status}," in done.out, True, str(done) + lab.log())


@test("filters.long_answers", modes=("root",), needs=("dnsmasq", "dig"))
def long_answers(lab):
    """An answer of this machine's that fits into no datagram: cut by UDP, as the name server cuts it, and whole by TCP, to which dig changes by itself."""
    configure({"dns": {"filter": {"local": ["*.vpn.test"]}}})
    texts = [f"{i:02}" + "x" * 198 for i in range(30)]
    with dnsmasq(lab, *[f"--txt-record=long.vpn.test,{t}" for t in texts]):
        for way in ([], ["+tcp"], ["+bufsize=512"]):
            done = lab.mirrord([*DIG, *way, "long.vpn.test", "TXT"], options=["-f", CONFIG])
            expect(" ".join(way), sorted(line.strip('"') for line in done.out.splitlines()), texts, str(done) + lab.log())
        done = lab.mirrord([*DIG, "+ignore", "+noshort", "+comments", "long.vpn.test", "TXT"], options=["-f", CONFIG])
        expect("flags", "tc" in done.out.split("flags:")[1].split(";")[0].split(), True, str(done))


MANY = r"""
import concurrent.futures, socket
def look(i):
    try:
        return socket.getaddrinfo(f"h{i}.vpn.test" if i % 2 else "payment.shop.svc.cluster.test", 80, socket.AF_INET)[0][4][0]
    except OSError as e:
        return str(e)
with concurrent.futures.ThreadPoolExecutor(100) as pool:
    seen = list(pool.map(look, range(1000)))
wrong = [(i, s) for i, s in enumerate(seen) if s != (f"10.77.{i // 250}.{i % 250}" if i % 2 else "10.0.20.5")]
print(len(wrong), wrong[:3])
"""


@test("filters.many_lookups", modes=("root",), needs=("dnsmasq",))
def many_lookups(lab):
    """1,000 lookups, 100 at once, half of them answered here."""
    configure({"dns": {"filter": {"local": ["*.vpn.test"]}}})
    with dnsmasq(lab, *[f"--host-record=h{i}.vpn.test,10.77.{i // 250}.{i % 250}" for i in range(1, 1000, 2)]):
        done = lab.mirrord([*PYTHON, "-c", MANY], options=["-f", CONFIG])
        expect("wrong answers", done.out, "0 []\n", str(done) + lab.log())


CHANGE = r"""
import socket, sys, time
def look():
    return socket.getaddrinfo("moving.vpn.test", 80, socket.AF_INET)[0][4][0]
print(look(), flush=True)
sys.stdin.readline()
end = time.monotonic() + 30
while (now := look()) == "10.77.0.1" and time.monotonic() < end:
    time.sleep(0.05)
print(now, flush=True)
"""


@test("filters.answers_change", modes=("root",), needs=("dnsmasq",))
def answers_change(lab):
    """An answer of this machine's isn't kept: the next question sees the new one."""
    configure({"dns": {"filter": {"local": ["*.vpn.test"]}}})
    hosts = "/tmp/lab/moving-hosts"
    with open(hosts, "w") as f:
        f.write("10.77.0.1 moving.vpn.test\n")
    with dnsmasq(lab, f"--addn-hosts={hosts}", "--local-ttl=1") as server:
        p = lab.start_mirrord([*PYTHON, "-c", CHANGE], options=["-f", CONFIG], stdin=subprocess.PIPE)
        expect("first", p.stdout.readline(), "10.77.0.1\n", lab.log())
        with open(hosts, "w") as f:
            f.write("10.77.0.2 moving.vpn.test\n")
        server.send_signal(1)
        out, err = p.communicate("\n", timeout=PROMPT)
        expect("then", out, "10.77.0.2\n", err + lab.log())
    os.unlink(hosts)


@test("filters.target_without_default_route")
def no_default_route(lab):
    """What the target can't reach, or may not, this machine may; what is left to the target fails there as ever."""
    pod = lab.cluster.nodes["pod"]
    routes = pod.run(["ip", "route", "show", "default"]).strip()
    pod.run(["ip", "route", "del", "default"])
    pod.ip(f"route add unreachable {OUTSIDE6}")
    try:
        configure(outgoing("local", OUTSIDE4, f"[{OUTSIDE6}]"))
        seen, detail = ask(lab, [T4, T6, "tcp 203.0.113.77 80"])
        expect("seen", seen, ["here", "here", f"failed: {os.strerror(101)}"], detail)
    finally:
        pod.ip(f"route del unreachable {OUTSIDE6}", "route add " + routes)


REMOTE_FAILS = f"failed: {os.strerror(101)}"


def expect_both_families(lab, target, far4):
    """@far4: what is seen of the place that is left to the target, by IPv4."""
    configure(outgoing("local", OUTSIDE4, f"[{OUTSIDE6}]", "laptop.example.test"))
    questions = {T4: "here", T6: "here", U4: "here", U6: "here", LAPTOP: "here", PAY4: far4, PAY6: REMOTE_FAILS}
    seen, detail = ask(lab, questions, ["-t", target])
    expect("seen", dict(zip(questions, seen)), questions, detail)


@test("filters.target_without_ipv6")
def target_without_ipv6(lab):
    """This machine has IPv6: what stays here has it, and for what is left to the target it is as in the target."""
    expect_both_families(lab, f"pid/{lab.cluster.nodes['calico'].pid}", plan.HOSTS["calico"][0])


@contextlib.contextmanager
def lo_alone(lab):
    """A target as a container that has no network."""
    target = lab.cluster.pod.start(["unshare", "-n", "sh", "-c", "ip link set lo up; echo up; exec sleep infinity"], stdout=subprocess.PIPE, text=True)
    try:
        expect("the target", target.stdout.readline(), "up\n")
        yield f"pid/{target.pid}"
    finally:
        target.kill()
        target.communicate()


@test("filters.target_with_lo_alone")
def target_with_lo_alone(lab):
    with lo_alone(lab) as target:
        expect_both_families(lab, target, REMOTE_FAILS)


@test("filters.addresses_alone_open_their_way_alone")
def way_to_addresses(lab):
    """A rule for addresses: what else the target can't reach fails as there, also for a datagram, of which no error would tell."""
    configure(outgoing("local", f"[{OUTSIDE6}]"))
    questions = {T6: "here", U6: "here", PAY6: REMOTE_FAILS, f"udp {PAYMENT6} {plan.UDP_PEER}": REMOTE_FAILS, PAY4: plan.HOSTS["calico"][0]}
    seen, detail = ask(lab, questions, ["-t", f"pid/{lab.cluster.nodes['calico'].pid}"])
    expect("seen", dict(zip(questions, seen)), questions, detail)


@test("filters.name_servers_out_of_the_targets_reach", modes=("root",), needs=("dnsmasq", "dig"))
def name_servers_out_of_reach(lab):
    """Without feature.network.dns this machine's name servers are asked, where the target has no way to them, too."""
    configure({"dns": False})
    for address in plan.HOSTS["host"]:
        with dnsmasq(lab, "--host-record=git.vpn.test,10.77.0.1", address=address), lo_alone(lab) as target:
            done = lab.mirrord([*DIG, "git.vpn.test"], options=["-f", CONFIG, "-t", target])
            expect(address, done.out.strip(), "10.77.0.1", str(done) + lab.log())


UNTIL = r"""
import json, socket, sys, time
host, port, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3]
end = time.monotonic() + 90
while time.monotonic() < end:
    try:
        seen = json.loads(socket.create_connection((host, port), 5).makefile().readline())["peer"]["ip"]
    except OSError as e:
        seen = str(e)
    if seen == wanted:
        break
    time.sleep(0.1)
print(seen)
"""


def by_address(name, network, host, side):
    @test("filters.background_" + name)
    def run(lab):
        """The program knows the address already, so no question is seen: the session looks the filter's names up itself."""
        configure(network)
        wanted = plan.HOSTS["pod" if side == "target" else "host"][0]
        done = lab.mirrord([*PYTHON, "-c", UNTIL, host, str(plan.PEER), wanted], options=["-f", CONFIG])
        expect("seen", done.out.strip(), wanted, str(done) + lab.log())


by_address("here", outgoing("local", "laptop.example.test"), OUTSIDE4, "here")
by_address("target", outgoing("remote", "payment"), PAYMENT4, "target")
by_address("hosts_file", outgoing("remote", "payment-by-hosts"), PAYMENT4, "target")


PIPELINE = r"""
import socket, struct, sys
def name(text):
    return b"".join(bytes([len(l)]) + l.encode() for l in text.split(".")) + b"\0"
names = [("h%d.vpn.test" % i) if i % 2 else "payment.shop.svc.cluster.test" for i in range(200)]
s = socket.create_connection((sys.argv[1], 53), 20)
for i, n in enumerate(names):
    q = struct.pack("!HHHHHH", i, 0x100, 1, 0, 0, 0) + name(n) + b"\0\1\0\1"
    m = struct.pack("!H", len(q)) + q
    s.sendall(m[:7])
    s.sendall(m[7:])
s.shutdown(socket.SHUT_WR)
f, seen = s.makefile("rb"), {}
while head := f.read(2):
    m = f.read(struct.unpack("!H", head)[0])
    seen[struct.unpack_from("!H", m)[0]] = ".".join(map(str, m[m.index(b"\0\1\0\1", 12) + 16:][:4])) if m[3] & 15 == 0 else m[3] & 15
wrong = [(i, seen.get(i)) for i, n in enumerate(names) if seen.get(i) != ("10.77.0.%d" % (i % 250) if i % 2 else "10.0.20.5")]
print(len(seen), wrong[:3])
"""


@test("filters.many_questions_in_a_connection", modes=("root",), needs=("dnsmasq",))
def many_questions(lab):
    """200 questions at once over one TCP connection, cut anywhere, half of them answered here; then a half-close."""
    configure({"dns": {"filter": {"local": ["*.vpn.test"]}}})
    with dnsmasq(lab, *[f"--host-record=h{i}.vpn.test,10.77.0.{i % 250}" for i in range(1, 200, 2)]):
        done = lab.mirrord([*PYTHON, "-c", PIPELINE, plan.HOSTS["dns"][0]], options=["-f", CONFIG])
        expect("answers, wrong ones", done.out, "200 []\n", str(done) + lab.log())


def client(name, argv, needs):
    """Real programs, each with its own way to look names up: a name here, then one there; a line of JSON from each place that is reached."""
    @test("filters.client_" + name, needs=needs)
    def run(lab):
        configure({"outgoing": {"filter": {"local": ["*.example.test"]}}})
        for host, side in (("laptop.example.test", "here"), ("payment", "target")):
            p = lab.start_mirrord([a.replace("HOST", host).replace("PORT", str(plan.PEER)) for a in argv], options=["-f", CONFIG], stdin=subprocess.PIPE)
            line = p.stdout.readline()
            p.kill()
            _, err = p.communicate(timeout=PROMPT)
            try:
                seen = SIDES.get(json.loads(line)["peer"]["ip"])
            except ValueError:
                seen = line
            expect(host, seen, side, err + lab.log())


# With a pipe curl waits for input when an answer has taken 100 ms, and looks at nothing else.
client("curl", ["sh", "-c", "exec curl -sN -m 60 telnet://HOST:PORT </dev/null"], ("curl",))
client("netcat", ["nc", "-w", "60", "HOST", "PORT"], ("nc",))
client("node", ["node", "-e", "require('net').connect(PORT, 'HOST', function () { this.on('data', d => { console.log(String(d)); process.exit() }) })"], ("node",))
client("node_own_resolver", ["node", "-e", "require('dns').resolve4('HOST', (e, a) => e && 'HOST'.includes('.') ? console.log(e) : "
                             "require('net').connect(PORT, a ? a[0] : 'HOST', function () { this.on('data', d => { console.log(String(d)); process.exit() }) }))"],
       ("node",))
client("musl", ["/tmp/lab/bin/musl-resolve", "HOST", "PORT"], ("musl-resolve",))


@test("filters.static_go", needs=("go-resolve",))
def static_go(lab):
    """A static program with a resolver of its own."""
    configure({"dns": {"filter": {"local": ["*.example.test", "from-the-hosts-own-file"]}}})
    for host, addresses in (("from-the-hosts-own-file", ["203.0.113.1"]), ("api.example.test", ["203.0.113.10"]), ("payment", [PAYMENT4, PAYMENT6])):
        done = lab.mirrord(["/tmp/lab/bin/go-resolve", "lookup", host], options=["-f", CONFIG])
        expect(host, sorted(done.out.split()), addresses, str(done) + lab.log())


@test("filters.session_dies")
def session_dies(lab):
    """Its resolver goes with it. (What is left is looked for after each test.)"""
    configure(DNS)
    p = lab.start_mirrord([*PYTHON, "-c", "import socket, time; print(socket.gethostbyname('api.example.test'), flush=True); time.sleep(30)"],
                          options=["-f", CONFIG])
    expect("an answer of this machine's", p.stdout.readline(), "203.0.113.10\n", lab.log())
    expect("the resolver", len(lab.processes("mirrord-resolve")), 1)
    for pid in lab.processes("mirrord-session"):
        os.kill(pid, 9)
    p.communicate(timeout=PROMPT)
    lab.wait_for("no resolver", lambda: not lab.processes("mirrord-resolve"))


@test("filters.resolver_dies")
def resolver_dies(lab):
    """Everything else goes on, and a second later another one answers local names."""
    configure(DNS)
    script = ("import socket, sys\ndef look(n):\n try: print(socket.gethostbyname(n), flush=True)\n except OSError as e: print(e.args[1], flush=True)\n"
              "for line in sys.stdin: look(line.strip())")
    p = lab.start_mirrord([*PYTHON, "-c", script], options=["-f", CONFIG], stdin=subprocess.PIPE)

    def look(name):
        p.stdin.write(name + "\n")
        p.stdin.flush()
        return p.stdout.readline().strip()
    expect("before", look("api.example.test"), "203.0.113.10", lab.log())
    for pid in lab.processes("mirrord-resolve"):
        os.kill(pid, 9)
    lab.wait_for("its end", lambda: not lab.processes("mirrord-resolve"))
    expect("another name", look("db.data.svc.cluster.test"), "10.0.20.6", lab.log())
    lab.wait_for("another resolver", lambda: look("api.example.test") == "203.0.113.10")
    p.communicate(timeout=PROMPT)


@test("config.agent_log_level")
def agent_log_level(lab):
    """The agent's level is its own, where it is set."""
    for agent, session, seen in (("debug", "error", True), ("mirrord=error,debug", "debug", False)):
        with open(CONFIG, "w") as f:
            json.dump({"agent": {"log_level": agent}}, f)
        os.chmod(CONFIG, 0o644)
        done = lab.mirrord([*PYTHON, "-c", ASK, T4], options=["-f", CONFIG], env=lab.environment(MIRRORD_LOG=session))
        expect("status", done.status, 0, str(done))
        # The session has said where the connection left from, the agent at its end that the session is gone
        lab.wait_for("both have ended", lambda: not lab.processes("mirrord-session") and not lab.processes("mirrord-agent"))
        expect(f"lines of the agent's with {agent}", "mirrord-agent[" in lab.log(1000), seen, lab.log())
        expect(f"lines of the session's with {session}", "mirrord-session[" in lab.log(1000), not seen, lab.log())
