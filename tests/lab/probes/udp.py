# SPDX-License-Identifier: MIT
"""UDP: who gets what from whom, with which source port, and which errors come back."""

import json
import select
import socket
import struct
import time

from labkit import pattern, plan
from probes.kit import (IP_RECVERR, IP_RECVTTL, IP_TTL, IPV6_RECVERR, IPV6_RECVHOPLIMIT, IPV6_UNICAST_HOPS,
                        UDP_GRO, UDP_SEGMENT, address, error_name, probe)


@probe()
def udp_unconnected(p):
    s = p.udp()
    p.exchange(s, b"who am I?", p.to("payment", plan.UDP_PEER))
    p.call("getsockname", s.getsockname)
    p.call("getpeername", s.getpeername)


@probe()
def udp_connected(p):
    s = p.udp()
    p.call("connect", s.connect, p.to("payment", plan.UDP_PEER))
    p.names(s)
    p.exchange(s, b"who am I?")


@probe()
def udp_connected_hears_only_its_peer(p):
    s = p.udp(1)
    p.call("connect", s.connect, p.to("payment", plan.UDP_OTHER_ADDRESS))
    p.exchange(s, b"answer from elsewhere")
    s = p.udp(1)
    s.connect(p.to("payment", plan.UDP_OTHER_PORT))
    p.exchange(s, b"answer from another port", key="port")


@probe()
def udp_answer_from_another_address(p):
    s = p.udp()
    p.exchange(s, b"x", p.to("payment", plan.UDP_OTHER_ADDRESS))
    p.exchange(s, b"x", p.to("payment", plan.UDP_OTHER_PORT), "other port")


@probe()
def udp_many_peers_one_port(p):
    """Every peer sees the same source port."""
    s = p.udp()
    for host in ("payment", "stranger"):
        for port in plan.UDP_PEERS:
            p.exchange(s, b"x", p.to(host, port), f"{host} {port}")


@probe()
def udp_bound_port(p):
    s = p.udp()
    p.call("bind", s.bind, (p.ip("pod"), 23500))
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER))
    t = p.udp()
    p.call("bind again", t.bind, (p.ip("pod"), 23500))


@probe()
def udp_bound_to_any(p):
    s = p.udp()
    p.call("bind", s.bind, ("", 23501))
    p.call("getsockname", s.getsockname)
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER))
    p.call("getsockname after", s.getsockname)


@probe()
def udp_port_kept_after_pause(p):
    """Same socket, same source port, also later; the answer comes when it comes."""
    s = p.udp()
    p.exchange(s, b"1", p.to("payment", plan.UDP_PEER), "first")
    p.exchange(s, b"2", p.to("payment", plan.UDP_LATER), "late")
    p.exchange(s, b"3", p.to("payment", plan.UDP_PEER), "third")


@probe(families=(6,))
def udp_mapped(p):
    """One IPv6 socket talks to IPv4 and IPv6 hosts."""
    s = p.udp()
    p.exchange(s, b"x", ("::ffff:" + plan.HOSTS["payment"][0], plan.UDP_PEER), "mapped")
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER), "v6")
    p.call("getsockname", s.getsockname)


@probe()
def udp_sizes(p):
    s = p.udp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    for size in (0, 1, 1200, 1450, 1473, 9000, 30000, 65507 if p.family == 4 else 65487):
        data = pattern.piece(size, size)
        p.call(f"send {size}", s.sendto, data, p.to("payment", plan.UDP_ECHO))
        try:
            got, sender = s.recvfrom(70000)
            p.note(f"echo {size}", [len(got), got == data, address(sender)])
        except OSError as e:
            p.note(f"echo {size}", error_name(e))
    p.call("too large", s.sendto, b"x" * 65536, p.to("payment", plan.UDP_ECHO))


@probe()
def udp_zero_length_connected(p):
    s = p.udp()
    s.connect(p.to("payment", plan.UDP_ECHO))
    p.call("send", s.send, b"")
    p.poll(s, select.POLLIN, 2)
    p.call("recv", s.recv, 100)


