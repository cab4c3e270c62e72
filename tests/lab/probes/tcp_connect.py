# SPDX-License-Identifier: MIT
"""connect() tells the truth: what comes of it, and when."""

import errno
import select
import socket
import struct
import time

from labkit import plan
from probes.kit import error_name, event_names, probe, reset


@probe()
def connect_blocking(p):
    s = p.connect("payment", plan.PEER)
    p.names(s)
    p.line(s)


@probe()
def connect_nonblocking_poll(p):
    s = p.begin_connect("payment", plan.PEER)
    p.poll(s, select.POLLOUT)
    p.so_error(s)
    p.names(s)
    s.setblocking(True)
    p.line(s)


@probe()
def connect_nonblocking_select(p):
    s = p.begin_connect("payment", plan.ECHO)
    r, w, x = select.select([s], [s], [s], 5)
    p.note("select", [len(r), len(w), len(x)])
    p.so_error(s)


@probe()
def connect_nonblocking_epoll(p):
    s = p.begin_connect("payment", plan.ECHO)
    e = select.epoll()
    e.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET | select.EPOLLRDHUP)
    p.note("epoll", [event_names(m) for _, m in e.poll(5)])
    p.so_error(s)
    p.call("send", s.send, b"hi")
    p.note("epoll after data", [event_names(m) for _, m in e.poll(2)])
    p.call("recv", s.recv, 10)


@probe(settle=1)
def connect_twice_while_connecting(p):
    s = p.begin_connect("slow", plan.ECHO)
    p.note("again", error_name(OSError(s.connect_ex(p.to("slow", plan.ECHO)), "")))
    p.call("send too early", s.send, b"x")
    p.call("recv too early", s.recv, 1)
    p.call("getpeername too early", s.getpeername)
    p.call("getsockname", s.getsockname)
    p.poll(s, select.POLLOUT)
    p.note("third", error_name(OSError(s.connect_ex(p.to("slow", plan.ECHO)), "")))
    p.note("fourth", error_name(OSError(s.connect_ex(p.to("slow", plan.ECHO)), "")))


@probe(settle=1)
def connect_slow_blocking(p):
    s = p.connect("slow", plan.PEER)
    p.names(s)
    p.line(s)


@probe(settle=1)
def connect_slow_nonblocking(p):
    s = p.begin_connect("slow", plan.PEER)
    p.poll(s, select.POLLOUT, 0.1, "too early")
    p.poll(s, select.POLLOUT, 5)
    p.so_error(s)


@probe(settle=1)
def connect_slow_abandoned(p):
    """The program gives up while the SYN is on its way; then it connects again."""
    s = p.begin_connect("slow", plan.RECORD)
    s.close()
    time.sleep(0.6)
    s = p.connect("slow", plan.PEER, "second")
    p.line(s)


@probe()
def connect_first_syn_lost(p):
    s = p.connect("payment", plan.LOSE_FIRST_SYN)
    p.line(s)


@probe()
def connect_refused_blocking(p):
    s = p.connect("payment", plan.REFUSED)
    p.so_error(s)
    p.names(s)
    # The socket may be used again
    p.connect("payment", plan.PEER, "second", s=s)
    p.connect("payment", plan.PEER, "third", s=s)
    p.line(s)


@probe()
def connect_refused_nonblocking(p):
    s = p.begin_connect("payment", plan.REFUSED)
    p.poll(s)
    p.so_error(s)
    p.so_error(s, "again")
    p.poll(s, key="poll after")


@probe(settle=1)
def connect_refused_slowly(p):
    s = p.connect("slow", plan.REFUSED)
    p.so_error(s)


def _fails(p, host, port, timeout=10):
    s = p.connect(host, port, "blocking", timeout=None)
    p.so_error(s)
    s = p.begin_connect(host, port, "non-blocking")
    p.poll(s, seconds=timeout)
    p.so_error(s)


@probe()
def connect_unreachable_by_router(p):
    _fails(p, "unreachable", 80)


@probe()
def connect_prohibited_by_router(p):
    _fails(p, "prohibited", 80)


@probe()
def connect_no_route_at_router(p):
    _fails(p, "no_route", 80)


@probe()
def connect_host_absent(p):
    """The last router asks for a MAC address in vain."""
    _fails(p, "absent", 80)


@probe()
def connect_neighbour_absent(p):
    _fails(p, "pod_neighbour", 80)


@probe()
def connect_refused_far(p):
    _fails(p, "far", plan.REFUSED)


