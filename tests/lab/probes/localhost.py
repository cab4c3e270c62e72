# SPDX-License-Identifier: MIT
"""localhost: what the program itself has there, and what the target has."""

import errno
import os
import select
import socket

from labkit import pattern, plan
from probes.kit import IP_RECVERR, IPV6_RECVERR, address, error_name, probe, reset

OWN = 20100  # ports from here on are nobody's in the target


def listener(p, ip, port, v6only=None, key="listen"):
    s = p.tcp(3)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    p.call(f"{key} bind {ip}", s.bind, (ip, port))
    p.call(f"{key} listen", s.listen, 16)
    return s


def connect_to(p, ip, port, key=None):
    key = key or f"connect {ip}"
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    s.settimeout(3)
    with p.timed(key):
        p.call(key, s.connect, (ip, port))
    return s


def meet(p, server, client, key=""):
    """The two ends of a connection inside the twin."""
    try:
        conn, peer = server.accept()
    except OSError as e:
        p.note(f"{key} accept", error_name(e))
        return None
    p.note(f"{key} accepted from", address(peer))
    p.names(conn, f"{key} accepted ")
    p.names(client, f"{key} client ")
    conn.settimeout(3)
    client.sendall(b"ping")
    p.call(f"{key} server got", conn.recv, 10)
    conn.sendall(b"pong")
    p.call(f"{key} client got", client.recv, 10)
    return conn


# Own listeners

@probe()
def own_listener(p):
    server = listener(p, p.loopback, OWN)
    meet(p, server, connect_to(p, p.loopback, OWN))


@probe()
def own_listener_any_port(p):
    server = listener(p, p.loopback, 0)
    meet(p, server, connect_to(p, p.loopback, server.getsockname()[1]))


@probe(families=(4,))
def own_listener_on_any_address(p):
    server = listener(p, "0.0.0.0", OWN + 1)
    for ip in ("127.0.0.1", "127.0.0.9", "10.244.1.7", "0.0.0.0"):
        meet(p, server, connect_to(p, ip, OWN + 1), ip)


@probe(families=(6,))
def own_listener_dual(p):
    """A listener on :: is reached by IPv4, too."""
    server = listener(p, "::", OWN + 2, v6only=0)
    for ip in ("::1", "127.0.0.1", "10.244.1.7", "fd00:244:1::7", "127.1.2.3"):
        meet(p, server, connect_to(p, ip, OWN + 2), ip)


@probe(families=(6,))
def own_listener_v6only(p):
    server = listener(p, "::", OWN + 3, v6only=1)
    meet(p, server, connect_to(p, "::1", OWN + 3))
    connect_to(p, "127.0.0.1", OWN + 3)


@probe()
def own_listener_on_own_address(p):
    server = listener(p, p.ip("pod"), OWN + 4)
    meet(p, server, connect_to(p, p.ip("pod"), OWN + 4))
    connect_to(p, p.loopback, OWN + 4)


@probe()
def own_listener_closed(p):
    """Closed, its port is the target's again: nobody's."""
    for i in range(2):
        server = listener(p, p.loopback, OWN + 5, key=f"{i}")
        client = connect_to(p, p.loopback, OWN + 5, f"{i} connect")
        conn = meet(p, server, client, f"{i}")
        server.close()
        connect_to(p, p.loopback, OWN + 5, f"{i} closed")
        if conn:
            client.sendall(b"still")
            p.call(f"{i} accepted connection lives", conn.recv, 10)
            reset(conn)


@probe()
def own_listener_full_queue(p):
    server = listener(p, p.loopback, OWN + 6)
    server.listen(0)
    first = connect_to(p, p.loopback, OWN + 6, "first")
    late = p.tcp(0.5)
    with p.timed("second"):
        p.call("second", late.connect, (p.loopback, OWN + 6))
    p.names(first)


@probe()
def own_listener_accepts_late(p):
    server = listener(p, p.loopback, OWN + 7)
    client = connect_to(p, p.loopback, OWN + 7)
    client.sendall(b"early data")
    client.close()
    conn, _ = server.accept()
    p.read_to_end(conn)


@probe()
def own_bound_not_listening(p):
    """A bound socket that doesn't listen refuses."""
    s = p.tcp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    p.call("bind", s.bind, (p.loopback, OWN + 8))
    connect_to(p, p.loopback, OWN + 8)