@probe()
def udp_truncation(p):
    s = p.udp()
    s.sendto(b"0123456789", p.to("payment", plan.UDP_ECHO))
    data, _, flags, peer = s.recvmsg(4)
    p.note("recvmsg", [data.decode(), "MSG_TRUNC" if flags & socket.MSG_TRUNC else "whole"])
    s.sendto(b"0123456789", p.to("payment", plan.UDP_ECHO))
    p.call("recv MSG_TRUNC", lambda: s.recv_into(bytearray(4), 4, socket.MSG_TRUNC))


@probe(timeout=40)
def udp_many_datagrams(p):
    """1000 of 1000 bytes, 50 on the way at a time."""
    s = p.udp()
    missing = 0
    for block in range(20):
        for i in range(50):
            s.sendto(struct.pack("!I", block * 50 + i) + b"d" * 996, p.to("payment", plan.UDP_ECHO))
        got = set()
        try:
            while len(got) < 50:
                data = s.recv(2000)
                got.add(struct.unpack("!I", data[:4])[0])
        except socket.timeout:
            pass
        missing += 50 - len(got)
    p.note("missing", missing)


@probe()
def udp_burst_received(p):
    """100 datagrams in a burst from the server, in order."""
    s = p.udp(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    s.sendto(b"100 500", p.to("payment", plan.UDP_MANY))
    got = []
    try:
        while len(got) < 100:
            data = s.recv(2000)
            got.append((struct.unpack("!I", data[:4])[0], len(data)))
    except socket.timeout:
        pass
    p.note("got", len(got))
    p.note("in order", got == sorted(got))
    p.note("sizes", sorted({size for _, size in got}))


@probe()
def udp_batched_calls(p):
    """sendmmsg and recvmmsg, by a program in C."""
    p.program(["/tmp/lab/bin/mmsg", p.ip("payment"), str(plan.UDP_ECHO), "32"])


@probe()
def udp_segmentation(p):
    """UDP_SEGMENT: one call, many datagrams."""
    s = p.udp(1)
    p.call("UDP_SEGMENT", s.setsockopt, 17, UDP_SEGMENT, 500)
    p.call("send", s.sendto, pattern.piece(0, 4200), p.to("payment", plan.UDP_ECHO))
    got = b""
    sizes = []
    try:
        while len(got) < 4200:
            data = s.recv(5000)
            sizes.append(len(data))
            got += data
    except socket.timeout:
        pass
    p.note("sizes", sizes)
    p.note("right", got == pattern.piece(0, 4200))


@probe()
def udp_segmentation_per_message(p):
    s = p.udp(1)
    p.call("sendmsg", s.sendmsg, [pattern.piece(0, 3000)], [(17, UDP_SEGMENT, struct.pack("H", 1000))], 0, p.to("payment", plan.UDP_ECHO))
    sizes = []
    try:
        while len(sizes) < 3:
            sizes.append(len(s.recv(5000)))
    except socket.timeout:
        pass
    p.note("sizes", sizes)


@probe()
def udp_receive_offload(p):
    """UDP_GRO: datagrams may come glued together; what matters is that all bytes come."""
    s = p.udp(1)
    p.call("UDP_GRO", s.setsockopt, 17, UDP_GRO, 1)
    s.sendto(b"30 700", p.to("payment", plan.UDP_MANY))
    total = 0
    try:
        while total < 30 * 700:
            data, control, _, _ = s.recvmsg(65536, 100)
            total += len(data)
    except socket.timeout:
        pass
    p.note("bytes", total)


@probe()
def udp_refused_connected(p):
    """Port unreachable comes back as ECONNREFUSED, on the next call."""
    s = p.udp()
    s.connect(p.to("payment", plan.REFUSED))
    p.call("send", s.send, b"x")
    p.poll(s, select.POLLIN, 2)
    p.call("recv", s.recv, 100)
    p.poll(s, select.POLLIN, 0.1, "afterwards")
    p.call("send again", s.send, b"x")
    time.sleep(0.3)
    p.call("third send tells", s.send, b"x")


@probe()
def udp_refused_so_error(p):
    s = p.udp()
    s.connect(p.to("payment", plan.REFUSED))
    s.send(b"x")
    time.sleep(0.3)
    p.so_error(s)
    p.so_error(s, "again")


@probe()
def udp_refused_unconnected(p):
    """An unconnected socket hears nothing of it."""
    s = p.udp(0.5)
    s.sendto(b"x", p.to("payment", plan.REFUSED))
    time.sleep(0.3)
    p.poll(s, select.POLLIN, 0.1)
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER))


