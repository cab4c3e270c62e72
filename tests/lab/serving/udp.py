# SPDX-License-Identifier: MIT
"""Datagrams to a stolen port."""

import socket
import time

from probes.kit import address
from serving.kit import PORT, pair

SIZES = (0, 1, 512, 1400, 1472, 4000, 30000, 65000)


@pair(families=(4, 6))
def udp_sizes():
    """Each arrives whole, from the client's address, and its answer from the server's."""
    def server(p):
        u = p.datagrams()
        p.call("bound", u.getsockname)
        for _ in SIZES:
            data, peer = u.recvfrom(70000)
            p.note("from", [len(data), address(peer)])
            u.sendto(data, peer)

    def client(p):
        u = p.udp(10)
        u.connect(p.to("pod", PORT))
        p.names(u)
        for n in SIZES:
            p.exchange(u, bytes(n), key=f"{n}")
    return server, client


@pair(families=(4, 6))
def udp_unconnected_client():
    """The answer's source is the address that was asked."""
    def server(p):
        u = p.datagrams()
        for _ in range(3):
            data, peer = u.recvfrom(100)
            u.sendto(b"re: " + data, peer)

    def client(p):
        u = p.udp(10)
        for i in range(3):
            p.exchange(u, b"%d" % i, p.to("pod", PORT), f"answer {i}")
    return server, client


@pair()
def udp_two_clients():
    def server(p):
        u = p.datagrams()
        for _ in range(4):
            data, peer = u.recvfrom(100)
            p.note("from", [data.decode(), address(peer)])
            u.sendto(data.upper(), peer)

    def client(p):
        a, b = p.udp(10), p.udp(10)
        for _ in range(2):
            p.exchange(a, b"a", p.to("pod", PORT), "a")
            p.exchange(b, b"b", p.to("pod", PORT), "b")
    return server, client


@pair()
def udp_several_answers():
    """And one that comes late."""
    def server(p):
        u = p.datagrams()
        _, peer = u.recvfrom(100)
        for i in range(5):
            u.sendto(b"%d" % i, peer)
        time.sleep(1)
        u.sendto(b"late", peer)

    def client(p):
        u = p.udp(10)
        u.sendto(b"all", p.to("pod", PORT))
        for _ in range(6):
            p.datagram(u)
    return server, client


@pair()
def udp_connected_server():
    """A server that connects its socket to the client, as DTLS ones do."""
    def server(p):
        u = p.datagrams()
        data, peer = u.recvfrom(100)
        u.connect(peer)
        p.names(u)
        u.send(b"connected")
        p.call("next", u.recv, 100)
        u.send(b"bye")

    def client(p):
        u = p.udp(10)
        p.exchange(u, b"hello", p.to("pod", PORT))
        p.exchange(u, b"more", p.to("pod", PORT), "more")
    return server, client


@pair()
def udp_on_the_pods_address():
    def server(p):
        u = p.datagrams(p.ip("pod"))
        data, peer = u.recvfrom(100)
        p.note("from", address(peer))
        u.sendto(data, peer)

    def client(p):
        p.exchange(p.udp(10), b"hello", p.to("pod", PORT))
    return server, client


@pair()
def udp_destination_address():
    """IP_PKTINFO: which of its addresses was asked."""
    def server(p):
        u = p.datagrams(ready=False)
        u.setsockopt(socket.IPPROTO_IP, 8, 1)
        p.ready()
        data, control, _, peer = u.recvmsg(100, 100)
        p.note("asked", [socket.inet_ntoa(value[8:12]) for _, kind, value in control if kind == 8])
        u.sendto(data, peer)

    def client(p):
        p.exchange(p.udp(10), b"hello", p.to("pod", PORT))
    return server, client


@pair(families=(4, 6), node="pod")
def udp_from_localhost():
    def server(p):
        u = p.datagrams()
        data, peer = u.recvfrom(100)
        p.note("from", address(peer))
        u.sendto(data, peer)

    def client(p):
        p.exchange(p.udp(10), b"hello", p.to(p.loopback, PORT))
    return server, client


@pair()
def udp_in_order():
    """Two hundred, none lost, none twice, in their order; the client waits for each tenth."""
    def server(p):
        u = p.datagrams()
        got = []
        while len(got) < 200:
            data, peer = u.recvfrom(100)
            got.append(int(data))
            if len(got) % 10 == 0:
                u.sendto(data, peer)
        p.note("in order", got == list(range(200)))

    def client(p):
        u = p.udp(10)
        u.connect(p.to("pod", PORT))
        answers = []
        for i in range(200):
            u.send(b"%d" % i)
            if i % 10 == 9:
                answers.append(int(u.recv(100)))
        p.note("answers", answers)
    return server, client
