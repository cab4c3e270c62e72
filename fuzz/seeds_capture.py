#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fuzz/seeds_capture.py -- writes the inputs that fuzzing reassembly and captures starts from to fuzz/corpus."""
import pathlib
import struct

from seeds import A4, A6, B4, B6, PACKETS, TCP, THREE4, THREE6

CORPUS = pathlib.Path(__file__).parent / "corpus"
FIN, SYN, RST, ACK = 1, 2, 4, 16


def segment(server, flags, seq, ack, payload=b"", v6=False, kind=0):
    """One packet as the target's input: what it is, length, bytes."""
    ports = (80, 40000) if server else (40000, 80)
    tcp = struct.pack(">HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 65535, 0, 0) + payload
    if v6:
        packet = struct.pack(">IHBB", 6 << 28, len(tcp), TCP, 64) + (B6 + A6 if server else A6 + B6) + tcp
    else:
        packet = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, TCP, 0) + (B4 + A4 if server else A4 + B4) + tcp
    return bytes([server | kind]) + struct.pack(">H", len(packet)) + packet


def talk(*segments, first=1000, v6=False):
    """(who, flags, offset, payload) each; acknowledgements are of all that was sent so far."""
    seen, out = [first, 5000], b"\0"
    for server, flags, offset, payload in segments:
        base = 5000 if server else first
        out += segment(server, flags, base + offset, seen[1 - server], payload, v6)
        seen[server] = max(seen[server], base + offset + len(payload) + bool(flags & (SYN | FIN)))
    return out


SHAKE = (0, SYN, 0, b""), (1, SYN | ACK, 0, b""), (0, ACK, 1, b"")
REQUEST = (0, ACK, 1, b"hello"), (1, ACK, 1, b"answer")
INPUTS = {
    "one": talk(*SHAKE, *REQUEST),
    "one6": talk(*SHAKE, *REQUEST, v6=True),
    "wrap": talk(*SHAKE, *REQUEST, first=0xFFFFFFFD),
    "fins": talk(*SHAKE, *REQUEST, (0, ACK | FIN, 6, b""), (1, ACK | FIN, 7, b""), (0, ACK, 7, b"")),
    "reset": talk(*SHAKE, *REQUEST, (0, RST, 6, b"")),
    "swapped": talk(*SHAKE, (0, ACK, 6, b"world"), (0, ACK, 1, b"hello"), (1, ACK, 1, b"")),
    "overlap": talk(*SHAKE, (0, ACK, 6, b"world"), (0, ACK, 1, b"helloworld"), (1, ACK, 1, b"")),
    "conflict": talk(*SHAKE, (0, ACK, 6, b"world"), (0, ACK, 1, b"hellOWORLD"), (1, ACK, 1, b"")),
    "hole": talk(*SHAKE, (0, ACK, 6, b"world"), (1, ACK, 1, b"")),
    "middle": talk(*REQUEST, *REQUEST),
    "syn-data": talk((0, SYN, 0, b"data"), (1, SYN | ACK, 0, b""), (0, ACK, 5, b"more"), (1, ACK, 1, b"")),
    "again": talk(*SHAKE, *REQUEST, (0, SYN, 999, b"")) + talk(*SHAKE, *REQUEST, first=1999)[1:],
    "stream": b"\1" + struct.pack(">I", 0xFFFFFFF0) + bytes([10, 9, 0, 137, 30, 127, 20, 20, 40, 255, 157, 255]),
    "stream-swapped": b"\1" + struct.pack(">I", 77) + bytes([128, 127, 0, 127, 127, 129]),
}


def passed(*packets, how=0):
    """Captured packets, as the capture target's intake wants them."""
    return b"\0" + b"".join(bytes([how]) + struct.pack(">H", len(p)) + p for p in packets)


def record(kind, data, type_=0, wire=0):
    return struct.pack(">IBBHIIQ", len(data), kind, type_, 1, 2, wire or len(data), 1700000000123456789) + data


def request(*ports, tcp=None):
    n = len(ports) if tcp is None else tcp
    return struct.pack(f">HH{len(ports)}H", n, len(ports) - n, *ports)


CAPTURES = {
    "in": passed(PACKETS["ack4"], PACKETS["syn6"], how=4),
    "in-unsummed": passed(PACKETS["ack4"], PACKETS["udp4"], PACKETS["udp6"]),
    "out": passed(PACKETS["ack4"], PACKETS["udp6"], how=1),
    "lo": passed(PACKETS["ack4"], PACKETS["udp6"], how=2),
    "fragments4": passed(*THREE4, how=4),
    "fragments6": passed(*THREE6, how=4),
    "head": passed(PACKETS["ack4"][:45], how=5),
    "records": b"\1" + record(1, request(80, 53, tcp=1)) + record(2, PACKETS["ack4"], 4) + record(3, b"", wire=7) + record(4, b"text\0advice"),
    "record-too-long": b"\1" + struct.pack(">IBBHIIQ", 0x40001, 2, 0, 0, 0, 0, 0),
    "request": b"\2" + request(80, 443, 53, tcp=2),
    "request-none": b"\2" + request(),
    "request-too-many": b"\2" + struct.pack(">HH", 300, 101),
}


def main():
    for target, inputs in {"reassembly": INPUTS, "capture": CAPTURES}.items():
        directory = CORPUS / target
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