def _with_errors(p):
    s = p.udp(1)
    if p.family == 4:
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    return s


def _error_of(p, host, port, seconds=2):
    s = _with_errors(p)
    p.call(f"{host} {port} sendto", s.sendto, b"what becomes of this?", p.to(host, port))
    p.poll(s, select.POLLIN, seconds, f"{host} {port} poll")
    p.errors(s, f"{host} {port}")


@probe()
def udp_error_queue_refused(p):
    _error_of(p, "payment", plan.REFUSED)


@probe()
def udp_error_queue_routes(p):
    for host in ("unreachable", "prohibited", "no_route"):
        _error_of(p, host, 5000)


@probe()
def udp_error_queue_absent(p):
    _error_of(p, "absent", 5000, 5)


@probe()
def udp_error_queue_rejected(p):
    for port, (v4, v6) in plan.REJECTED.items():
        if (v4, v6)[p.family == 6] not in (None, "drop", "tcp reset"):
            _error_of(p, "far", port)


@probe()
def udp_error_queue_names_the_peer(p):
    """Several peers from one socket: each error says whose it is."""
    s = _with_errors(p)
    for port in (81, 82, 83):
        p.call(f"send to {port}", s.sendto, b"to %d" % port, p.to("payment", port))  # may tell of an earlier one
        time.sleep(0.15)
    p.errors(s)


@probe()
def udp_errors_by_pod_routes(p):
    for host in ("pod_unreachable", "pod_prohibited", "pod_blackhole", "pod_throw"):
        s = p.udp()
        p.call(f"{host} sendto", s.sendto, b"x", p.to(host, 5000))
        p.call(f"{host} connect", s.connect, p.to(host, 5000))


@probe()
def udp_errors_connected(p):
    for host in ("unreachable", "prohibited", "no_route", "absent", "pod_neighbour"):
        s = p.udp(0.1)
        s.connect(p.to(host, 5000))
        p.call(f"{host} send", s.send, b"x")
        p.poll(s, select.POLLIN, 1, host)
        p.call(f"{host} recv", s.recv, 100)


@probe()
def udp_reconnect(p):
    s = p.udp()
    s.connect(p.to("payment", plan.UDP_PEER))
    p.exchange(s, b"1", key="first")
    p.call("connect again", s.connect, p.to("stranger", plan.UDP_PEER))
    p.names(s)
    p.exchange(s, b"2", key="second")
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    p.note("AF_UNSPEC", libc.connect(s.fileno(), b"\0" * 16, 16))
    p.names(s, "dissolved ")
    p.exchange(s, b"3", p.to("payment", plan.UDP_PEER), "third")


@probe()
def udp_connect_then_sendto_other(p):
    s = p.udp()
    s.connect(p.to("payment", plan.UDP_PEER))
    p.call("sendto another", s.sendto, b"x", p.to("stranger", plan.UDP_PEER))
    p.datagram(s)


@probe()
def udp_two_sockets_one_port(p):
    """SO_REUSEPORT, connected to different peers: each gets its own answers."""
    socks = []
    for host in ("payment", "stranger"):
        s = p.udp()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        p.call(f"bind {host}", s.bind, (p.ip("pod"), 23510))
        s.connect(p.to(host, plan.UDP_PEER))
        socks.append(s)
    for i, s in enumerate(socks):
        p.call(f"send {i}", s.send, b"x" * (i + 1))
    for i, s in enumerate(socks):
        p.datagram(s, f"answer {i}")


@probe()
def udp_two_sockets_two_ports(p):
    a, b = p.udp(), p.udp()
    for s in (a, b):
        s.sendto(b"x", p.to("payment", plan.UDP_PEER))
    p.datagram(a, "a")
    p.datagram(b, "b")


