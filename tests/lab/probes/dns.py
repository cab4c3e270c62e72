# SPDX-License-Identifier: MIT
"""Names: by the target's resolv.conf and hosts, with every kind of resolver."""

import os
import re
import socket
import struct

from labkit import plan
from probes.kit import error_name, probe


def lookup(p, name, port=80, key=None, in_order=True, **hints):
    try:
        infos = socket.getaddrinfo(name, port, **{"type": socket.SOCK_STREAM, **hints})
        found = [[i[0].name, i[4][0], i[3]] for i in infos]
        p.note(key or name, found if in_order else sorted(found))
    except OSError as e:
        p.note(key or name, error_name(e))


@probe(families=(4,))
def getaddrinfo(p):
    for name in ("payment", "payment.shop", "payment.shop.svc", "payment.shop.svc.cluster.test", "payment.shop.svc.cluster.test.", "db.data", "both",
                 "api.example.test", "only4", "only6", "alias", "localhost", "from-hosts-file", "alias-of-hosts-file", "payment-by-hosts",
                 "nothing", "nothing.at.all.test", "10.0.20.5", "fd00:20::5", "2130706433"):
        lookup(p, name)


@probe(families=(4,))
def getaddrinfo_hints(p):
    for family in (socket.AF_INET, socket.AF_INET6):
        for name in ("payment", "only4", "only6", "from-hosts-file"):
            lookup(p, name, key=f"{name} {family.name}", family=family)
    lookup(p, "only4", key="V4MAPPED", family=socket.AF_INET6, flags=socket.AI_V4MAPPED)
    lookup(p, "payment", key="V4MAPPED|ALL", family=socket.AF_INET6, flags=socket.AI_V4MAPPED | socket.AI_ALL)
    lookup(p, "payment", key="ADDRCONFIG", flags=socket.AI_ADDRCONFIG)
    lookup(p, "10.0.20.5", key="NUMERICHOST", flags=socket.AI_NUMERICHOST)
    lookup(p, "payment", "http", key="service name")
    lookup(p, None, 80, key="PASSIVE", flags=socket.AI_PASSIVE)
    p.call("canonical name", lambda: socket.getaddrinfo("alias", 80, flags=socket.AI_CANONNAME)[0][3])


@probe(families=(4,))
def host_names_are_not_the_targets(p):
    """What only the workstation knows is unknown here."""
    for name in ("from-the-hosts-own-file", "laptop.example.test", "workstation"):
        lookup(p, name)


@probe(families=(4,), oracle="host", options=("--no-remote-dns",), modes=("root", "user"))
def no_remote_dns(p):
    """The host's name server and hosts file. (The order of the answers follows from the target's addresses.)"""
    for name in ("laptop.example.test", "laptop", "api.example.test", "payment.shop.svc.cluster.test", "from-the-hosts-own-file", "workstation", "from-hosts-file"):
        lookup(p, name, in_order=False)
    p.note("resolv.conf", open("/etc/resolv.conf").read())


@probe(families=(4,))
def older_calls(p):
    for call, argument in ((socket.gethostbyname, "payment"), (socket.gethostbyname_ex, "both"), (socket.gethostbyname, "nothing"),
                           (socket.gethostbyaddr, "10.0.20.5"), (socket.getfqdn, "payment")):
        try:
            result = call(argument)
            p.note(f"{call.__name__} {argument}", sorted(result[2]) + [result[0]] if isinstance(result, tuple) else result)
        except OSError as e:
            p.note(f"{call.__name__} {argument}", str(e))


@probe(families=(4,))
def reverse(p):
    for ip in ("10.0.20.5", "10.0.20.6", "fd00:20::5", "10.244.1.7", "10.0.99.99", "127.0.0.1"):
        for flags in (0, socket.NI_NAMEREQD):
            try:
                p.note(f"{ip} {flags}", socket.getnameinfo((ip, 80), flags | socket.NI_NUMERICSERV))
            except OSError as e:
                p.note(f"{ip} {flags}", error_name(e))


@probe(families=(4,))
def big_answers(p):
    for name in ("many.cluster.test", "crowd.cluster.test"):
        try:
            found = sorted({i[4][0] for i in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})
            p.note(name, [len(found), found[0], found[-1]])
        except OSError as e:
            p.note(name, error_name(e))


def query(name, kind, ident=0x4321, edns=0):
    out = struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 1 if edns else 0)
    for label in name.split("."):
        out += bytes([len(label)]) + label.encode()
    out += b"\0" + struct.pack("!HH", kind, 1)
    return out + (struct.pack("!BHHIH", 0, 41, edns, 0, 0) if edns else b"")


