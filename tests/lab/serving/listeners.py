# SPDX-License-Identifier: MIT
"""Ways to listen and to accept."""

import concurrent.futures
import os
import select
import socket
import time

from serving.kit import PORT, pair


def listener_of_ipv6_alone():
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.settimeout(15)
    s.bind(("::", PORT))
    s.listen()
    return s


def answer(listener):
    """One client: it has back what it says."""
    c, _ = listener.accept()
    c.sendall(c.recv(10))
    c.close()


def ask(p, times):
    """So many clients, one after the other."""
    for i in range(times):
        s = p.dial(key=f"connect {i}")
        s.sendall(b"n%02d" % i)
        p.read_to_end(s)


@pair(families=(4, 6))
def on_the_pods_address_alone():
    def server(p):
        s = p.listener(p.ip("pod"))
        p.call("listener", s.getsockname)
        p.names(p.accept(s))

    def client(p):
        p.read_to_end(p.dial())
    return server, client


@pair(families=(6,))
def dual_stack():
    """A listener on :: has both families' clients."""
    def server(p):
        s = p.listener()
        for key in ("IPv6", "IPv4"):
            c = p.accept(s, key)
            p.names(c, key + " ")
            c.close()

    def client(p):
        p.read_to_end(p.dial())
        s = socket.create_connection(("10.244.1.7", PORT), 10)
        p.names(s)
        p.read_to_end(s)
    return server, client


@pair(families=(6,))
def v6_only():
    """An IPv4 client is refused."""
    def server(p):
        s = listener_of_ipv6_alone()
        p.ready()
        p.accept(s)
        s.close()

    def client(p):
        s = socket.socket()
        s.settimeout(5)
        p.call("IPv4", s.connect, ("10.244.1.7", PORT))
        p.read_to_end(p.dial())
    return server, client


@pair()
def one_family_after_the_other():
    """IPv6 clients are refused until the program listens for them, too."""
    def server(p):
        s = p.listener()
        c = p.accept(s)
        t = listener_of_ipv6_alone()
        c.sendall(b"now")
        p.accept(t, "IPv6").sendall(b"6")

    def client(p):
        for key in ("too early", "then"):
            s = socket.socket(socket.AF_INET6)
            s.settimeout(5)
            p.call(key, s.connect, ("fd00:244:1::7", PORT))
            if key == "too early":
                p.take(p.dial(), 3)
        p.read_to_end(s)
    return server, client


@pair()
def in_several_processes():
    """Three of them accept from one listener; each serves some."""
    def server(p):
        s = p.listener(ready=False)
        for _ in range(3):
            if os.fork() == 0:
                for _ in range(4):
                    answer(s)
                os._exit(0)
        p.ready()
        p.note("their ends", [os.wait()[1] for _ in range(3)])

    def client(p):
        ask(p, 12)
    return server, client


@pair()
def reuseport():
    """Two sockets on one port: all are served by one or the other."""
    def server(p):
        s = [p.listener(ready=False, SO_REUSEPORT=1) for _ in range(2)]
        p.ready()
        served = 0
        while served < 16:
            for ready in select.select(s, [], [], 10)[0]:
                answer(ready)
                served += 1
        p.note("served", served)

    def client(p):
        ask(p, 16)
    return server, client


@pair()
def accept_without_blocking():
    def server(p):
        s = p.listener(ready=False)
        s.setblocking(False)
        p.call("nobody yet", s.accept)
        p.ready()
        p.poll(s, select.POLLIN, 10, "somebody")
        p.accept(s).close()
        p.call("nobody more", s.accept)

    def client(p):
        p.read_to_end(p.dial())
    return server, client


