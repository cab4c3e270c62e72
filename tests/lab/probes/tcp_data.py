# SPDX-License-Identifier: MIT
"""Bytes arrive, all of them, in order, and when they should."""

import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time

from labkit import pattern, plan
from probes.kit import event_names, probe

MIB = 1 << 20
SIOCATMARK = 0x8905


@probe()
def echo(p):
    s = p.connect("payment", plan.ECHO)
    for data in (b"x", b"hello", pattern.piece(0, 5000)):
        p.call("send", s.sendall, data)
        got = b""
        while len(got) < len(data):
            got += s.recv(65536)
        p.note("same", got == data)


@probe()
def echo_byte_by_byte(p):
    s = p.connect("payment", plan.ECHO)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wrong = 0
    with p.timed("300 round trips"):
        for i in range(300):
            s.send(bytes([i & 255]))
            wrong += s.recv(10) != bytes([i & 255])
    p.note("wrong", wrong)


@probe()
def server_speaks_first(p):
    s = p.connect("payment", plan.HELLO)
    p.read_to_end(s)


@probe(timeout=60)
def upload_large(p):
    s = p.connect("payment", plan.SUM)
    sent = 0
    while sent < 32 * MIB:
        part = pattern.piece(sent, 256 << 10)
        s.sendall(part)
        sent += len(part)
    s.shutdown(socket.SHUT_WR)
    s.settimeout(30)
    p.line(s)


@probe(timeout=60)
def download_large(p):
    s = p.connect("payment", plan.SOURCE)
    s.sendall(b"%d\n" % (32 * MIB + 12345))
    check = pattern.Checker()
    while True:
        data = s.recv(300000)
        if not data:
            break
        check.feed(data)
    p.note("got", check.result())


@probe(timeout=60)
def both_ways_at_once(p):
    s = p.connect("payment", plan.ECHO)
    check = pattern.Checker()

    def read():
        while True:
            data = s.recv(100000)
            if not data:
                return
            check.feed(data)
    reader = threading.Thread(target=read)
    reader.start()
    sent = 0
    while sent < 16 * MIB:
        part = pattern.piece(sent, 70001)
        s.sendall(part)
        sent += len(part)
    s.shutdown(socket.SHUT_WR)
    reader.join(30)
    p.note("sent", sent)
    p.note("got", check.result())


@probe(timeout=60)
def upload_in_tiny_pieces(p):
    s = p.connect("payment", plan.SUM)
    for i in range(20000):
        s.sendall(pattern.piece(i * 7, 7))
    s.shutdown(socket.SHUT_WR)
    p.line(s)


@probe(timeout=60)
def slow_reader(p):
    """The program takes its time: nothing is lost, nothing overruns."""
    s = p.connect("payment", plan.SOURCE)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20000)
    s.sendall(b"%d\n" % (4 * MIB))
    check = pattern.Checker()
    pauses = 0
    while True:
        data = s.recv(16384)
        if not data:
            break
        check.feed(data)
        if check.offset // (512 << 10) > pauses:
            pauses += 1
            time.sleep(0.1)
    p.note("got", check.result())


@probe(timeout=40)
def peer_reads_nothing(p):
    """The socket fills up and blocks; that ends when the peer goes."""
    s = p.connect("payment", plan.NEVER_READ)
    s.setblocking(False)
    sent, quiet = 0, 0
    while quiet < 5:
        try:
            sent += s.send(b"u" * 65536)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.1)
    p.note("bounded", sent < 200 * MIB)
    p.poll(s, select.POLLOUT, 0.2, "still full")
    p.poll(s, select.POLLOUT, 12, "when the peer resets")
    p.so_error(s)


@probe(timeout=40, servers="ignored")
def peer_reads_nothing_others_go_on(p):
    """One stream stands still; another one's round trips don't."""
    full = p.connect("payment", plan.NEVER_READ)
    full.setblocking(False)
    quiet = 0
    while quiet < 3:
        try:
            full.send(b"u" * 65536)
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.05)
    other = p.connect("payment", plan.ECHO, "other")
    with p.timed("100 round trips"):
        for i in range(100):
            other.sendall(b"ping")
            other.recv(10)
    full.close()


