# SPDX-License-Identifier: MIT
"""Other kinds of pods: a /32 without IPv6 and with a dead first name server; two interfaces with several addresses."""

import socket

from labkit import plan
from probes.dns import lookup
from probes.kit import probe
from probes.localhost import connect_to


def connections(p, *places):
    for name, port in places:
        s = connect_to(p, plan.HOSTS.get(name, (name,))[0 if p.family == 4 else -1], port, name)
        p.names(s, f"{name} ")
        p.line(s, f"{name} line") if port in (plan.PEER, plan.POD_LOOPBACK, plan.POD_ANY, plan.POD_ADDRESS) else p.so_error(s)


def sources(p, *names):
    for name in names:
        s = p.udp()
        p.call(f"connect {name}", s.connect, p.to(name, 9))
        p.call(f"source to {name}", s.getsockname)


@probe(families=(4,), pod="calico", timeout=40)
def calico_connections(p):
    connections(p, ("payment", plan.PEER), ("payment", plan.REFUSED), ("127.0.0.1", plan.POD_LOOPBACK), ("calico", plan.POD_LOOPBACK), ("127.0.0.1", 20),
                ("calico", 20), ("pod2", plan.POD_LOOPBACK), ("unreachable", 80), ("pod", plan.POD_ADDRESS))


@probe(families=(4,), pod="calico")
def calico_without_ipv6(p):
    for ip in ("fd00:20::5", "::1", "::ffff:10.0.20.5", "fe80::1"):
        try:
            s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        except OSError as e:
            p.note("socket", str(e))
            continue
        s.settimeout(3)
        p.call(ip, s.connect, (ip, plan.PEER))
        p.names(s, f"{ip} ")
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    p.call("bind ::1", s.bind, ("::1", 0))
    p.call("datagram", s.sendto, b"x", ("fd00:20::5", 9))


@probe(families=(4,), pod="calico")
def calico_view(p):
    p.note("names", [name for _, name in socket.if_nameindex()])
    p.note("host", socket.gethostname())
    sources(p, "payment", "outside", "pod2", "calico")
    p.call("bind", socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind, (plan.HOSTS["calico"][0], 0))


@probe(families=(4,), pod="calico", timeout=60)
def calico_dead_name_server(p):
    """The first name server never answers; the second one does, after the program's own timeout."""
    with p.timed("lookup"):
        lookup(p, "both")
    p.note("resolv.conf", open("/etc/resolv.conf").read())


@probe(families=(4,), pod="calico")
def calico_datagrams(p):
    s = p.udp()
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER))
    p.call("getsockname", s.getsockname)
    s = p.udp()
    s.connect(p.to("payment", plan.REFUSED))
    p.call("send", s.send, b"x")
    p.call("recv", s.recv, 10)


@probe(pod="multus", settle=1)
def multus_connections(p):
    """Each destination by its own interface, with its own source address."""
    connections(p, ("payment", plan.PEER), ("stranger", plan.PEER), ("storage", plan.PEER), ("slow", plan.PEER), ("outside", plan.PEER))


@probe(pod="multus")
def multus_sources(p):
    sources(p, "payment", "stranger", "storage", "slow", "outside", "multus", "multus_net1", "pod")


@probe(families=(4,), pod="multus")
def multus_own_addresses(p):
    for name in ("multus", "multus_second", "multus_net1"):
        connections(p, (name, plan.POD_ANY), (name, plan.POD_ADDRESS))


@probe(families=(4,), pod="multus")
def multus_bound(p):
    """Bound to each of its addresses, to each destination."""
    for own in ("multus", "multus_second", "multus_net1"):
        for host in ("payment", "storage"):
            s = p.tcp(3)
            p.call(f"{own} bind", s.bind, (plan.HOSTS[own][0], 0))
            p.call(f"{own} to {host}", s.connect, (plan.HOSTS[host][0], plan.PEER))
            p.line(s, f"{own} to {host} line")


@probe(families=(4,), pod="multus")
def multus_datagrams(p):
    for host in ("payment", "stranger", "storage"):
        s = p.udp()
        p.exchange(s, b"x", p.to(host, plan.UDP_PEER), host)
    s = p.udp()
    p.call("bind", s.bind, (plan.HOSTS["multus_second"][0], 0))
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER), "from the second address")


@probe(families=(4,), pod="multus")
def multus_names(p):
    """A name server with an IPv6 address."""
    for name in ("payment", "both", "payment.shop", "nothing"):
        lookup(p, name)
    p.note("host", socket.gethostname())


@probe(families=(4,), pod="multus")
def multus_view(p):
    p.note("interfaces", sorted(name for _, name in socket.if_nameindex()))
    p.program(["ip", "-j", "address"], shape=addresses_of)


def addresses_of(text):
    import json
    return sorted(f"{a['local']}/{a['prefixlen']}" for i in json.loads(text) for a in i["addr_info"] if a["scope"] == "global")
