# SPDX-License-Identifier: MIT
"""What a program sees when it looks at the network instead of using it."""

import fcntl
import json
import os
import re
import socket
import struct

from labkit import plan
from probes.kit import error_name, probe


@probe(families=(4,))
def interfaces(p):
    p.note("if_nameindex", [name for _, name in socket.if_nameindex()])
    s = p.udp()
    for name in ("lo", "eth0"):
        request = struct.pack("16s24x", name.encode())
        p.note(f"{name} address", socket.inet_ntoa(fcntl.ioctl(s, 0x8915, request)[20:24]))
        p.note(f"{name} netmask", socket.inet_ntoa(fcntl.ioctl(s, 0x891B, request)[20:24]))
        flags, = struct.unpack_from("H", fcntl.ioctl(s, 0x8913, request), 16)
        p.note(f"{name} flags", hex(flags))


@probe(families=(4,))
def interface_mtu(p):
    s = p.udp()
    for name in ("lo", "eth0"):
        p.note(name, struct.unpack_from("i", fcntl.ioctl(s, 0x8921, struct.pack("16s24x", name.encode())), 16)[0])


@probe(families=(4,), needs=("ip",))
def addresses(p):
    def shape(text):
        return [[i["ifname"], sorted(f"{a['local']}/{a['prefixlen']} {a['scope']}" for a in i["addr_info"] if a["scope"] != "link")] for i in json.loads(text)]
    p.program(["ip", "-j", "address"], shape=shape)


@probe(families=(4, 6), needs=("ip",))
def routes(p):
    p.program(["ip", f"-{p.family}", "route", "show", "table", "main"], shape=lambda t: sorted(re.sub(r" (metric|proto|pref|expires|linkdown) \S+", "", x).strip() for x in t.splitlines()))


@probe(needs=("ip",))
def route_get(p):
    for host in ("payment", "pod_neighbour", "pod", "outside", "pod_unreachable", "pod_prohibited", "pod_blackhole", "host"):
        p.program(["ip", "-o", "route", "get", p.ip(host)], f"to {host}", shape=lambda t: re.sub(r"\s+", " ", re.sub(r"uid \d+|cache|metric \d+|pref \w+|\\|proto \w+", "", t)).strip())
    p.program(["ip", "-o", "route", "get", p.loopback], "to loopback", shape=lambda t: " ".join(t.split()[:6]))


@probe()
def source_address_choice(p):
    """Which address a socket would use, without sending anything."""
    for host in ("payment", "pod2", "outside", "dns", "pod", "pod_neighbour"):
        s = p.udp()
        p.call(f"connect {host}", s.connect, p.to(host, 9))
        p.call(host, s.getsockname)


@probe(families=(4,))
def proc_net_tcp(p):
    """The program's own connections stand there with the addresses that it knows."""
    s = p.connect("payment", plan.IDLE)
    mine = "%s:%04X" % ("".join("%02X" % b for b in reversed(socket.inet_aton(s.getsockname()[0]))), s.getsockname()[1])
    with open("/proc/net/tcp") as f:
        p.note("rows", [line.split()[2:4] for line in f if mine in line])


@probe(families=(4,))
def sys_class_net(p):
    p.call("/sys/class/net", lambda: sorted(os.listdir("/sys/class/net")))


@probe(families=(4,))
def sysctls(p):
    for name in ("ipv4/ip_unprivileged_port_start", "ipv4/tcp_syn_retries", "ipv4/ip_local_port_range", "ipv4/tcp_keepalive_time", "core/somaxconn",
                 "ipv4/tcp_rmem", "ipv4/tcp_wmem", "ipv4/tcp_fin_timeout", "ipv4/ping_group_range", "ipv6/bindv6only", "ipv4/tcp_congestion_control",
                 "ipv4/ip_default_ttl", "ipv4/tcp_fastopen", "ipv4/tcp_timestamps", "ipv4/tcp_ecn", "ipv4/tcp_retries2"):
        try:
            with open("/proc/sys/net/" + name) as f:
                p.note(name, f.read().split())
        except OSError as e:
            p.note(name, error_name(e))


@probe(families=(4,))
def who_am_i(p):
    p.note("ids", [os.getuid(), os.geteuid(), os.getgid(), os.getegid()])
    p.program(["id", "-un"])
    p.note("home", os.path.expanduser("~"))


@probe(families=(4,))
def netlink_dump(p):
    """What getifaddrs() reads."""
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    s.sendto(struct.pack("=IHHIIB3x", 20, 22, 0x301, 1, 0, socket.AF_UNSPEC), (0, 0))
    found, done = [], False
    while not done:
        data = s.recv(65536)
        while len(data) >= 16:
            size, kind = struct.unpack_from("=IH", data)
            if kind == 3:
                done = True
                break
            family, prefix, _, scope, _ = struct.unpack_from("=BBBBI", data, 16)
            found.append([family, prefix, scope]) if scope != 253 else None
            data = data[(size + 3) & ~3:]
    p.note("addresses", sorted(found))


@probe(families=(4,), needs=("ss",))
def ss_shows_listeners(p):
    s = p.tcp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 20400))
    s.listen()
    p.program(["ss", "-Hltn", "sport = :20400"], shape=lambda t: [line.split()[3] for line in t.splitlines()])


@probe(families=(4,))
def multicast_groups(p):
    s = p.udp()
    p.call("join 239.1.2.3", s.setsockopt, 0, 35, socket.inet_aton("239.1.2.3") + socket.inet_aton("0.0.0.0"))
    s6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    p.call("join ff02::fb", s6.setsockopt, 41, 20, socket.inet_pton(socket.AF_INET6, "ff02::fb") + struct.pack("I", socket.if_nametoindex("eth0")))
