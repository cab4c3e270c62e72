#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fuzz/seeds.py -- writes the inputs that fuzzing packets, fragments and DNS messages starts from to fuzz/corpus. What stands there
besides (found by a fuzzer) stays. Checksums are left 0: nothing looks at them."""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
A4, B4 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A6, B6 = bytes.fromhex("fd" + "0" * 29 + "1"), bytes.fromhex("fd" + "0" * 29 + "2")
TCP, UDP, ICMP, ICMP6, HOP, ROUTING, FRAGMENT, OPTIONS = 6, 17, 1, 58, 0, 43, 44, 60


def ip4(protocol, body, offset=0, more=False, options=b"", ident=7, df=False):
    flags = (0x2000 if more else 0) | (0x4000 if df else 0) | offset // 8
    length = 20 + len(options) + len(body)
    first = 0x40 | (20 + len(options)) // 4
    return struct.pack(">BBHHHBBH", first, 0, length, ident, flags, 64, protocol, 0) + A4 + B4 + options + body


def ip6(protocol, body, tos=0):
    return struct.pack(">IHBB", 0x60000000 | tos << 20, len(body), protocol, 64) + A6 + B6 + body


def extension(following, body=b"\1\4\0\0\0\0"):
    assert len(body) % 8 == 6
    return bytes([following, (len(body) + 2) // 8 - 1]) + body


def fragment6(following, body, offset=0, more=False, ident=7):
    return struct.pack(">BBHI", following, 0, offset | more, ident) + body


def udp(payload, length=None):
    return struct.pack(">HHHH", 1000, 53, 8 + len(payload) if length is None else length, 0) + payload


def tcp(flags, payload=b"", options=b""):
    offset = (20 + len(options)) // 4 << 4
    return struct.pack(">HHIIBBHHH", 40000, 80, 1000, 2000, offset, flags, 65535, 0, 0) + options + payload


def echo(kind, payload=b"abcdefgh"):
    return struct.pack(">BBHHH", kind, 0, 0, 77, 1) + payload


SYN_OPTIONS = bytes.fromhex("020405b40402080a0000000100000000 01030307")
PACKETS = {
    "udp4": ip4(UDP, udp(b"hello")),
    "udp4-empty": ip4(UDP, udp(b"")),
    "udp4-padded": ip4(UDP, udp(b"hello")) + bytes(13),
    "udp4-short-length": ip4(UDP, udp(b"hello", 10)),
    "udp4-long-length": ip4(UDP, udp(b"hello", 100)),
    "udp4-options": ip4(UDP, udp(b"hello"), options=b"\x94\4\0\0"),
    "udp6": ip6(UDP, udp(b"hello"), tos=0xB8),
    "udp6-extensions": ip6(HOP, extension(OPTIONS) + extension(ROUTING) + extension(UDP, bytes(6)) + udp(b"hello")),
    "udp6-atomic": ip6(FRAGMENT, fragment6(UDP, udp(b"hello"))),
    "udp6-segments-left": ip6(ROUTING, extension(UDP, b"\0\1\0\0\0\0" + A6) + udp(b"hello")),
    "syn4": ip4(TCP, tcp(2, options=SYN_OPTIONS), df=True),
    "syn6": ip6(TCP, tcp(2, options=SYN_OPTIONS)),
    "ack4": ip4(TCP, tcp(16, b"GET / HTTP/1.1\r\n"), df=True),
    "rst6": ip6(TCP, tcp(4)),
    "tcp4-offset": ip4(TCP, tcp(2)[:12] + b"\xf0" + tcp(2)[13:]),
    "echo4": ip4(ICMP, echo(8)),
    "echo-reply6": ip6(ICMP6, echo(129)),
    "unreachable4": ip4(ICMP, struct.pack(">BBHI", 3, 3, 0, 0) + ip4(UDP, udp(b"hello"))),
    "unreachable6": ip6(ICMP6, struct.pack(">BBHI", 1, 4, 0, 0) + ip6(UDP, udp(b"hello"))),
    "first4": ip4(UDP, udp(bytes(8), 100), more=True),
    "later4": ip4(UDP, bytes(16), offset=1480),
    "first6-options": ip6(FRAGMENT, fragment6(OPTIONS, extension(UDP) + udp(bytes(8), 100), more=True)),
    "later6-options": ip6(FRAGMENT, fragment6(OPTIONS, bytes(16), offset=24)),
    "gre4": ip4(47, bytes(8)),
    "no-next6": ip6(59, b""),
}


def arrivals(*packets):
    """The input of the fragment target that puts packets together, 100 ms apart."""
    return b"\0" + b"".join(struct.pack(">BH", 100, len(p)) + p for p in packets)


def cut(mtu, packet):
    return b"\1" + struct.pack(">H", mtu) + packet


DATAGRAM = udp(bytes(range(56)))
THREE4 = [ip4(UDP, DATAGRAM[at : at + 24], offset=at, more=at + 24 < 64) for at in (0, 24, 48)]
THREE6 = [ip6(FRAGMENT, fragment6(UDP, DATAGRAM[at : at + 24], at, at + 24 < 64)) for at in (0, 24, 48)]
FRAGMENTS = {
    "three4": arrivals(*THREE4),
    "three4-reversed": arrivals(*THREE4[::-1]),
    "three4-twice": arrivals(*THREE4[:2], *THREE4),
    "three6": arrivals(*THREE6),
    "three6-reversed": arrivals(*THREE6[::-1]),
    "two-datagrams": arrivals(THREE4[0], THREE6[0], THREE4[1], THREE6[1], THREE4[2], THREE6[2]),
    "overlap4": arrivals(THREE4[0], ip4(UDP, bytes(24), offset=16, more=True), THREE4[2]),
    "overlap6": arrivals(THREE6[0], ip6(FRAGMENT, fragment6(UDP, bytes(24), 16, True)), THREE6[2]),
    "too-long4": arrivals(ip4(UDP, bytes(40), offset=65488), ip4(UDP, bytes(48), offset=65448, more=True)),
    "options6": arrivals(
        ip6(HOP, extension(FRAGMENT) + fragment6(OPTIONS, extension(UDP) + udp(bytes(8), 24), more=True)),
        ip6(HOP, extension(FRAGMENT) + fragment6(OPTIONS, bytes(8), offset=24)),
    ),
    "unfragmented": arrivals(PACKETS["udp4"], PACKETS["udp6-atomic"]),
    "too-late": b"".join([b"\0", *(struct.pack(">BH", 255, len(p)) + p for p in [THREE4[0]] * 5 + THREE4[1:])]),
    "cut4": cut(44, ip4(UDP, DATAGRAM)),
    "cut4-options": cut(60, ip4(UDP, DATAGRAM, options=b"\x94\4\0\0", df=True)),
    "cut4-tcp": cut(28, ip4(TCP, tcp(16, bytes(20)))),
    "cut6": cut(72, ip6(UDP, DATAGRAM)),
    "cut6-extensions": cut(80, PACKETS["udp6-extensions"]),
    "cut6-mtu": cut(55, ip6(UDP, DATAGRAM)),
}

# www.example.com at 12, its types behind it; most messages were encoded by dnspython.
WWW = b"\3www\7example\3com\0"


def dns(questions, records=(0, 0, 0), body=b"", flags=0x8180):
    return struct.pack(">HHHHHH", 1, flags, questions, *records) + body


def rr(owner, kind, data, ttl=60, cls=1):
    return owner + struct.pack(">HHIH", kind, cls, ttl, len(data)) + data


IN_A = struct.pack(">HH", 1, 1)
DNS = {
    "query-edns": dns(1, (0, 0, 1), WWW + IN_A + rr(b"\0", 41, b"", 0, 1232), 0x100),
    "root": dns(1, (0, 0, 0), b"\0" + IN_A, 0x100),
    "address": dns(1, (2, 0, 0), WWW + IN_A + rr(b"\xc0\x0c", 1, A4) + rr(b"\xc0\x0c", 28, A6)),
    "aliases": bytes.fromhex(
        "12348100000100040001000103777777074578616d706c6503636f6d0000010001c00c000500010000003c000e04656467650363646e03"
        "6e657400c02d000500010000012c0005026531c032c047000100010000001e0004c0000201c047000100010000001e0004c0000202c032"
        "00020001000003840006036e7331c032c078001c000100000385001020010db8000000000000000000000053"
    ),
    "alias-circle": dns(1, (3, 0, 0), WWW + IN_A + rr(WWW, 5, b"\1a\0") + rr(b"\1a\0", 5, WWW) + rr(b"\1a\0", 1, A4)),
    "no-such-name": bytes.fromhex(
        "000781030001000000010001026e78076578616d706c6503636f6d00001c0001c00f0006000100000384001e026e730004726f6f740000"
        "000001000000020000000300000004000000050000292000000000000000"
    ),
    "badvers": dns(1, (0, 0, 1), WWW + IN_A + rr(b"\0", 41, b"", 1 << 24, 1232)),
    "ptr": dns(1, (1, 0, 0), b"\0011\0010\0010\003127\7in-addr\4arpa\0\0\x0c\0\1" + rr(b"\xc0\x0c", 12, WWW)),
    "srv": dns(1, (1, 0, 0), WWW + b"\0\x21\0\1" + rr(b"\xc0\x0c", 33, struct.pack(">HHH", 0, 5, 80) + b"\1a\xc0\x10")),
    "txt-unprintable": dns(1, (1, 0, 0), b"\6\0 .\\\xff\x7f\0" + IN_A + rr(b"\xc0\x0c", 16, b"\3abc")),
    "pointer-to-itself": dns(1, (0, 0, 0), b"\xc0\x0c" + IN_A),
    "pointer-forwards": dns(1, (0, 0, 0), b"\xc0\x10" + IN_A + WWW),
    "pointers": dns(1, (2, 0, 0), b"\0" + IN_A + rr(b"\0", 16, bytes.fromhex("c00cc01cc01e")) + rr(b"\xc0\x20", 1, A4)),
    "longest-name": dns(1, (0, 0, 0), b"".join(bytes([n]) + b"x" * n for n in (63, 63, 63, 61)) + b"\0" + IN_A),
    "counts": dns(65535, (65535, 65535, 65535), b"\0" + IN_A * 300),
}


def main():
    for target, inputs in {"packet": PACKETS, "fragment": FRAGMENTS, "dns": DNS}.items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