@probe()
def own_reset(p):
    server = listener(p, p.loopback, OWN + 9)
    client = connect_to(p, p.loopback, OWN + 9)
    conn = meet(p, server, client)
    if conn:
        reset(conn)
        p.call("client read", client.recv, 10)


@probe()
def own_large(p):
    import threading
    server = listener(p, p.loopback, OWN + 10)
    client = connect_to(p, p.loopback, OWN + 10)
    conn, _ = server.accept()
    check = pattern.Checker()

    def read():
        while True:
            data = conn.recv(200000)
            if not data:
                return
            check.feed(data)
    t = threading.Thread(target=read)
    t.start()
    sent = 0
    while sent < 16 << 20:
        client.sendall(pattern.piece(sent, 1 << 18))
        sent += 1 << 18
    client.shutdown(socket.SHUT_WR)
    t.join(10)
    p.note("got", check.result())


@probe()
def own_connect_to_itself(p):
    """Both ends are one socket (RFC 9293 §3.5, figure 8)."""
    s = p.tcp(2)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((p.loopback, OWN + 11))
    p.call("connect", s.connect, (p.loopback, OWN + 11))
    p.names(s)
    with p.no_sigpipe():
        p.call("send", s.send, b"to myself")
    p.call("recv", s.recv, 100)