def tell(p, key, data):
    ident, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", data)
    p.note(key, {"id": ident, "flags": hex(flags), "answers": answers, "bytes": len(data)})


@probe()
def dns_by_hand_udp(p):
    s = p.udp()
    for name, kind in (("payment.shop.svc.cluster.test", 1), ("payment.shop.svc.cluster.test", 28), ("text.cluster.test", 16), ("nothing.cluster.test", 1),
                       ("many.cluster.test", 1), ("5.20.0.10.in-addr.arpa", 12)):
        s.sendto(query(name, kind), p.to("dns", 53))
        data, sender = s.recvfrom(70000)
        p.note(f"{name} {kind} from", sender[0])
        tell(p, f"{name} {kind}", data)
    s.sendto(query("many.cluster.test", 1, edns=4096), p.to("dns", 53))
    tell(p, "with EDNS", s.recv(70000))


@probe()
def dns_by_hand_tcp(p):
    s = p.connect("dns", 53)
    s.setblocking(True)
    for name in ("many.cluster.test", "crowd.cluster.test", "nothing.cluster.test"):
        message = query(name, 1)
        s.sendall(struct.pack("!H", len(message)) + message)
        size, = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))
        tell(p, name, s.recv(size, socket.MSG_WAITALL))


@probe(families=(4,))
def dns_many_at_once(p):
    """100 questions from one socket before the first answer is read."""
    s = p.udp()
    for i in range(100):
        s.sendto(query("payment.shop.svc.cluster.test", 1, ident=i), p.to("dns", 53))
    ids = set()
    try:
        while len(ids) < 100:
            ids.add(struct.unpack_from("!H", s.recv(1000))[0])
    except socket.timeout:
        pass
    p.note("answers", len(ids))


@probe(families=(4,), timeout=60)
def dns_many_sockets(p):
    """A new socket per question, as resolvers do, 500 times."""
    right = 0
    for i in range(500):
        with p.udp() as s:
            s.sendto(query("payment.shop.svc.cluster.test", 1, ident=i), p.to("dns", 53))
            right += struct.unpack_from("!H", s.recv(1000))[0] == i
    p.note("right", right)


@probe(families=(4,))
def dns_nobody_there(p):
    """A question to an address without a name server."""
    s = p.udp(1)
    s.connect(p.to("stranger", 53))
    p.call("send", s.send, query("x.test", 1))
    p.call("recv", s.recv, 100)


def answer_section(text):
    """dig's output without times, ids and cookies."""
    kept = [line for line in text.splitlines() if not re.match(r";; (Query time|WHEN|MSG SIZE|communications)|; <<>>|;; ->>|; COOKIE|;; Got", line)]
    return sorted(line for line in kept if line.strip())


@probe(families=(4,), needs=("dig",))
def dig(p):
    for words in (["payment.shop.svc.cluster.test", "A"], ["payment.shop.svc.cluster.test", "AAAA"], ["+search", "payment"],
                  ["_http._tcp.payment.shop.svc.cluster.test", "SRV"], ["text.cluster.test", "TXT"], ["alias.shop.svc.cluster.test"], ["mail.cluster.test", "MX"],
                  ["nothing.cluster.test"], ["-x", "10.0.20.5"], ["+tcp", "payment.shop.svc.cluster.test"], ["+tcp", "crowd.cluster.test"],
                  ["+bufsize=4096", "many.cluster.test"], ["+noedns", "many.cluster.test"], ["+ignore", "+noedns", "many.cluster.test"]):
        p.program(["dig", "+tries=1", "+time=3", *words], "dig " + " ".join(words), shape=answer_section)
    p.program(["dig", "+tries=1", "+time=2", "@fd00:96::10", "payment.shop.svc.cluster.test"], "dig @v6", shape=answer_section)


@probe(families=(4,), needs=("getent",))
def getent(p):
    for words in (["hosts", "payment"], ["ahosts", "payment"], ["ahostsv4", "only4"], ["hosts", "from-hosts-file"], ["hosts", "10.0.20.5"], ["hosts", "nothing"]):
        p.program(["getent", *words], "getent " + " ".join(words))


@probe(families=(4,), needs=("musl-resolve",))
def musl_resolver(p):
    """musl asks all name servers at once, and reads resolv.conf its own way."""
    for name in ("payment", "payment.shop.svc.cluster.test", "from-hosts-file", "only6", "nothing", "many.cluster.test", "crowd.cluster.test"):
        p.program(["/tmp/lab/bin/musl-resolve", name], f"musl {name}", shape=sorted_lines)