@probe(timeout=40, servers="ignored")
def unread_download_others_go_on(p):
    lazy = p.connect("payment", plan.SOURCE)
    lazy.sendall(b"%d\n" % (256 * MIB))
    time.sleep(0.5)
    other = p.connect("payment", plan.ECHO, "other")
    with p.timed("100 round trips"):
        for i in range(100):
            other.sendall(b"ping")
            other.recv(10)
    lazy.setblocking(True)
    p.call("first bytes", lambda: lazy.recv(20, socket.MSG_WAITALL) == pattern.piece(0, 20))


@probe(servers="unordered", timeout=60)
def many_streams_at_once(p):
    """20 uploads in 20 threads, each with its own check."""
    results = []

    def one(n):
        s = socket.create_connection(p.to("payment", plan.SUM), 20)
        sent = 0
        while sent < MIB + n * 1000:
            part = pattern.piece(sent, min(50000, MIB + n * 1000 - sent))
            s.sendall(part)
            sent += len(part)
        s.shutdown(socket.SHUT_WR)
        results.append((n, s.makefile().readline()))
    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(40)
    p.note("results", [list(r) for r in sorted(results)])


@probe()
def events_of_data(p):
    s = p.connect("payment", plan.ECHO)
    p.poll(s, seconds=0.1, key="idle")
    s.sendall(b"abc")
    p.poll(s, select.POLLIN, 2, "data")
    p.call("FIONREAD", lambda: struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, b"\0" * 4))[0])
    p.call("MSG_PEEK", s.recv, 10, socket.MSG_PEEK)
    p.call("recv", s.recv, 2)
    p.poll(s, select.POLLIN, 1, "rest")
    p.call("recv", s.recv, 10)
    p.poll(s, select.POLLIN, 0.1, "nothing")
    s.settimeout(None)
    p.call("MSG_DONTWAIT", s.recv, 10, socket.MSG_DONTWAIT)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 300000))
    with p.timed("SO_RCVTIMEO"):
        p.call("recv", s.recv, 10)