@probe()
def own_child_serves(p):
    """The listener belongs to a child process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        s = socket.socket(p.af, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((p.loopback, OWN + 12))
        s.listen()
        os.write(write, b"x")
        conn, _ = s.accept()
        conn.sendall(b"from the child\n")
        conn.close()
        os._exit(0)
    os.read(read, 1)
    p.line(connect_to(p, p.loopback, OWN + 12))
    os.waitpid(pid, 0)
    connect_to(p, p.loopback, OWN + 12, "after the child")


# The target's services

@probe()
def target_loopback(p):
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    s = connect_to(p, p.loopback, port)
    p.names(s)
    p.line(s)


@probe()
def target_loopback_nonblocking(p):
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    s = p.tcp()
    s.setblocking(False)
    p.note("in progress or done", s.connect_ex((p.loopback, port)) in (0, errno.EINPROGRESS))
    p.poll(s, select.POLLOUT)
    p.so_error(s)
    p.names(s)


@probe(families=(4,))
def target_other_loopback_address(p):
    s = connect_to(p, "127.0.0.77", plan.POD_OTHER_LOOPBACK)
    p.names(s)
    p.line(s)
    connect_to(p, "127.0.0.1", plan.POD_OTHER_LOOPBACK)
    connect_to(p, "127.0.0.78", plan.POD_OTHER_LOOPBACK)


@probe(families=(4,))
def target_on_any_address(p):
    for ip in ("127.0.0.1", "127.5.6.7", "10.244.1.7", "0.0.0.0", "::1", "fd00:244:1::7", "::"):
        s = connect_to(p, ip, plan.POD_ANY)
        p.names(s, f"{ip} ")
        p.line(s, f"{ip} line")


@probe()
def target_own_address(p):
    s = connect_to(p, p.ip("pod"), plan.POD_ADDRESS)
    p.names(s)
    p.line(s)
    connect_to(p, p.loopback, plan.POD_ADDRESS, "not on the loopback")
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    connect_to(p, p.ip("pod"), port, "not on the own address")


@probe(families=(6,))
def target_mapped_loopback(p):
    s = p.tcp()
    p.call("connect", s.connect, ("::ffff:127.0.0.1", plan.POD_LOOPBACK))
    p.names(s)
    p.line(s)
    s = p.tcp()
    p.call("refused", s.connect, ("::ffff:127.0.0.1", 20))
    s = p.tcp()
    p.call("own address", s.connect, ("::ffff:10.244.1.7", plan.POD_ADDRESS))
    p.names(s)


@probe(families=(4,))
def target_by_name(p):
    """localhost by name: both families are tried."""
    for port in (plan.POD_LOOPBACK, plan.POD_LOOPBACK6):
        with p.timed("create_connection"):
            s = socket.create_connection(("localhost", port), 3)
        p.line(s)


@probe()
def target_refused(p):
    for ip in (p.loopback, p.ip("pod")):
        s = connect_to(p, ip, 20)
        p.so_error(s)
    s = p.tcp()
    s.setblocking(False)
    s.connect_ex((p.loopback, 20))
    p.poll(s)
    p.so_error(s)


@probe()
def target_from_bound_source(p):
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    s = p.tcp()
    p.call("bind", s.bind, (p.loopback, 20150))
    p.call("connect", s.connect, (p.loopback, port))
    p.line(s)
    reset(s)


@probe(families=(4,))
def target_from_other_source(p):
    for source, target in (("127.0.0.44", "127.0.0.1"), ("10.244.1.7", "127.0.0.1"), ("127.0.0.1", "10.244.1.7")):
        s = p.tcp()
        p.call(f"bind {source}", s.bind, (source, 0))
        p.call(f"connect {target}", s.connect, (target, plan.POD_ANY))
        p.names(s)
        p.line(s)


@probe()
def target_half_close(p):
    s = connect_to(p, p.loopback, plan.POD_HALF)
    p.read_to_end(s)
    s.sendall(pattern.piece(0, 50000))
    s.close()


@probe(timeout=40)
def target_large(p):
    s = connect_to(p, p.loopback, plan.POD_SUM)
    sent = 0
    while sent < 16 << 20:
        s.sendall(pattern.piece(sent, 1 << 18))
        sent += 1 << 18
    s.shutdown(socket.SHUT_WR)
    p.line(s)
    s = connect_to(p, p.loopback, plan.POD_SOURCE)
    s.sendall(b"%d\n" % (16 << 20))
    check = pattern.Checker()
    while True:
        data = s.recv(1 << 18)
        if not data:
            break
        check.feed(data)
    p.note("download", check.result())


@probe()
def target_large_by_own_address(p):
    s = connect_to(p, p.ip("pod"), plan.POD_SUM)
    sent = 0
    while sent < 4 << 20:
        s.sendall(pattern.piece(sent, 1 << 18))
        sent += 1 << 18
    s.shutdown(socket.SHUT_WR)
    p.line(s)


@probe()
def target_resets(p):
    s = connect_to(p, p.loopback, plan.POD_RESET)
    s.sendall(b"reset me")
    p.call("read", s.recv, 10)


@probe()
def target_is_reset(p):
    s = connect_to(p, p.loopback, plan.POD_RECORD)
    p.line(s)
    reset(s)


@probe(servers="unordered")
def target_many_at_once(p):
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    socks = []
    for _ in range(100):
        s = p.tcp(5)
        s.setblocking(False)
        s.connect_ex((p.loopback, port))
        socks.append(s)
    right = 0
    for s in socks:
        s.settimeout(5)
        right += s.recv(500).startswith(b"{")
    p.note("right", right)


@probe()
def target_and_own_side_by_side(p):
    """The same address: one port the program's, another the target's."""
    server = listener(p, p.loopback, OWN + 20)
    a = connect_to(p, p.loopback, OWN + 20, "own")
    b = connect_to(p, p.loopback, plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6, "target's")
    meet(p, server, a)
    p.line(b)


@probe()
def listener_from_outside_its_address(p):
    """Own pod address, own listener on the loopback only."""
    server = listener(p, p.loopback, OWN + 21)
    connect_to(p, p.ip("pod"), OWN + 21)
    server.setblocking(False)
    p.call("accept", server.accept)


# UDP

def exchange(p, ip, port, key, bind=None, connect=False):
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    if bind:
        p.call(f"{key} bind", s.bind, bind)
    if connect:
        p.call(f"{key} connect", s.connect, (ip, port))
        p.exchange(s, b"hello", key=key)
        p.names(s, f"{key} ")
    else:
        p.exchange(s, b"hello", (ip, port), key)


@probe()
def udp_target_loopback(p):
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    exchange(p, p.loopback, port, "unconnected")
    exchange(p, p.loopback, port, "connected", connect=True)
    exchange(p, p.loopback, port, "bound", bind=(p.loopback, 20201))


@probe(families=(4,))
def udp_target_addresses(p):
    for ip in ("127.0.0.1", "127.5.6.7", "10.244.1.7", "::1", "fd00:244:1::7", "0.0.0.0", "::"):
        exchange(p, ip, plan.POD_ANY, ip)
        exchange(p, ip, plan.POD_ANY, f"{ip} connected", connect=True)
    exchange(p, "127.0.0.77", plan.POD_OTHER_LOOPBACK, "127.0.0.77")
    exchange(p, "10.244.1.7", plan.POD_ADDRESS, "own address only")


@probe()
def udp_target_refused(p):
    s = p.udp(1)
    s.connect((p.loopback, 20))
    p.call("send", s.send, b"x")
    p.poll(s, select.POLLIN, 1)
    p.call("recv", s.recv, 10)
    s = p.udp(1)
    s.connect((p.ip("pod"), 20))
    p.call("own address send", s.send, b"x")
    p.poll(s, select.POLLIN, 1)
    p.call("own address recv", s.recv, 10)


@probe()
def udp_target_refused_error_queue(p):
    for ip in (p.loopback, p.ip("pod")):
        s = p.udp(1)
        s.setsockopt(*((0, IP_RECVERR, 1) if p.family == 4 else (41, IPV6_RECVERR, 1)))
        s.sendto(b"what becomes of this?", (ip, 20))
        p.poll(s, select.POLLIN, 1, ip)
        p.errors(s, ip)


@probe()
def udp_own_sockets(p):
    a, b = p.udp(1), p.udp(1)
    p.call("bind a", a.bind, (p.loopback, 0))
    p.call("bind b", b.bind, (p.loopback, 0))
    p.call("send", a.sendto, b"to b", b.getsockname())
    p.datagram(b, "b")
    p.call("send", b.sendto, b"to a", a.getsockname())
    p.datagram(a, "a")
    p.call("send zero", a.sendto, b"", b.getsockname())
    p.datagram(b, "zero")
    p.call("send large", a.sendto, pattern.piece(0, 65000), b.getsockname())
    p.datagram(b, "large")


@probe()
def udp_own_on_any_address(p):
    s = p.udp(1)
    s.bind(("0.0.0.0" if p.family == 4 else "::", 20210))
    c = p.udp(1)
    for ip in (p.loopback, p.ip("pod")):
        p.call(f"{ip} send", c.sendto, ip.encode(), (ip, 20210))
        p.datagram(s, ip)


@probe()
def udp_own_closed(p):
    s = p.udp(1)
    s.bind((p.loopback, 20211))
    c = p.udp(1)
    c.connect((p.loopback, 20211))
    p.call("send", c.send, b"x")
    p.datagram(s)
    s.close()
    p.call("send closed", c.send, b"x")
    p.poll(c, select.POLLIN, 1)
    p.call("recv", c.recv, 10)


@probe()
def udp_own_connected_refuses_others(p):
    """A connected socket takes nothing from others: they are refused."""
    a, b, c = p.udp(1), p.udp(1), p.udp(1)
    for s in (a, b, c):
        s.bind((p.loopback, 0))
    a.connect(b.getsockname())
    c.connect(a.getsockname())
    p.call("stranger sends", c.send, b"x")
    p.poll(c, select.POLLIN, 1)
    p.call("stranger hears", c.recv, 10)
    b.sendto(b"friend", a.getsockname())
    p.datagram(a)


@probe()
def udp_target_large(p):
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    s = p.udp(2)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    for size in (0, 1500, 16000, 60000):
        p.exchange(s, pattern.piece(0, size), (p.loopback, port), f"{size}")


@probe(families=(4,))
def unix_sockets(p):
    """Own unix sockets, with a path and abstract."""
    for name in ("/tmp/lab/home/probe-socket", "\0mirrord-lab-probe"):
        server = socket.socket(socket.AF_UNIX)
        p.call("bind", server.bind, name)
        server.listen()
        client = socket.socket(socket.AF_UNIX)
        p.call("connect", client.connect, name)
        conn, _ = server.accept()
        client.sendall(b"hello")
        p.call("recv", conn.recv, 10)
    os.unlink("/tmp/lab/home/probe-socket")


@probe(families=(4,), servers="ignored")
def localhost_datagrams(p):
    """To the target's localhost and back, 200 times."""
    s2 = p.udp(1)
    lost = 0
    with p.timed("200 datagrams"):
        for _ in range(200):
            s2.sendto(b"x", ("127.0.0.1", plan.POD_LOOPBACK))
            try:
                s2.recv(500)
            except OSError:
                lost += 1
    p.note("lost", lost)


@probe()
def loopback_device(p):
    """SO_BINDTODEVICE lo."""
    port = plan.POD_LOOPBACK if p.family == 4 else plan.POD_LOOPBACK6
    s = p.tcp(3)
    p.call("SO_BINDTODEVICE", s.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    p.call("connect", s.connect, (p.loopback, port))
    p.line(s)
    s = p.tcp(1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    p.call("elsewhere", s.connect, p.to("payment", plan.PEER))


@probe(families=(4,))
def loopback_multicast_and_odd(p):
    """Addresses that mean something odd."""
    for ip in ("127.255.255.255", "127.0.0.0", "::2", "fe80::1"):
        connect_to(p, ip, plan.POD_ANY)
