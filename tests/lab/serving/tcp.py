# SPDX-License-Identifier: MIT
"""Bytes between a client and a stolen port: who speaks first, how much, in which order, from where."""

import select
import socket
import threading
import time

from labkit import pattern
from serving.kit import PORT, pair

MIB = 1 << 20


@pair(families=(4, 6))
def names_and_addresses():
    def server(p):
        s = p.listener()
        p.call("of the listener", s.getsockname)
        c = p.accept(s)
        p.names(c)
        p.take(c, 5)
        c.sendall(b"there")

    def client(p):
        s = p.dial()
        p.names(s)
        s.sendall(b"hello")
        p.take(s, 5)
        p.read_to_end(s)
    return server, client


@pair()
def smtp_banner():
    """The server speaks first, then they take turns."""
    def server(p):
        c = p.accept(p.listener())
        c.sendall(b"220 mail.example ESMTP\r\n")
        for answer in (b"250-mail.example\r\n250 PIPELINING\r\n", b"250 sender ok\r\n", b"221 bye\r\n"):
            p.line(c)
            c.sendall(answer)
        c.close()

    def client(p):
        s = p.dial()
        with p.timed("the banner"):
            p.line(s)
        s.sendall(b"EHLO client\r\n")
        p.line(s)
        p.line(s)
        s.sendall(b"MAIL FROM:<a@b>\r\n")
        p.line(s)
        s.sendall(b"QUIT\r\n")
        p.read_to_end(s)
    return server, client


@pair()
def mysql_like_greeting():
    """A binary greeting, and a client that says nothing before it has all of it."""
    greeting = b"\x4a\x00\x00\x00\x0a8.0.36\x00" + bytes(range(66))

    def server(p):
        c = p.accept(p.listener())
        c.sendall(greeting)
        p.take(c, 36)
        c.sendall(b"\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00")
        p.read_to_end(c)

    def client(p):
        s = p.dial()
        p.take(s, len(greeting))
        s.sendall(b"\x20\x00\x00\x01" + bytes(32))
        p.take(s, 11)
        s.close()
    return server, client


@pair()
def late_banner():
    """A server that thinks for half a second before it speaks."""
    def server(p):
        c = p.accept(p.listener())
        time.sleep(0.5)
        c.sendall(b"sorry\n")
        p.read_to_end(c)

    def client(p):
        s = p.dial()
        with p.timed("the banner"):
            p.line(s)
        s.close()
    return server, client


@pair()
def data_with_the_connection():
    """A client that writes at once and a server that looks later: all is there, and can be looked at without being taken."""
    def server(p):
        c = p.accept(p.listener())
        time.sleep(0.4)
        p.call("peek", c.recv, 3, socket.MSG_PEEK)
        p.call("peek at all", c.recv, 100, socket.MSG_PEEK)
        p.call("with no wait", c.recv, 100, socket.MSG_DONTWAIT)
        p.call("no more", c.recv, 100, socket.MSG_DONTWAIT)
        c.sendall(b"done")

    def client(p):
        s = p.dial()
        s.sendall(b"first bytes")
        p.take(s, 4)
    return server, client


@pair()
def one_byte_at_a_time():
    """A slow loris; another client is served meanwhile."""
    text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    def server(p):
        s = p.listener()
        slow = p.accept(s)
        quick = p.accept(s)
        p.take(quick, 4, "the quick one")
        quick.sendall(b"pong")
        p.take(slow, len(text), "the slow one")
        slow.sendall(b"finally")

    def client(p):
        slow, quick = p.dial(), p.dial()
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        slow.sendall(text[:1])
        with p.timed("the quick one"):
            quick.sendall(b"ping")
            p.take(quick, 4)
        for i in range(1, len(text)):
            slow.sendall(text[i:i + 1])
            time.sleep(0.03)
        p.take(slow, 7)
    return server, client


@pair()
def in_order():
    """Pipelined requests on one connection, each with a number."""
    def server(p):
        c = p.accept(p.listener())
        f = c.makefile("rb")
        got = [int(f.readline()) for _ in range(2000)]
        p.note("in order", got == list(range(2000)))
        c.sendall(b"".join(b"%d\n" % n for n in got))

    def client(p):
        s = p.dial()
        for n in range(2000):
            s.sendall(b"%d\n" % n)
        p.note("in order", [int(line) for line in s.makefile("rb")] == list(range(2000)))
    return server, client