@probe()
def connect_unreachable_near(p):
    """The error comes while connect() holds the socket: told when the SYN is sent again."""
    _fails(p, "near_unreachable", 80)


@probe()
def connect_pod_route_unreachable(p):
    _fails(p, "pod_unreachable", 80)


@probe()
def connect_pod_route_prohibit(p):
    _fails(p, "pod_prohibited", 80)


@probe()
def connect_pod_route_blackhole(p):
    _fails(p, "pod_blackhole", 80)


@probe()
def connect_pod_route_throw(p):
    _fails(p, "pod_throw", 80)


def _rejected(port):
    def run(p):
        _fails(p, "far", port)
    run.__module__ = __name__
    run.__name__ = "connect_rejected_" + (plan.REJECTED[port][0]).replace("-", "_").replace(" ", "_")
    probe(families=(4, 6) if plan.REJECTED[port][1] else (4,))(run)


for _port in plan.REJECTED:
    if plan.REJECTED[_port][0] != "drop":
        _rejected(_port)


@probe()
def connect_timed_out(p):
    """tcp_syn_retries is 1 in the target."""
    s = p.connect("far", 9009, timeout=None)
    p.so_error(s)


@probe()
def connect_timed_out_nonblocking(p):
    s = p.begin_connect("blackhole", 80)
    p.poll(s, seconds=15)
    p.so_error(s)


@probe()
def connect_own_timeout(p):
    """The program's own patience ends first."""
    s = p.tcp(0.5)
    p.connect("far", 9009, s=s)


@probe()
def connect_queue_full(p):
    s = p.connect("payment", plan.FULL, timeout=None)
    p.so_error(s)


@probe()
def connect_late_accept(p):
    """Connected when the kernel there says so, not when the application takes it."""
    s = p.connect("payment", plan.LATE_ACCEPT)
    p.line(s)


@probe(families=(4,))
def connect_any4(p):
    s = p.tcp()
    p.call("connect", s.connect, ("0.0.0.0", plan.POD_ANY))
    p.names(s)
    p.line(s)


@probe(families=(6,))
def connect_any6(p):
    s = p.tcp()
    p.call("connect", s.connect, ("::", plan.POD_ANY))
    p.names(s)
    p.line(s)


@probe()
def connect_port_zero(p):
    s = p.connect("payment", 0)
    p.so_error(s)


@probe(families=(6,))
def connect_mapped(p):
    """An IPv6 socket connects to an IPv4 host, as Java's do."""
    s = p.connect("::ffff:" + plan.HOSTS["payment"][0], plan.PEER)
    p.names(s)
    p.line(s)


@probe(families=(6,))
def connect_mapped_refused(p):
    _fails(p, "::ffff:" + plan.HOSTS["payment"][0], plan.REFUSED)


@probe(families=(6,))
def connect_mapped_unreachable(p):
    _fails(p, "::ffff:" + plan.HOSTS["unreachable"][0], 80)


@probe(families=(6,))
def connect_mapped_v6only(p):
    s = p.tcp()
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    p.connect("::ffff:" + plan.HOSTS["payment"][0], plan.PEER, s=s)


@probe()
def connect_wrong_family(p):
    other = plan.address("payment", 10 - p.family)
    s = p.tcp()
    p.note("connect", error_name(OSError(_raw_connect(s, other, plan.PEER), "")))


