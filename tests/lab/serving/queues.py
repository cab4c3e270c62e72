# SPDX-License-Identifier: MIT
"""The queue of a listener: who is answered while nobody accepts, and that all are served who waited or knock again when somebody does."""

import select
import socket
import struct
import threading
import time

from labkit import plan
from serving.kit import PORT, pair

BACKLOGS = (0, 1, 3, 16, 128)
PATIENCE = 0.6  # less than a second, after which a client knocks again
NOTICED = 0.3  # until what a program does to its own queue is known


def length(listener):
    """How many wait for accept(), as the kernel has it: of a listener, that is tcpi_unacked."""
    return struct.unpack_from("I", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]


def echo(c):
    c.sendall(c.recv(10))
    c.close()


def serve(listener):
    listener.settimeout(None)
    while True:
        threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()


def server(p):
    """Accepts nobody until it is told to."""
    listeners = [p.listener(port=PORT + i, backlog=backlog, ready=False) for i, backlog in enumerate(BACKLOGS)]
    told = p.listener(port=PORT + len(BACKLOGS))
    told.settimeout(40)
    c, _ = told.accept()
    c.recv(10)
    p.note("in the queues", [length(s) for s in listeners])
    for s in listeners:
        threading.Thread(target=serve, args=(s,), daemon=True).start()
    c.sendall(b"now")
    c.recv(10)


def tell(p):
    s = p.dial(PORT + len(BACKLOGS), key="another port")
    s.settimeout(20)
    s.sendall(b"all")
    s.recv(10)
    return s


def knock(p, port, family):
    s = socket.socket({4: socket.AF_INET, 6: socket.AF_INET6}[family])
    s.setblocking(False)
    s.connect_ex((plan.address("pod", family), port))
    return s


def answered(socks, seconds=PATIENCE):
    """Those who are connected by then."""
    time.sleep(seconds)
    p = select.poll()
    for s in socks:
        p.register(s.fileno(), select.POLLOUT)
    ready = {fd for fd, events in p.poll(0) if not events & select.POLLERR}
    return [s for s in socks if s.fileno() in ready]


def is_served(s):
    """The client speaks first: with SYN cookies the server may know of it only then."""
    try:
        select.select([], [s], [], 40)
        s.settimeout(40)
        s.sendall(b"me")
        return s.recv(10) == b"me"
    except OSError:
        return False


def one_by_one(p, families):
    """So slowly that whoever is behind it has the time to see that it is full."""
    rows = []
    for i, backlog in enumerate(BACKLOGS):
        socks = []
        for n in range(backlog + 5):
            socks.append(knock(p, PORT + i, families[n % len(families)]))
            time.sleep(0.002)
        rows.append(socks)
        p.note(f"backlog {backlog}: are answered", len(answered(socks)))
    told = tell(p)
    for backlog, socks in zip(BACKLOGS, rows):
        p.note(f"backlog {backlog}: are served", sum(map(is_served, socks)))
    told.close()


@pair(families=(4, 6), timeout=60, lent=True)
def full_queue_one_by_one():
    """As many are answered as the queue takes, and nobody else; then all are served, who waited or knock again."""
    return server, lambda p: one_by_one(p, [p.family])


@pair(families=(6,), timeout=60, lent=True)
def full_queue_of_both_families():
    """A listener on :: has one queue, whoever comes."""
    return server, lambda p: one_by_one(p, [4, 6])


@pair(families=(4, 6), timeout=60, lent=True)
def full_queue_at_once():
    """Many who come at once. Some of them may find room and be answered, and then no room when their handshake ends, in any kernel: they
    believe to be connected."""
    believers = 8

    def client(p):
        rows = []
        for i, backlog in enumerate(BACKLOGS):
            socks = [knock(p, PORT + i, p.family) for _ in range(200)]
            rows.append(answered(socks))
            p.note(f"backlog {backlog}: as many are answered as fit", backlog + 1 <= len(rows[-1]) <= backlog + 1 + believers)
            for s in socks:
                if s not in rows[-1]:
                    s.close()
        told = tell(p)
        for backlog, socks in zip(BACKLOGS, rows):
            p.note(f"backlog {backlog}: as many are served", sum(map(is_served, socks)) > backlog)
        told.close()
    return server, client


@pair(families=(4, 6), timeout=60, lent=True)
def full_queue_of_another_length():
    """listen() again: those who are in the queue stay, and from then on it has the new length."""
    lengths = (1, 4, 2, 6)

    def server(p):
        s, told = p.listener(backlog=0, ready=False), p.listener(port=PORT + 1)
        told.settimeout(40)
        c, _ = told.accept()
        for backlog in lengths:
            c.recv(10)
            s.listen(backlog)
            time.sleep(NOTICED)
            c.sendall(b"now")
        c.recv(10)
        p.note("in the queue", length(s))

    def client(p):
        told, socks = p.dial(PORT + 1, key="another port"), []
        for backlog in lengths:
            told.sendall(b"next")
            told.recv(10)
            knocking = socks + [knock(p, PORT, p.family) for _ in range(4)]
            socks = answered(knocking)
            p.note(f"backlog {backlog}: are answered", len(socks))
            for s in knocking:
                if s not in socks:
                    s.close()
        told.close()
    return server, client


@pair(families=(4, 6), timeout=60, lent=True)
def full_queue_of_its_own():
    """Some of those who wait are the server's own clients, from where it runs itself."""
    def server(p):
        s, told = p.listener(backlog=4, ready=False), p.listener(port=PORT + 1, ready=False)
        own = [socket.create_connection(("127.0.0.1" if p.family == 4 else "::1", PORT)) for _ in range(3)]
        time.sleep(NOTICED)
        p.ready()
        c, _ = told.accept()
        p.note("in the queue", [length(s), len(own)])
        c.close()

    def client(p):
        p.note("are answered", len(answered([knock(p, PORT, p.family) for _ in range(6)])))
        p.read_to_end(p.dial(PORT + 1, key="another port"))
    return server, client