@probe(families=(4,), needs=("go-resolve",))
def go_resolver(p):
    """A static Go program with Go's own resolver."""
    for name in ("payment", "payment.shop.svc.cluster.test", "from-hosts-file", "only6", "nothing", "many.cluster.test", "crowd.cluster.test"):
        p.program(["/tmp/lab/bin/go-resolve", "lookup", name], f"go {name}", shape=sorted_lines)
    for words in (["srv", "http", "tcp", "payment.shop.svc.cluster.test"], ["txt", "text.cluster.test"], ["reverse", "10.0.20.5"], ["hostname"]):
        p.program(["/tmp/lab/bin/go-resolve", *words], "go " + " ".join(words), shape=sorted_lines)


@probe(families=(4,), needs=("go-resolve",))
def go_connects(p):
    p.program(["/tmp/lab/bin/go-resolve", "get", f"http://payment:{plan.HTTP}/from-go"], "go http", shape=without_ports)
    p.program(["/tmp/lab/bin/go-resolve", "get", f"http://payment:{plan.REFUSED}/"], "go refused", shape=without_ports)
    p.program(["/tmp/lab/bin/go-resolve", "get", "http://eyeballs.cluster.test/"], "go happy eyeballs", shape=without_ports)


@probe(families=(4,), needs=("musl-resolve",))
def musl_connects(p):
    p.program(["/tmp/lab/bin/musl-resolve", "payment", str(plan.PEER)], "musl connect", shape=without_ports)
    p.program(["/tmp/lab/bin/musl-resolve", "payment", str(plan.REFUSED)], "musl refused", shape=without_ports)


def sorted_lines(text):
    return sorted(text.splitlines())


def without_ports(text):
    return re.sub(r"(?<=[:\s])([3-6][0-9]{4})\b", "PORT", text)


@probe(families=(4,))
def host_name(p):
    p.note("gethostname", socket.gethostname())
    p.note("uname", os.uname().nodename)
    p.program(["hostname"])
    p.program(["uname", "-n"])
    p.note("/proc", open("/proc/sys/kernel/hostname").read())
    p.note("/etc/hostname", open("/etc/hostname").read())
    p.call("own address", lambda: sorted({i[4][0] for i in socket.getaddrinfo(socket.gethostname(), 80)}))


@probe(families=(4,))
def resolver_files(p):
    p.note("resolv.conf", open("/etc/resolv.conf").read())
    p.note("hosts", open("/etc/hosts").read())
    p.note("nsswitch", [line.split() for line in open("/etc/nsswitch.conf") if line.startswith("hosts:")])


@probe(families=(4,))
def loopback_resolver(p):
    """Docker's resolver at 127.0.0.11, over UDP and TCP."""
    s = p.udp()
    s.sendto(query("db-of-docker", 1), ("127.0.0.11", 53))
    data, sender = s.recvfrom(1000)
    p.note("from", list(sender))
    tell(p, "udp", data)
    s = p.tcp()
    p.call("connect", s.connect, ("127.0.0.11", 53))
    message = query("db-of-docker", 28)
    s.sendall(struct.pack("!H", len(message)) + message)
    tell(p, "tcp", s.recv(1000)[2:])
    p.names(s)


@probe(families=(4,), needs=("dig",))
def loopback_resolver_dig(p):
    p.program(["dig", "+tries=1", "+time=3", "@127.0.0.11", "db-of-docker", "A"], shape=answer_section)
    p.program(["dig", "+tries=1", "+time=3", "@127.0.0.12", "db-of-docker", "A"], "dig nobody", shape=answer_section)


@probe(families=(4,))
def dns_without_environment(p):
    """A program with an empty environment."""
    p.program(["/usr/bin/env", "-i", "/usr/bin/getent", "ahosts", "payment"], "getent")


@probe(families=(4,))
def resolver_options_in_environment(p):
    """The program's own RES_OPTIONS and LOCALDOMAIN still count."""
    p.program(["getent", "ahosts", "payment"], "LOCALDOMAIN", env=dict(os.environ, LOCALDOMAIN="cluster.test"))
    p.program(["getent", "ahosts", "both"], "LOCALDOMAIN both", env=dict(os.environ, LOCALDOMAIN="cluster.test"))
    p.program(["getent", "ahosts", "payment"], "use-vc", env=dict(os.environ, RES_OPTIONS="use-vc"))
