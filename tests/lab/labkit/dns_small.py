# SPDX-License-Identifier: MIT
"""A name server of a few lines: A and AAAA records from a function, for the resolver at 127.0.0.11 and for the host's own."""

import socket
import struct
import threading


def docker(name):
    """What Docker's embedded resolver would say."""
    return {"db-of-docker": ["10.0.20.6", "fd00:20::6"], "whoami-docker": ["10.0.20.5"]}.get(name)


def outside(name):
    """The host's name server: knows other names, and answers the cluster's wrongly."""
    return {"laptop.example.test": ["198.51.100.7", "2001:db8:51::7"], "payment.shop.svc.cluster.test": ["203.0.113.9"],
            "api.example.test": ["203.0.113.10"]}.get(name)


def answer(query, lookup):
    ident, flags, questions = struct.unpack_from("!HHH", query)
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    kind, = struct.unpack_from("!H", query, at + 1)
    question = query[12:at + 5]
    found = lookup(".".join(labels))
    records = b""
    count = 0
    for ip in found or []:
        if (kind == 1) == (":" not in ip) and kind in (1, 28):
            data = socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)
            records += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 5, len(data)) + data
            count += 1
    code = 3 if found is None else 0
    return struct.pack("!HHHHHH", ident, 0x8580 | code | (flags & 0x0100), 1, count, 0, 0) + question + records


class DnsServer:
    """UDP and TCP on port 53 of @ip."""

    def __init__(self, witness, label, ip, lookup):
        self.witness, self.label, self.lookup = witness, label, lookup
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((ip, 53))
        self.tcp = socket.socket(family, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((ip, 53))
        self.tcp.listen(64)
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
                self.udp.sendto(answer(query, self.lookup), peer)
            except (OSError, IndexError, struct.error):
                continue

    def _serve_tcp(self):
        while True:
            try:
                conn, _ = self.tcp.accept()
                with conn:
                    conn.settimeout(5)
                    size, = struct.unpack("!H", conn.recv(2, socket.MSG_WAITALL))
                    reply = answer(conn.recv(size, socket.MSG_WAITALL), self.lookup)
                    conn.sendall(struct.pack("!H", len(reply)) + reply)
            except (OSError, IndexError, struct.error):
                continue
