#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fuzz/seeds_tunnel.py -- writes the inputs that fuzzing the tunnel starts from to fuzz/corpus. What stands there besides (found by a
fuzzer) stays."""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
A4, A6 = bytes(10) + b"\xff\xff\x0a\0\0\1", b"\xfd" + bytes(14) + b"\2"
PEER = A4 + struct.pack(">H", 53)
MAY_IGNORE, MORE, DRY = 1, 2, 4


def frame(kind, stream, body=b"", flags=0):
    return struct.pack(">IIHH", len(body), stream, kind, flags) + body


def u32(value):
    return struct.pack(">I", value)


def open_(stream, kind=0, window=1000):
    return frame(1, stream, struct.pack(">HHI", kind, 0, window) + PEER + PEER)


def opened(stream, window=1000):
    return frame(2, stream, u32(window))


def data(stream, payload, flags=0):
    return frame(3, stream, payload, flags)


def end(stream):
    return frame(4, stream)


def reset(stream, reason=1):
    return frame(5, stream, u32(reason))


def datagram(stream, payload=b"query"):
    return frame(9, stream, PEER + b"\x40\0" + payload)


def datagram_error(stream):
    return frame(10, stream, PEER + b"\3\3\0\0\5\x78" + A6 + b"query")


def ping(cookie=b"12345678"):
    return frame(11, 0, cookie)


def info(payload, topic=1, flags=0):
    return frame(13, 0, struct.pack(">H", topic) + payload, flags)


def hello(role=1, lowest=1, highest=1, length=64):
    fields = struct.pack(">HHHBBIIII", length, lowest, highest, role, 0, 0, 65536, 0, 0)
    return b"\x89mrdt\r\n\x1a" + fields + b"0123456789abcdef" + bytes(16) + bytes(length - 64)


FRAMES = {
    "hello": hello(),
    "hello-long": hello(length=100),
    "hello-versions": hello(lowest=2, highest=1),
    "tcp": open_(1) + opened(1) + data(1, b"hello", DRY) + frame(6, 1, u32(5)) + end(1) + reset(1),
    "udp": open_(1, 1) + datagram(1) + datagram_error(1) + reset(1, 99),
    "credit": frame(6, 1, u32(5)) + frame(7, 1, u32(5)) + frame(8, 1, u32(5)),
    "tunnel": ping() + frame(12, 0, bytes(8)) + info(b"x", flags=MORE) + frame(14, 0, bytes(8)) + frame(15, 0, b"bye"),
    "grown": frame(1, 1, struct.pack(">HHI", 0, 0, 9) + PEER + PEER + b"more"),
    "ignored": frame(99, 5, b"whatever", MAY_IGNORE) + ping(),
    "unknown": frame(99, 5, b"whatever"),
    "too-long": u32(65537) + u32(1) + b"\0\3\0\0",
}


def field(tag, value):
    return struct.pack(">HI", tag, len(value)) + value


INFOS = {
    "target": field(1, b"eth0")
    + field(2, b"shop-1")
    + field(3, A4 + b"\x18")
    + field(3, A6 + b"\x40")
    + field(4, A4 + b"\x18\1" + A4 + u32(100))
    + field(5, b"ipv4/tcp_rmem\0004096 131072 6291456")
    + field(6, b"nameserver 10.96.0.10\n")
    + field(7, b"127.0.0.1 localhost\n")
    + field(8, b"\1"),
    "unknown": field(99, b"x") + field(1, b"lo"),
    "way-up": field(5, b"ipv4/../../kernel/core_pattern\0x"),
    "failure": field(1, b"enter pid/1: no") + field(2, b"be root") + field(3, b"\1"),
    "failure-escape": field(1, b"\x1b[2J\n"),
}

LOOPBACK = bytes(10) + b"\xff\xff\x7f\0\0\1"
SUBSCRIPTION = field(1, u32(5)) + field(2, b"\x06") + field(3, b"\x1f\x90") + field(4, b"\2")
SUBSCRIPTIONS = {
    "steal": b"\0" + SUBSCRIPTION + field(9, bytes(16) + b"\x0b\xb8\0"),
    "mirror": b"\0" + SUBSCRIPTION + field(4, b"\1") + field(5, b"\3") + field(6, b"\1") + field(8, b"ann@box\x1b"),
    "filter": b"\0" + SUBSCRIPTION + field(7, b'{"header":"x: y"}') + field(9, LOOPBACK + b"\0\1\1") * 2,
    "incomplete": b"\0" + field(1, u32(5)) + field(3, b"\x1f\x90"),
    "subscribed": b"\1" + field(1, u32(5)),
    "refused": b"\1" + field(1, u32(5)) + field(2, b"stolen by ann") + field(3, b"ask her"),
    "counters": b"\2" + b"\0\1" + bytes(7) + b"\5" + b"\xff\xff" + bytes(8),
    "notice": b"\2the target restarted\n",
}

REFUSE, LATER, HOLD, ECHO, END, CLOSE, RESET, ATTACH = (1 << n for n in range(8))


def session(*arrivals, does=(ECHO | END | CLOSE,), role=0):
    """The input of the mux target. The mux's own streams are 1 and 3 (a session's), 2 and 4 (an agent's)."""
    behaviour = bytes((list(does) * 8)[:8])
    return bytes([role]) + behaviour + b"".join(struct.pack(">H", len(a)) + a for a in arrivals)


RESUMABLE, AS_AGENT = 4, 1


def ack(position):
    return frame(14, 0, struct.pack(">Q", position))


def resumed(*arrivals, does=(ECHO | END | CLOSE,), role=0):
    """The same with a number for each break: the position that the peer has then."""
    whole = session(does=does, role=role | RESUMABLE)
    for a in arrivals:
        whole += struct.pack(">HQ", 65535, a) if isinstance(a, int) else struct.pack(">H", len(a)) + a
    return whole


# Two OPENs of the mux's own and a PING are there at once: 56 + 56 + 20 bytes.
MUXES = {
    "echo": session(opened(1, 100000) + opened(3), data(1, b"hello") + end(1), reset(3)),
    "agent": session(open_(1), data(1, b"hello" * 100, DRY), end(1), role=1),
    "cut": session(open_(2), data(2, b"hello")[:7], data(2, b"hello")[7:] + end(2)),
    "hold": session(open_(2, window=100000), data(2, bytes(30000)), data(2, bytes(30000)), reset(2), does=(HOLD,)),
    "late": session(open_(2) + open_(4, 1), datagram(4), reset(2) + reset(4), data(2, b"x"), does=(LATER, LATER | ATTACH)),
    "refused": session(open_(2), data(2, b"x"), does=(REFUSE,)),
    "reset": session(open_(2) + data(2, b"x") + data(2, b"y") + end(2), does=(RESET,)),
    "datagrams": session(opened(3) + datagram(3) + datagram_error(3), does=(ECHO, ECHO | CLOSE)),
    "recall": session(opened(1, 100000) + frame(7, 1, u32(0)), data(1, b"x"), frame(6, 1, u32(10)), does=(ECHO,)),
    "return": session(opened(1) + frame(8, 1, u32(0))),
    "overrun": session(opened(1), data(1, bytes(65000)), data(1, bytes(65000)), does=(HOLD,)),
    "pings": session(ping() * 10, ping() * 100),
    "info": session(info(b"a", flags=MORE) + info(b"b", flags=MORE) + info(b"c")),
    "ignored": session(frame(77, 9, b"x", MAY_IGNORE) + ping()),
    "close": session(frame(15, 0, b"bye")),
    "no-hello": session(b"HTTP/1.1 400 Bad Request\r\n", role=2),
    "other-hello": session(hello(role=2)[:30], hello(role=2)[30:] + open_(2), role=2),
    "resume": resumed(opened(1, 100000) + data(1, b"hello"), 0, data(1, b"again"), 60, data(1, b"once more") + end(1)),
    "resume-mid-frame": resumed(opened(1, 100000) + data(1, b"hello")[:9], 132, data(1, b"hello")[9:] + end(1), 7, reset(3)),
    "resume-agent": resumed(open_(1), data(1, b"hello" * 100), 100, data(1, b"more"), 132, end(1), role=AS_AGENT),
    "resume-too-far": resumed(opened(1), 1 << 40),
    "resume-too-early": resumed(opened(1, 100000), ack(132), 20),
    "ack": resumed(opened(1, 100000), data(1, b"x" * 5000), ack(100), ack(132), ack(1 << 50)),
    "many": session(b"".join(open_(n) for n in range(2, 600, 2)), b"".join(end(n) for n in range(2, 600, 2))),
}


def main():
    for target, inputs in {"frame": FRAMES, "info": INFOS, "mux": MUXES, "subscription": SUBSCRIPTIONS}.items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in inputs.items():
            (directory / name).write_bytes(content)


if __name__ == "__main__":
    main()