@probe()
def events_edge_triggered(p):
    s = p.connect("payment", plan.ECHO)
    e = select.epoll()
    e.register(s, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    p.note("first", [event_names(m) for _, m in e.poll(1)])
    p.note("no change", [event_names(m) for _, m in e.poll(0.1)])
    s.sendall(b"abc")
    time.sleep(0.2)
    p.note("data", [event_names(m & select.EPOLLIN) for _, m in e.poll(1)])
    p.call("recv", s.recv, 1)
    p.note("unread rest", [event_names(m & select.EPOLLIN) for _, m in e.poll(0.2)])


@probe()
def waitall_and_scatter(p):
    s = p.connect("payment", plan.SOURCE)
    p.call("sendmsg", s.sendmsg, [b"10", b"0000", b"0\n"])
    s.setblocking(True)
    data = s.recv(1000000, socket.MSG_WAITALL)
    p.note("MSG_WAITALL", [len(data), data == pattern.piece(0, 1000000)])
    p.read_to_end(s)


@probe()
def sendfile_and_splice(p):
    path = "/tmp/lab/home/probe-file"
    with open(path, "wb") as f:
        f.write(pattern.piece(0, MIB))
    s = p.connect("payment", plan.SUM)
    s.settimeout(None)
    with open(path, "rb") as f:
        p.call("sendfile", lambda: sum(iter(lambda: os.sendfile(s.fileno(), f.fileno(), None, 100000), 0)))
    os.unlink(path)
    read, write = os.pipe()
    os.write(write, pattern.piece(MIB, 30000))
    p.call("splice", os.splice, read, s.fileno(), 30000)
    s.shutdown(socket.SHUT_WR)
    p.line(s)


@probe()
def zero_copy(p):
    s = p.connect("payment", plan.SUM)
    p.call("SO_ZEROCOPY", s.setsockopt, socket.SOL_SOCKET, 60, 1)
    p.call("send", s.send, pattern.piece(0, 60000), 0x4000000)
    p.poll(s, 0, 2, "completion")
    s.shutdown(socket.SHUT_WR)
    p.line(s)


@probe()
def out_of_band_received(p):
    s = p.connect("payment", plan.OUT_OF_BAND)
    p.poll(s, select.POLLPRI, 5)
    p.call("urgent", s.recv, 10, socket.MSG_OOB)
    p.call("before", s.recv, 100)
    p.note("at the mark", struct.unpack("i", fcntl.ioctl(s, SIOCATMARK, b"\0" * 4))[0])
    s.shutdown(socket.SHUT_WR)
    p.read_to_end(s)


@probe()
def out_of_band_inline(p):
    s = p.connect("payment", plan.OUT_OF_BAND)
    p.call("SO_OOBINLINE", s.setsockopt, socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    s.shutdown(socket.SHUT_WR)
    p.read_to_end(s)


@probe()
def out_of_band_sent(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    p.call("send", s.send, b"ab", socket.MSG_OOB)
    p.call("send", s.send, b"cd")
    p.names(s)


@probe()
def options_stick(p):
    """What a program sets, it reads back."""
    s = p.connect("payment", plan.ECHO)
    for name, level, option, value in (("SO_KEEPALIVE", socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), ("TCP_NODELAY", 6, 1, 1),
                                       ("TCP_KEEPIDLE", 6, 4, 33), ("TCP_KEEPINTVL", 6, 5, 7), ("TCP_KEEPCNT", 6, 6, 4), ("TCP_USER_TIMEOUT", 6, 18, 5000),
                                       ("TCP_QUICKACK", 6, 12, 1), ("SO_PRIORITY", socket.SOL_SOCKET, socket.SO_PRIORITY, 3)):
        p.call(f"{name} before", s.getsockopt, level, option)
        p.call(f"set {name}", s.setsockopt, level, option, value)
        p.call(f"{name} after", s.getsockopt, level, option)
    p.call("TCP_CONGESTION", s.getsockopt, 6, 13, 16)
    p.call("SO_DOMAIN", s.getsockopt, socket.SOL_SOCKET, 39)
    p.call("SO_PROTOCOL", s.getsockopt, socket.SOL_SOCKET, 38)
    s.sendall(b"still here")
    p.call("recv", s.recv, 100)


@probe()
def corked(p):
    s = p.connect("payment", plan.ECHO)
    s.setsockopt(6, 3, 1)
    s.sendall(b"first ")
    p.poll(s, select.POLLIN, 0.1, "corked")
    s.sendall(b"second")
    s.setsockopt(6, 3, 0)
    p.await_event(s, select.POLLIN)
    p.call("recv", s.recv, 100)


@probe()
def slow_link_echo(p):
    """A round trip takes as long as it takes there."""
    s = p.connect("slow", plan.ECHO)
    with p.timed("round trip"):
        s.sendall(b"x")
        p.call("recv", s.recv, 10)


@probe()
def inherited_by_child(p):
    """A connection is used by a forked child, then by a program that the child becomes."""
    s = p.connect("payment", plan.ECHO)
    os.set_inheritable(s.fileno(), True)
    s.setblocking(True)
    p.program(["sh", "-c", f"echo from a child >&{s.fileno()}; head -n 1 <&{s.fileno()}"], close_fds=False)
    p.names(s)


@probe()
def passed_to_another_process(p):
    left, right = socket.socketpair()
    s = p.connect("payment", plan.ECHO)
    s.setblocking(True)
    socket.send_fds(left, [b"x"], [s.fileno()])
    s.close()
    _, fds, _, _ = socket.recv_fds(right, 10, 1)
    other = socket.socket(fileno=fds[0])
    p.names(other)
    other.sendall(b"passed on")
    p.call("recv", other.recv, 100)


@probe(servers="unordered", timeout=40)
def one_after_the_other(p):
    """300 short connections."""
    wrong = 0
    for i in range(300):
        with socket.create_connection(p.to("payment", plan.HELLO), 5) as s:
            wrong += s.recv(100) != b"hello\n"
    p.note("wrong", wrong)