def _raw_connect(s, ip, port):
    """connect() with an address of another family than the socket's."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if ":" in ip:
        raw = struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), 0, socket.inet_pton(socket.AF_INET6, ip), 0)
    else:
        raw = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(ip))
    return 0 if libc.connect(s.fileno(), raw, len(raw)) == 0 else ctypes.get_errno()


@probe()
def connect_bound_to_own_address(p):
    s = p.tcp()
    p.call("bind", s.bind, (p.ip("pod"), 0))
    p.call("getsockname", s.getsockname)
    p.connect("payment", plan.PEER, s=s)
    p.names(s)
    p.line(s)


@probe()
def connect_bound_to_port(p):
    """The server sees the port that the program asked for."""
    s = p.tcp()
    p.call("bind", s.bind, (p.ip("pod"), 23456))
    p.connect("payment", plan.PEER, s=s)
    p.names(s)
    p.line(s)
    reset(s)


@probe()
def connect_bound_to_any_and_port(p):
    s = p.tcp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    p.call("bind", s.bind, ("", 23457))
    p.connect("payment", plan.PEER, s=s)
    p.names(s)
    p.line(s)
    reset(s)


@probe()
def connect_bound_two_peers_one_port(p):
    """One local port, two remote ends."""
    for i, host in enumerate(("payment", "stranger")):
        s = p.tcp()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        p.call(f"bind {i}", s.bind, (p.ip("pod"), 23458))
        p.connect(host, plan.PEER, f"connect {i}", s=s)
        p.line(s, f"line {i}")
        setattr(p, f"keep{i}", s)
    reset(p.keep0)
    reset(p.keep1)


@probe()
def connect_same_four_addresses_again(p):
    for i in range(2):
        s = p.tcp()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        p.call(f"bind {i}", s.bind, (p.ip("pod"), 23459))
        p.connect("payment", plan.PEER, f"connect {i}", s=s)
        p.line(s, f"line {i}")
        reset(s)


@probe()
def bind_foreign_address(p):
    s = p.tcp()
    p.call("bind to another's", s.bind, (p.ip("payment"), 0))
    p.call("bind to the host's", s.bind, (p.ip("host"), 0))


@probe()
def connect_bound_to_loopback(p):
    """From 127.0.0.1 nothing can leave the machine."""
    s = p.tcp(3)
    p.call("bind", s.bind, (p.loopback, 0))
    p.connect("payment", plan.PEER, s=s)
    p.names(s)


@probe()
def connect_to_device(p):
    s = p.tcp()
    p.call("SO_BINDTODEVICE", s.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    p.connect("payment", plan.PEER, s=s)
    p.line(s)
    s = p.tcp()
    p.call("SO_BINDTODEVICE eth7", s.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth7")


@probe()
def connect_fast_open(p):
    s = p.tcp(2)
    p.call("sendto", s.sendto, b"hello", 0x20000000, p.to("payment", plan.ECHO))
    p.call("recv", s.recv, 100)
    p.names(s)


@probe()
def connect_fast_open_without_cookie(p):
    """The SYN has data in it."""
    s = p.tcp()
    p.call("TCP_FASTOPEN_NO_COOKIE", s.setsockopt, socket.IPPROTO_TCP, 34, 1)
    p.call("sendto", s.sendto, b"hello" * 200, 0x20000000, p.to("payment", plan.ECHO))
    p.call("recv", s.recv, 1000, socket.MSG_WAITALL)
    p.names(s)


@probe()
def connect_fast_open_option(p):
    s = p.tcp()
    p.call("TCP_FASTOPEN_CONNECT", s.setsockopt, socket.IPPROTO_TCP, 30, 1)
    p.connect("payment", plan.ECHO, s=s)
    p.call("send", s.send, b"hello")
    p.call("recv", s.recv, 100)


@probe()
def connect_fast_open_refused(p):
    s = p.tcp()
    p.call("sendto", s.sendto, b"hello", 0x20000000, p.to("payment", plan.REFUSED))


@probe()
def connect_mptcp(p):
    try:
        s = socket.socket(p.af, socket.SOCK_STREAM, 262)
    except OSError as e:
        p.note("socket", error_name(e))
        return
    s.settimeout(5)
    p.connect("payment", plan.PEER, s=s)
    p.names(s)
    p.line(s)


@probe()
def connect_mptcp_refused(p):
    try:
        s = socket.socket(p.af, socket.SOCK_STREAM, 262)
    except OSError as e:
        p.note("socket", error_name(e))
        return
    s.settimeout(5)
    p.connect("payment", plan.REFUSED, s=s)


@probe()
def connect_unspec_ends_connection(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    p.note("AF_UNSPEC", _disconnect(s))
    p.names(s, "after ")
    p.connect("payment", plan.PEER, "again", s=s)
    p.line(s)


def _disconnect(s):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    return "ok" if libc.connect(s.fileno(), b"\0" * 16, 16) == 0 else errno.errorcode[ctypes.get_errno()]


@probe()
def connect_when_connected(p):
    s = p.connect("payment", plan.IDLE)
    p.connect("stranger", plan.IDLE, "second", s=s)


@probe(families=(4,))
def connect_multicast_and_broadcast(p):
    for name, ip in (("multicast", "224.0.0.251"), ("broadcast", "255.255.255.255"), ("class E", "240.0.0.1"), ("subnet broadcast", "10.244.1.255")):
        s = p.tcp(None)
        p.connect(ip, 80, name, s=s)


@probe(families=(4,))
def happy_eyeballs_v6_dead(p):
    """The IPv6 address swallows the SYN; the program goes on to IPv4 after its own patience (RFC 8305)."""
    began = time.monotonic()
    infos = socket.getaddrinfo("eyeballs.cluster.test", plan.PEER, type=socket.SOCK_STREAM)
    p.note("addresses", [i[4][0] for i in infos])
    first = socket.socket(infos[0][0], socket.SOCK_STREAM)
    first.setblocking(False)
    p.note("first", error_name(OSError(first.connect_ex(infos[0][4]), "")))
    p.poll(first, select.POLLOUT, 0.25)
    second = socket.socket(infos[-1][0], socket.SOCK_STREAM)
    second.settimeout(5)
    p.call("second", second.connect, infos[-1][4])
    first.close()
    p.line(second)
    p.note("all", {"seconds": time.monotonic() - began})


@probe(families=(4,))
def several_addresses_first_fails(p):
    """socket.create_connection goes through the list: the unreachable IPv6 address first."""
    with p.timed("create_connection"):
        s = socket.create_connection(("refused6.cluster.test", plan.PEER), 5)
    p.line(s)


@probe(families=(4,), servers="ignored")
def several_addresses_asyncio(p):
    import asyncio

    async def go():
        reader, writer = await asyncio.open_connection("eyeballs.cluster.test", plan.PEER, happy_eyeballs_delay=0.2)
        p.note("peer", writer.get_extra_info("peername")[0])
        p.json(await reader.readline(), "line")
        writer.close()
    with p.timed("asyncio"):
        asyncio.run(go())


@probe(servers="unordered", timeout=40)
def connect_many_at_once(p):
    """200 connections, all begun before the first is done."""
    socks = [p.tcp() for _ in range(200)]
    for s in socks:
        s.setblocking(False)
        s.connect_ex(p.to("payment", plan.PEER))
    waiting, poller = {s.fileno(): s for s in socks}, select.poll()
    for s in socks:
        poller.register(s, select.POLLOUT)
    end = time.monotonic() + 15
    while waiting and time.monotonic() < end:
        for fd, mask in poller.poll(1000):
            poller.unregister(fd)
            del waiting[fd]
    p.note("unconnected", len(waiting))
    p.note("errors", sorted(error_name(OSError(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "")) for s in socks))
    right = 0
    for s in socks:
        s.settimeout(5)
        data = b""
        while not data.endswith(b"\n"):
            more = s.recv(500)
            if not more:
                break
            data += more
        import json
        seen = json.loads(data)["peer"]
        right += seen["ip"] == s.getsockname()[0]
    p.note("servers saw the right address", right)


@probe(servers="unordered", timeout=40)
def connect_many_refused_at_once(p):
    socks = []
    for _ in range(200):
        s = p.tcp()
        s.setblocking(False)
        s.connect_ex(p.to("payment", plan.REFUSED))
        socks.append(s)
    time.sleep(1)
    p.note("errors", sorted(error_name(OSError(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "")) for s in socks))


@probe(settle=1)
def connect_tcp_info(p):
    s = p.begin_connect("slow", plan.ECHO)
    p.note("state", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
    p.poll(s, select.POLLOUT)
    p.note("state then", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])


@probe(oracle="host", options=("--no-outgoing",), families=(4, 6))
def no_outgoing(p):
    """Everything from the host: its own address, its own routes."""
    s = p.connect("outside", plan.PEER, timeout=5)
    p.names_of_peer = p.line(s)
    s = p.udp()
    p.exchange(s, b"who am I?", p.to("outside", plan.UDP_PEER))


@probe(oracle="host", options=("--no-tcp-outgoing",))
def no_tcp_outgoing(p):
    s = p.connect("outside", plan.PEER, timeout=5)
    p.line(s)


@probe(options=("--no-udp-outgoing",))
def no_udp_outgoing_leaves_tcp(p):
    s = p.connect("outside", plan.PEER, timeout=5)
    p.line(s)


@probe(oracle="host", options=("--no-udp-outgoing",))
def no_udp_outgoing(p):
    s = p.udp()
    p.exchange(s, b"who am I?", p.to("outside", plan.UDP_PEER))


@probe(options=("--no-tcp-outgoing",))
def no_tcp_outgoing_leaves_udp(p):
    s = p.udp()
    p.exchange(s, b"who am I?", p.to("outside", plan.UDP_PEER))