@probe(timeout=40)
def udp_bound_port_hears_once(p):
    """A socket with a port of its own has each answer once, and its next datagram gets to the server. (That port is mirrored.)"""
    s = p.udp()
    p.call("bind", s.bind, (p.ip("pod"), 23512))
    for i in range(3):
        p.exchange(s, b"%d" % i, p.to("payment", plan.UDP_PEER), f"answer {i}")
        s.settimeout(1)
        p.call(f"another {i}", s.recv, 100)
        s.settimeout(3)


@probe()
def udp_same_port_again(p):
    """A socket is closed, its port bound anew: the server sees that port, and late answers are not the old one's."""
    for i in range(3):
        s = p.udp()
        p.call(f"bind {i}", s.bind, (p.ip("pod"), 23511))
        p.exchange(s, b"%d" % i, p.to("payment", plan.UDP_PEER), f"answer {i}")
        s.close()


@probe()
def udp_marks_sent(p):
    """TTL and TOS of the datagram as the server gets it."""
    s = p.udp()
    p.exchange(s, b"default", p.to("payment", plan.UDP_MARKS), "default")
    if p.family == 4:
        s.setsockopt(0, IP_TTL, 9)
        s.setsockopt(0, 1, 0x28)
    else:
        s.setsockopt(41, IPV6_UNICAST_HOPS, 9)
        s.setsockopt(41, 67, 0x28)
    p.exchange(s, b"set", p.to("payment", plan.UDP_MARKS), "set")
    p.exchange(s, b"another peer", p.to("stranger", plan.UDP_MARKS), "another peer")


@probe()
def udp_ttl_received(p):
    s = p.udp()
    s.setsockopt(*((0, IP_RECVTTL, 1) if p.family == 4 else (41, IPV6_RECVHOPLIMIT, 1)))
    s.sendto(b"x", p.to("payment", plan.UDP_ECHO))
    data, control, _, _ = s.recvmsg(100, 100)
    p.note("ttl", [[level, kind, struct.unpack("i", value)[0]] for level, kind, value in control])


@probe()
def udp_traceroute(p):
    """TTL 1 and 2: who says "time exceeded"."""
    for ttl in (1, 2):
        s = _with_errors(p)
        s.setsockopt(*((0, IP_TTL, ttl) if p.family == 4 else (41, IPV6_UNICAST_HOPS, ttl)))
        s.sendto(b"trace", p.to("payment", 33434))
        p.poll(s, select.POLLIN, 2, f"ttl {ttl} poll")
        p.errors(s, f"ttl {ttl}")


@probe()
def udp_path_mtu(p):
    """Don't fragment: what is too large for the target's interface."""
    s = p.udp()
    s.setsockopt(*((0, 10, 2) if p.family == 4 else (41, 23, 2)))
    p.call("1400", s.sendto, b"x" * 1400, p.to("payment", plan.UDP_PEER))
    p.datagram(s)
    for size in (1402, 1403, 1422, 1423, 2000):
        p.call(f"{size}", s.sendto, b"x" * size, p.to("payment", plan.UDP_PEER))


def _path_mtu(p, mode):
    """What is too large for the path but not for the target's interface. @mode: IP_MTU_DISCOVER."""
    level, discover, mtu = (0, 10, 14) if p.family == 4 else (41, 23, 24)
    s = _with_errors(p)
    s.setsockopt(level, discover, mode)
    s.connect(p.to("narrow", plan.UDP_PEER))
    p.note("MTU at first", s.getsockopt(level, mtu))
    p.exchange(s, b"1" * 1200, key="1200")
    for key in ("first", "second"):
        p.call(f"{key} 1390", s.send, key[:1].encode() * 1390)
        p.poll(s, select.POLLIN, 0.7, key)
        p.errors(s, key)
        p.note(f"MTU after the {key}", s.getsockopt(level, mtu))
        p.datagram(s, f"answer to the {key}")
    p.exchange(s, b"3" * 1500, key="1500")


@probe(fresh=True)
def udp_path_mtu_want(p):
    _path_mtu(p, 1)


@probe(fresh=True)
def udp_path_mtu_do(p):
    _path_mtu(p, 2)


