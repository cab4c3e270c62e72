# SPDX-License-Identifier: MIT
"""Echo requests: with ping sockets, and with the ping program."""

import re
import select
import socket
import struct
import time

from labkit import pattern
from probes.kit import IP_RECVERR, IP_TTL, IPV6_RECVERR, IPV6_UNICAST_HOPS, error_name, hash_of, probe


def ping_socket(p):
    try:
        s = socket.socket(p.af, socket.SOCK_DGRAM, 1 if p.family == 4 else 58)
    except OSError as e:
        p.note("ping socket", error_name(e))
        raise SystemExit
    s.settimeout(2)
    return s


def request(p, sequence, data, ident=0):
    return struct.pack("!BBHHH", 8 if p.family == 4 else 128, 0, 0, ident, sequence) + data


def take_reply(p, s, key):
    try:
        data, sender = s.recvfrom(70000)
    except OSError as e:
        p.note(key, error_name(e))
        return
    kind, code, _, ident, sequence = struct.unpack_from("!BBHHH", data)
    p.note(key, {"from": sender[0], "type": kind, "code": code, "own id": ident == s.getsockname()[1], "sequence": sequence,
                 "bytes": len(data), "hash": hash_of(data[8:])})


@probe()
def ping(p):
    s = ping_socket(p)
    for i in range(3):
        p.call(f"send {i}", s.sendto, request(p, i + 1, b"some payload %d" % i), (p.ip("payment"), 0))
        take_reply(p, s, f"reply {i}")
    p.note("getsockname", s.getsockname()[0])


@probe()
def ping_sizes(p):
    s = ping_socket(p)
    for size in (0, 1400, 1472, 8000, 40000):
        p.call(f"send {size}", s.sendto, request(p, 1, pattern.piece(0, size)), (p.ip("payment"), 0))
        take_reply(p, s, f"reply {size}")


@probe()
def ping_two_sockets(p):
    a, b = ping_socket(p), ping_socket(p)
    for i, s in enumerate((a, b)):
        s.sendto(request(p, i, b"n%d" % i), (p.ip("payment"), 0))
    take_reply(p, a, "a")
    take_reply(p, b, "b")


@probe()
def ping_many_hosts(p):
    s = ping_socket(p)
    for host in ("payment", "stranger", "dns", "pod_gateway", "outside", "pod", "pod2"):
        p.call(host, s.sendto, request(p, 7, host.encode()), (p.ip(host), 0))
        take_reply(p, s, f"{host} reply")


@probe()
def ping_own_loopback(p):
    s = ping_socket(p)
    p.call("send", s.sendto, request(p, 1, b"x"), (p.loopback, 0))
    take_reply(p, s, "reply")


@probe()
def ping_slow(p):
    s = ping_socket(p)
    with p.timed("round trip"):
        s.sendto(request(p, 1, b"x"), (p.ip("slow"), 0))
        take_reply(p, s, "reply")


@probe()
def ping_nobody(p):
    for host in ("unreachable", "prohibited", "no_route", "absent", "blackhole", "pod_neighbour"):
        s = ping_socket(p)
        s.setsockopt(*((0, IP_RECVERR, 1) if p.family == 4 else (41, IPV6_RECVERR, 1)))
        p.call(f"{host} send", s.sendto, request(p, 1, b"anybody?"), (p.ip(host), 0))
        p.poll(s, select.POLLIN, 2, host)
        p.errors(s, host, skip=8)


@probe()
def ping_by_pod_routes(p):
    for host in ("pod_unreachable", "pod_prohibited", "pod_blackhole"):
        s = ping_socket(p)
        p.call(f"{host} send", s.sendto, request(p, 1, b"anybody?"), (p.ip(host), 0))


@probe()
def ping_with_small_ttl(p):
    for ttl in (1, 2):
        s = ping_socket(p)
        s.setsockopt(*((0, IP_RECVERR, 1) if p.family == 4 else (41, IPV6_RECVERR, 1)))
        s.setsockopt(*((0, IP_TTL, ttl) if p.family == 4 else (41, IPV6_UNICAST_HOPS, ttl)))
        s.sendto(request(p, 1, b"how far?"), (p.ip("payment"), 0))
        p.poll(s, select.POLLIN, 2, f"ttl {ttl} poll")
        p.errors(s, f"ttl {ttl}", skip=8)
        take_reply(p, s, f"ttl {ttl} reply")


def shape(text):
    """ping's output without its times."""
    text = re.sub(r"time[=<] ?[0-9.]+ ms", "time=T", text)
    text = re.sub(r"time [0-9]+ms", "time T", text)
    return re.sub(r"(rtt|round-trip).*", "rtt", text)


@probe(needs=("ping",))
def ping_program(p):
    p.program(["ping", "-c", "2", "-i", "0.2", "-W", "2", p.ip("payment")], shape=shape)


@probe(needs=("ping",), families=(4,))
def ping_program_by_name(p):
    p.program(["ping", "-4", "-c", "1", "-W", "2", "payment"], shape=shape)
    p.program(["ping", "-6", "-c", "1", "-W", "2", "payment"], shape=shape)


@probe(needs=("ping",))
def ping_program_unreachable(p):
    p.program(["ping", "-c", "1", "-W", "2", p.ip("unreachable")], shape=shape)
    p.program(["ping", "-c", "1", "-t", "1", "-W", "2", p.ip("payment")], "ttl 1", shape=shape)


@probe(needs=("ping",))
def ping_program_large(p):
    p.program(["ping", "-c", "1", "-s", "20000", "-W", "2", p.ip("payment")], shape=shape)


@probe(modes=("root",))
def ping_raw_socket(p):
    """As root with a raw socket: the identifier is the program's own."""
    try:
        s = socket.socket(p.af, socket.SOCK_RAW, 1 if p.family == 4 else 58)
    except OSError as e:
        p.note("raw socket", error_name(e))
        return
    s.settimeout(2)
    message = request(p, 5, b"raw payload", 0x1234)
    if p.family == 4:
        total = sum(struct.unpack(f"!{len(message + b'x' * (len(message) % 2)) // 2}H", message + b"\0" * (len(message) % 2)))
        total = (total >> 16) + (total & 0xFFFF)
        total += total >> 16
        message = message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]
    s.sendto(message, (p.ip("payment"), 0))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            data, sender = s.recvfrom(2000)
        except OSError as e:
            p.note("reply", error_name(e))
            return
        data = data[(data[0] & 15) * 4:] if p.family == 4 else data
        if data[0] in (0, 129):
            p.note("reply", [sender[0], data[0], data[4:].decode("latin-1")])
            return