def up(size):
    def server(p):
        c = p.accept(p.listener())
        p.drain(c, size)
        p.take(c, 1, "behind it")
        c.sendall(b"thanks")

    def client(p):
        s = p.dial()
        p.pour(s, size)
        s.shutdown(socket.SHUT_WR)
        p.take(s, 6)
    return server, client


def down(size):
    def server(p):
        c = p.accept(p.listener())
        p.take(c, 3)
        p.pour(c, size)

    def client(p):
        s = p.dial()
        s.sendall(b"all")
        p.drain(s, size)
        p.take(s, 1, "behind it")
    return server, client


@pair(families=(4, 6))
def much_up():
    return up(32 * MIB)


@pair(families=(4, 6))
def much_down():
    return down(32 * MIB)


@pair(long=True, timeout=240)
def a_gib_up():
    return up(1024 * MIB)


@pair(long=True, timeout=240)
def a_gib_down():
    return down(1024 * MIB)


@pair()
def both_ways_at_once():
    def work(p, s):
        t = threading.Thread(target=p.pour, args=(s, 8 * MIB))
        t.start()
        size, at, good = 8 * MIB, 0, True
        while at < size:
            data = s.recv(65536)
            good = good and data == pattern.piece(at, len(data))
            at += len(data)
        t.join()
        p.note("got", [at, good])

    def server(p):
        work(p, p.accept(p.listener()))

    def client(p):
        work(p, p.dial())
    return server, client


@pair()
def a_reader_that_waits():
    """A server that reads nothing for a second: nothing is lost, and nothing is read for it."""
    def server(p):
        s = p.listener(SO_RCVBUF=8192)
        c = p.accept(s)
        time.sleep(1)
        p.drain(c, 4 * MIB)
        c.sendall(b"ok")

    def client(p):
        s = p.dial()
        p.pour(s, 4 * MIB)
        p.take(s, 2)
    return server, client


@pair()
def a_client_that_waits():
    def server(p):
        c = p.accept(p.listener())
        p.pour(c, 4 * MIB)

    def client(p):
        s = p.tcp()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        s.connect(p.to("pod", PORT))
        time.sleep(1)
        p.drain(s, 4 * MIB)
        p.take(s, 1, "behind it")
    return server, client


@pair()
def urgent_byte():
    def server(p):
        c = p.accept(p.listener())
        c.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 0)
        p.poll(c, select.POLLPRI, 5)
        p.call("urgent", c.recv, 1, socket.MSG_OOB)
        p.take(c, 5)
        c.sendall(b"ok")

    def client(p):
        s = p.dial()
        s.sendall(b"abc")
        time.sleep(0.2)
        s.send(b"!", socket.MSG_OOB)
        time.sleep(0.2)
        s.sendall(b"de")
        p.take(s, 2)
    return server, client


@pair()
def from_a_chosen_port():
    """The client's own port arrives; and again from the same port, after it was reset."""
    def server(p):
        s = p.listener()
        for _ in range(3):
            c = p.accept(s)
            p.take(c, 1)
            p.read_to_end(c)
            c.close()

    def client(p):
        for i in range(3):
            s = p.tcp()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            s.bind((p.any_address(), 23456))
            p.connect("pod", PORT, f"connect {i}", s)
            s.sendall(b"x")
            time.sleep(0.4)
            s.close()
            time.sleep(0.4)
    return server, client


@pair(families=(4, 6), node="pod")
def from_the_pods_own_address():
    def server(p):
        c = p.accept(p.listener())
        p.names(c)
        c.sendall(b"hi")

    def client(p):
        s = p.dial()
        p.names(s)
        p.take(s, 2)
    return server, client


@pair(families=(4, 6), node="pod")
def from_the_pods_localhost():
    def server(p):
        s = p.listener()
        for _ in range(2):
            c = p.accept(s)
            p.names(c)
            c.sendall(b"hi")

    def client(p):
        for _ in range(2):
            s = p.dial(name=p.loopback)
            p.names(s)
            p.take(s, 2)
    return server, client