@probe(fresh=True)
def udp_path_mtu_probe(p):
    """As QUIC does."""
    _path_mtu(p, 3)


@probe(fresh=True)
def udp_path_mtu_dont(p):
    _path_mtu(p, 0)


@probe(families=(4,))
def udp_broadcast_and_multicast(p):
    s = p.udp(1)
    p.call("broadcast without SO_BROADCAST", s.sendto, b"x", ("255.255.255.255", 5000))
    p.call("subnet broadcast without", s.sendto, b"x", ("10.244.1.255", 5000))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    p.call("broadcast", s.sendto, b"x", ("255.255.255.255", 5000))
    p.call("multicast", s.sendto, b"x", ("224.0.0.251", 5353))
    p.call("join", s.setsockopt, 0, 35, socket.inet_aton("224.0.0.251") + socket.inet_aton("0.0.0.0"))


@probe()
def udp_bad_calls(p):
    s = p.udp()
    p.call("send unconnected", s.send, b"x")
    p.call("port 0", s.sendto, b"x", p.to("payment", 0))
    p.call("bind foreign", s.bind, (p.ip("payment"), 0))
    p.call("recv DONTWAIT", s.recv, 10, socket.MSG_DONTWAIT)


@probe()
def udp_to_any(p):
    """0.0.0.0 and :: mean this machine."""
    s = p.udp()
    p.exchange(s, b"x", ("0.0.0.0" if p.family == 4 else "::", plan.POD_ANY))


@probe()
def udp_packet_info(p):
    """IP_PKTINFO names the interface and the address that the datagram came to."""
    s = p.udp()
    s.setsockopt(*((0, 8, 1) if p.family == 4 else (41, 49, 1)))
    s.sendto(b"x", p.to("payment", plan.UDP_ECHO))
    data, control, _, _ = s.recvmsg(100, 200)
    for level, kind, value in control:
        if p.family == 4:
            index, local, to = struct.unpack("=i4s4s", value)
            p.note("pktinfo", [socket.if_indextoname(index), socket.inet_ntoa(local), socket.inet_ntoa(to)])
        else:
            to, index = struct.unpack("=16si", value)
            p.note("pktinfo", [socket.if_indextoname(index), socket.inet_ntop(socket.AF_INET6, to)])


@probe()
def udp_shutdown(p):
    s = p.udp(1)
    s.connect(p.to("payment", plan.UDP_ECHO))
    p.call("SHUT_WR", s.shutdown, socket.SHUT_WR)
    with p.no_sigpipe():
        p.call("send", s.send, b"x")
    p.call("SHUT_RD", s.shutdown, socket.SHUT_RD)
    p.call("recv", s.recv, 10)


@probe(servers="unordered")
def udp_100_sockets(p):
    """Each socket its own port, each answer to the right one."""
    socks = [p.udp() for _ in range(100)]
    for i, s in enumerate(socks):
        s.sendto(b"n" * (i + 1), p.to("payment", plan.UDP_PEER))
    right = 0
    for i, s in enumerate(socks):
        try:
            seen = json.loads(s.recv(500))
            right += seen["bytes"] == i + 1 and seen["peer"]["port"] == s.getsockname()[1]
        except OSError:
            pass
    p.note("right", right)


@probe()
def udp_slow(p):
    s = p.udp()
    with p.timed("round trip"):
        p.exchange(s, b"x", p.to("slow", plan.UDP_ECHO))


@probe()
def udp_to_device(p):
    s = p.udp()
    p.call("SO_BINDTODEVICE", s.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    p.exchange(s, b"x", p.to("payment", plan.UDP_PEER))


@probe()
def udp_fragments_in_order(p):
    """Large datagrams back to back."""
    s = p.udp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for i in range(5):
        s.sendto(pattern.piece(i * 1000, 20000 + i), p.to("payment", plan.UDP_ECHO))
    got = []
    try:
        for i in range(5):
            data = s.recv(65536)
            got.append([len(data), data == pattern.piece((len(data) - 20000) * 1000, len(data))])
    except socket.timeout:
        pass
    p.note("got", got)
