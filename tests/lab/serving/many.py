# SPDX-License-Identifier: MIT
"""Many connections at once."""

import resource
import select
import socket

from serving.kit import PORT, pair


def more_descriptors(n):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(n + 100, hard), hard))


def at_once(n):
    """All are open before the first is answered, and each has its own answer."""
    def server(p):
        more_descriptors(n)
        s = p.listener(backlog=4096, ready=False)
        s.setblocking(False)
        poller, conns, done = select.epoll(), {}, 0
        poller.register(s, select.EPOLLIN)
        p.ready()
        while done < n:
            for fd, _ in poller.poll():
                if fd == s.fileno():
                    try:
                        c, _ = s.accept()
                    except BlockingIOError:
                        continue
                    conns[c.fileno()] = c
                    poller.register(c, select.EPOLLIN)
                elif data := conns[fd].recv(100):
                    conns[fd].sendall(b"you said " + data)
                else:
                    conns.pop(fd).close()
                    done += 1
        p.note("served", done)

    def client(p):
        more_descriptors(n)
        socks = [socket.create_connection(p.to("pod", PORT), 30) for _ in range(n)]
        good = 0
        for i, s in enumerate(socks):
            s.sendall(b"%06d" % i)
        for i, s in enumerate(socks):
            good += s.recv(100) == b"you said %06d" % i
        p.note("answered", good)
        for s in socks:
            s.close()
    return server, client


@pair(timeout=60)
def five_hundred_at_once():
    return at_once(500)


@pair(long=True, modes=("root",), timeout=240)
def five_thousand_at_once():
    return at_once(5000)


@pair(timeout=60)
def short_ones():
    """One after the other, each complete."""
    n = 300

    def server(p):
        s = p.listener()
        for _ in range(n):
            c, _ = s.accept()
            c.sendall(c.recv(10))
            c.close()
        p.note("served", n)

    def client(p):
        good = 0
        for i in range(n):
            s = socket.create_connection(p.to("pod", PORT), 10)
            s.sendall(b"%05d" % i)
            good += s.recv(10) == b"%05d" % i and s.recv(10) == b""
            s.close()
        p.note("answered", good)
    return server, client