@pair()
def what_accepted_sockets_inherit():
    def server(p):
        s = p.listener(SO_KEEPALIVE=1, SO_RCVBUF=50000, SO_SNDBUF=60000)
        c = p.accept(s)
        for name in ("SO_KEEPALIVE", "SO_RCVBUF", "SO_SNDBUF", "SO_REUSEADDR", "SO_LINGER", "SO_ERROR", "SO_TYPE", "SO_PROTOCOL", "SO_DOMAIN",
                     "SO_ACCEPTCONN", "SO_OOBINLINE", "SO_PRIORITY", "SO_MARK"):
            p.call(name, c.getsockopt, socket.SOL_SOCKET, getattr(socket, name))
        p.call("blocking", c.getblocking)
        p.call("nodelay", c.getsockopt, socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def client(p):
        p.read_to_end(p.dial())
    return server, client


@pair()
def defer_accept():
    """TCP_DEFER_ACCEPT: accept() returns when data is there."""
    def server(p):
        s = p.listener(ready=False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
        p.ready()
        c = p.accept(s)
        p.call("data is there", c.recv, 10, socket.MSG_DONTWAIT)
        c.sendall(b"ok")

    def client(p):
        s = p.dial()
        time.sleep(0.3)
        s.sendall(b"data")
        p.take(s, 2)
    return server, client


@pair()
def two_ports():
    """Each has its own clients."""
    def server(p):
        a, b = p.listener(ready=False), p.listener(port=PORT + 1, ready=False)
        p.ready()
        p.names(p.accept(b, "b"), "b ")
        p.names(p.accept(a, "a"), "a ")

    def client(p):
        p.read_to_end(p.dial(PORT + 1))
        p.read_to_end(p.dial(PORT))
    return server, client


@pair()
def a_listener_again():
    """Closed and opened again, on the same port, while a connection of the first is open."""
    def server(p):
        s = p.listener()
        first = p.accept(s, "first")
        s.close()
        s = p.listener(ready=False)
        first.sendall(b"again")
        second = p.accept(s, "second")
        second.sendall(b"2")
        first.sendall(b"1")

    def client(p):
        first = p.dial()
        p.take(first, 5)
        second = p.dial()
        p.take(second, 1)
        p.read_to_end(first)
    return server, client


@pair()
def nobody_accepts():
    """A queue that is not full: the client is connected and may write; the server's end resets it."""
    def server(p):
        s = p.listener(backlog=5)
        time.sleep(1.5)
        s.close()
        p.note("closed", True)

    def client(p):
        s = p.dial()
        p.call("write", s.send, b"anybody?")
        p.poll(s, select.POLLIN | select.POLLRDHUP, key="the end")
        p.call("read", s.recv, 10)
    return server, client


@pair()
def full_queue():
    """More than the queue takes: those who are in it are served when the server looks, and the others when they knock again. Whoever comes
    first, so each asks for itself."""
    clients = 4

    def server(p):
        s = p.listener(backlog=1)
        time.sleep(0.5)
        for _ in range(clients):
            c, _ = s.accept()
            c.settimeout(15)
            c.sendall(c.recv(10))
            c.close()

    def ask(p):
        s = p.tcp(20)
        s.connect(p.to("pod", PORT))
        s.sendall(b"me")
        return s.recv(10).decode(), s.recv(10).decode()

    def client(p):
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            p.note("answers", list(pool.map(ask, [p] * clients)))
    return server, client


@pair(families=(4, 6), timeout=60)
def nobody_answers_for_a_full_queue():
    """While it is full nobody who comes is answered; when the server accepts again, all are, who knock meanwhile. How many are in it may differ: the
    agent hears of a full queue some ten milliseconds after it is, and within a tenth of a second at the latest."""
    backlog, patience, rounds = 3, 0.6, 50

    def server(p):
        s, told = p.listener(backlog=backlog, ready=False), p.listener(port=PORT + 1)
        s.settimeout(40)
        told.settimeout(60)
        c, _ = told.accept()
        for one in [s.accept()[0] for _ in range(int(c.recv(10)))]:
            one.sendall(b"at last")
            one.close()

    def knock(p):
        s = p.tcp(40)
        s.setblocking(False)
        s.connect_ex(p.to("pod", PORT))
        return s

    def wait_for(socks, seconds=patience):
        end = time.monotonic() + seconds
        return [s for s in socks if select.select([], [s], [], max(0, end - time.monotonic()))[1]]

    def client(p):
        inside = [knock(p) for _ in range(backlog + 1)]
        p.note("as many as fit are answered", len(wait_for(inside, 20)) == backlog + 1)
        for _ in range(rounds):
            time.sleep(0.1)
            outside = [knock(p)]
            if not wait_for(outside):
                outside += [knock(p) for _ in range(2)]
            inside += outside
            if not wait_for(outside):
                break
        p.note("the last ones that are answered", len(wait_for(outside)))
        p.dial(PORT + 1, key="another port").sendall(b"%d" % len(inside))
        p.note("all are served", all(wait_for([s], 40) and s.recv(10) == b"at last" for s in inside))
    return server, client
