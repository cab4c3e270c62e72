# SPDX-License-Identifier: MIT
"""UDP servers of the cluster."""

import json
import socket
import struct
import threading
import time

from . import plan
from .witness import address

IP_RECVTTL, IP_RECVTOS, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, IPV6_RECVTCLASS, IPV6_TCLASS = 12, 13, 51, 52, 66, 67
IP_TTL, IP_TOS = 2, 1


def echo(server, data, peer, marks):
    server.sock.sendto(data, peer)


def peer(server, data, peer_address, marks):
    answer = {"server": server.label, "peer": address(peer_address), "bytes": len(data)}
    server.sock.sendto(json.dumps(answer).encode(), peer_address)


def other_address(server, data, peer_address, marks):
    server.other.sendto(b"from elsewhere", peer_address)


def other_port(server, data, peer_address, marks):
    with socket.socket(server.family, socket.SOCK_DGRAM) as s:
        s.bind((server.ip, 8999))
        s.sendto(b"from another port", peer_address)


def sink(server, data, peer_address, marks):
    pass


def many(server, data, peer_address, marks):
    """As many datagrams as the first asks for, each with its number and the size that was asked for."""
    count, size = (int(x) for x in data.split())
    for i in range(count):
        server.sock.sendto(struct.pack("!I", i) + b"m" * (size - 4), peer_address)


def marks(server, data, peer_address, marks):
    server.sock.sendto(json.dumps(marks).encode(), peer_address)


def later(server, data, peer_address, marks):
    """Answers a second later, in a thread of its own."""
    def answer():
        time.sleep(1)
        server.sock.sendto(b"late " + data, peer_address)
    threading.Thread(target=answer, daemon=True).start()


CLUSTER = {
    plan.UDP_ECHO: echo, plan.UDP_PEER: peer, plan.UDP_OTHER_ADDRESS: other_address, plan.UDP_SINK: sink, plan.UDP_MANY: many,
    plan.UDP_MARKS: marks, plan.UDP_LATER: later, plan.UDP_OTHER_PORT: other_port, **{port: peer for port in plan.UDP_PEERS},
}


class UdpServer:
    def __init__(self, witness, label, ip, port, handler, other_ip=None):
        self.witness, self.label, self.handler, self.ip = witness, label, handler, ip
        self.family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.sock = self._socket(ip, port)
        if other_ip:
            self.other = self._socket(other_ip, port + 1000)
        threading.Thread(target=self._serve, daemon=True).start()

    def _socket(self, ip, port):
        s = socket.socket(self.family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if self.family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
        else:
            s.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            s.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        s.bind((ip, port))
        return s

    def _serve(self):
        names = {(0, IP_TTL): "ttl", (0, IP_TOS): "tos", (41, IPV6_HOPLIMIT): "ttl", (41, IPV6_TCLASS): "tos"}
        while True:
            try:
                data, control, _, peer_address = self.sock.recvmsg(65536, 256)
            except OSError:  # an ICMP error about an answer of ours
                continue
            seen = {}
            for level, kind, value in control:
                if (level, kind) in names:
                    seen[names[level, kind]] = value[0]
            self.witness.datagram(self.label, self.sock.getsockname(), peer_address, data, **seen)
            try:
                self.handler(self, data, peer_address, seen)
            except (OSError, ValueError):
                pass
