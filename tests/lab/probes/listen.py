# SPDX-License-Identifier: MIT
"""listen(2) and bind(2), which the keeper does in the program's place: results, errno and what the socket is like afterwards."""

import ctypes
import os
import signal
import socket
import struct
import threading

from probes.kit import probe

PORT = 20300  # ports from here on are nobody's in the target
LINGERING = 20990  # with connections that others would find in TIME_WAIT
TCP_INFO_MAX_BACKLOG = 28  # tcpi_sacked: of a listener, its backlog
SO_REUSEPORT, SO_ACCEPTCONN, IPPROTO_MPTCP, IPPROTO_UDPLITE = 15, 30, 262, 136

libc = ctypes.CDLL(None, use_errno=True)


def sockaddr(family, ip, port):
    if family == 4:
        return struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(ip))
    return struct.pack("=HHI16sI", socket.AF_INET6, socket.htons(port), 0, socket.inet_pton(socket.AF_INET6, ip), 0)


def raw(p, key, function, *args):
    """A call of libc's with exactly these arguments."""
    ctypes.set_errno(0)
    result = function(*args)
    p.note(key, os.strerror(ctypes.get_errno()) if result < 0 else result)


def state(p, s, key):
    p.note(f"{key} listens", s.getsockopt(socket.SOL_SOCKET, SO_ACCEPTCONN))
    if s.type == socket.SOCK_STREAM and s.family in (socket.AF_INET, socket.AF_INET6):
        info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        p.note(f"{key} state", info[0])
        p.note(f"{key} backlog", struct.unpack_from("=I", info, TCP_INFO_MAX_BACKLOG)[0])


def bound(p, port, ip=None, **options):
    s = p.tcp()
    if options.get("reuse"):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.get("reuseport"):
        s.setsockopt(socket.SOL_SOCKET, SO_REUSEPORT, 1)
    p.call("bind", s.bind, (ip or ("0.0.0.0" if p.family == 4 else "::"), port))
    return s


@probe()
def listen_backlogs(p):
    for i, backlog in enumerate((0, 1, 128, 4096, 1 << 30, -1, -(1 << 31))):
        s = bound(p, PORT + i)
        raw(p, f"listen {backlog}", libc.listen, s.fileno(), backlog)
        state(p, s, f"{backlog}")


@probe()
def listen_again(p):
    """A second call changes the backlog."""
    s = bound(p, PORT)
    for backlog in (5, 5, 50, 1):
        raw(p, "listen", libc.listen, s.fileno(), backlog)
        state(p, s, "again")


@probe()
def listen_unbound(p):
    s = p.tcp()
    p.call("listen", s.listen, 5)
    state(p, s, "unbound")
    p.note("a port was chosen", s.getsockname()[1] > 0)
    p.note("address", s.getsockname()[0])


@probe(families=(4,))
def listen_wrong(p):
    """Descriptors and sockets that can't listen."""
    raw(p, "a descriptor that isn't open", libc.listen, 999, 5)
    raw(p, "a negative one", libc.listen, -1, 5)
    read, write = os.pipe()
    raw(p, "a pipe", libc.listen, read, 5)
    raw(p, "UDP", libc.listen, p.udp().fileno(), 5)
    unix = socket.socket(socket.AF_UNIX)
    raw(p, "unix, not bound", libc.listen, unix.fileno(), 5)
    unix.bind(b"\0listen-probe")
    raw(p, "unix", libc.listen, unix.fileno(), 5)
    state(p, unix, "unix")
    connected = p.connect("payment", 13)
    p.read_to_end(connected)
    raw(p, "a connected socket", libc.listen, connected.fileno(), 5)


@probe()
def listen_twice_on_a_port(p):
    first, second = bound(p, PORT, reuse=True), bound(p, PORT, reuse=True)
    p.call("first", first.listen, 5)
    p.call("second", second.listen, 5)
    state(p, second, "second")
    first.close()
    p.call("second, then", second.listen, 5)
    third = bound(p, PORT)
    p.call("third", third.listen, 5)


@probe()
def listen_reuseport(p):
    sockets = [bound(p, PORT, reuseport=True) for _ in range(3)]
    for s in sockets:
        p.call("listen", s.listen, 5)
        state(p, s, "one")
    p.call("without it", bound(p, PORT).listen, 5)


@probe()
def listen_and_disconnect(p):
    """connect() to nowhere ends listening; the port stays bound."""
    s = bound(p, PORT)
    p.call("listen", s.listen, 5)
    raw(p, "connect AF_UNSPEC", libc.connect, s.fileno(), struct.pack("=H14x", socket.AF_UNSPEC), 16)
    state(p, s, "after")
    p.call("getsockname", s.getsockname)
    p.call("listen again", s.listen, 5)
    state(p, s, "again")


@probe()
def listen_options_stay(p):
    s = bound(p, PORT, reuse=True)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    s.setblocking(False)
    p.call("listen", s.listen, 5)
    for name in ("SO_REUSEADDR", "SO_RCVBUF", "SO_KEEPALIVE", "SO_TYPE", "SO_PROTOCOL", "SO_DOMAIN", "SO_ERROR", "SO_LINGER"):
        p.note(name, s.getsockopt(socket.SOL_SOCKET, getattr(socket, name)))
    p.call("accept", s.accept)
    p.call("getsockname", s.getsockname)


@probe()
def listen_mptcp(p):
    try:
        s = socket.socket(p.af, socket.SOCK_STREAM, IPPROTO_MPTCP)
    except OSError as e:
        p.note("MPTCP", str(e))
        return
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    p.call("bind", s.bind, ("", LINGERING + p.family))
    p.call("listen", s.listen, 7)
    p.note("listens", s.getsockopt(socket.SOL_SOCKET, SO_ACCEPTCONN))
    client = p.tcp()
    p.call("connect", client.connect, (p.loopback, LINGERING + p.family))
    p.call("accept", lambda: s.accept()[0])


@probe(families=(4,))
def listen_in_other_threads(p):
    """Calls of threads, also where the first thread is busy, and of a child of vfork."""
    results = []

    def work(i):
        s = socket.socket()
        s.bind(("0.0.0.0", PORT + i))
        s.listen(i)
        results.append(s.getsockopt(socket.SOL_SOCKET, SO_ACCEPTCONN))
    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(10)
    p.note("all listen", results)


@probe()
def bind_udp(p):
    any_ip = "0.0.0.0" if p.family == 4 else "::"
    first, second, third = p.udp(), p.udp(), p.udp()
    p.call("bind", first.bind, (any_ip, PORT))
    p.names(first)
    p.call("the same port", second.bind, (any_ip, PORT))
    p.call("another", second.bind, (any_ip, PORT + 1))
    p.call("a bound one", second.bind, (any_ip, PORT + 2))
    p.call("the same again", second.bind, (any_ip, PORT + 1))
    p.call("loopback", third.bind, (p.loopback, PORT + 3))
    p.names(third)
    p.call("a stranger's address", p.udp().bind, (p.ip("payment"), PORT + 4))
    own = p.udp()
    p.call("the pod's address", own.bind, (p.ip("pod"), PORT + 5))
    p.names(own)
    chosen = p.udp()
    p.call("port 0", chosen.bind, (any_ip, 0))
    p.note("a port was chosen", chosen.getsockname()[1] > 0)


@probe()
def bind_udp_shared(p):
    any_ip = "0.0.0.0" if p.family == 4 else "::"
    for option in (socket.SO_REUSEADDR, SO_REUSEPORT):
        for i in range(3):
            s = p.udp()
            s.setsockopt(socket.SOL_SOCKET, option, 1)
            p.call(f"option {option}, {i}", s.bind, (any_ip, PORT + option))
            p.steps.append([f"keep {option} {i}", bool(setattr(p, f"kept{option}{i}", s)) or "ok"])
        p.call(f"without option {option}", p.udp().bind, (any_ip, PORT + option))


@probe(families=(6,))
def bind_udp_families(p):
    """IPv4 and IPv6 on one port."""
    for v6only in (0, 1):
        six, four = p.udp(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        p.call(f":: with v6only {v6only}", six.bind, ("::", PORT + v6only))
        p.call(f"0.0.0.0 beside v6only {v6only}", four.bind, ("0.0.0.0", PORT + v6only))
    mapped = p.udp()
    mapped.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    p.call("a mapped address", mapped.bind, ("::ffff:127.0.0.1", PORT + 9))
    p.call("getsockname", mapped.getsockname)


@probe()
def bind_odd_addresses(p):
    good = sockaddr(p.family, "127.0.0.1" if p.family == 4 else "::1", PORT)
    fd = p.udp()
    for key, address, length in (("too short", good, 8), ("not even a family", good, 1), ("nothing", good, 0), ("negative", good, -1),
                                 ("too long", good + bytes(200), 129), ("a page", good + bytes(5000), 4096)):
        raw(p, key, libc.bind, fd.fileno(), address, length)
    raw(p, "a bad pointer", libc.bind, fd.fileno(), ctypes.c_void_p(8), len(good))
    raw(p, "no pointer", libc.bind, fd.fileno(), None, len(good))
    raw(p, "another family", libc.bind, fd.fileno(), struct.pack("=H", socket.AF_UNIX) + good[2:] + bytes(16), 28)
    raw(p, "no family", libc.bind, fd.fileno(), struct.pack("=H", socket.AF_UNSPEC) + good[2:], len(good))
    raw(p, "a descriptor that isn't open", libc.bind, 999, good, len(good))
    raw(p, "a pipe", libc.bind, os.pipe()[0], good, len(good))
    raw(p, "room behind it", libc.bind, fd.fileno(), good + bytes(128 - len(good)), 128)
    p.names(fd)


@probe(families=(4,))
def bind_other_sockets(p):
    """Those that nobody looks at go their way."""
    unix = socket.socket(socket.AF_UNIX)
    p.call("unix", unix.bind, b"\0bind-probe-with-a-long-name")
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    p.call("netlink", netlink.bind, (0, 0))
    try:
        lite = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE)
        p.call("UDP-Lite", lite.bind, ("0.0.0.0", PORT))
    except OSError as e:
        p.note("UDP-Lite", str(e))
    tcp = p.tcp()
    p.call("TCP", tcp.bind, ("0.0.0.0", PORT))
    p.call("TCP again", tcp.bind, ("0.0.0.0", PORT))
    multicast = p.udp()
    p.call("a group", multicast.bind, ("224.0.0.251", PORT))
    p.names(multicast)


@probe(families=(4,))
def bind_under_signals(p):
    """Handlers run all the time: bind and listen never fail because of them."""
    seen = []
    signal.signal(signal.SIGALRM, lambda *a: seen.append(1))
    signal.siginterrupt(signal.SIGALRM, False)  # otherwise a call may fail with EINTR, before the keeper has it
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    failures = set()
    i = 0
    while len(seen) < 30:
        i = (i + 1) % 300
        u, t = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        for function, *args in ((libc.bind, u.fileno(), sockaddr(4, "0.0.0.0", PORT + i), 16),
                                (libc.bind, t.fileno(), sockaddr(4, "0.0.0.0", PORT + i), 16), (libc.listen, t.fileno(), 5)):
            if function(*args) < 0:
                failures.add(f"{function.__name__}: {os.strerror(ctypes.get_errno())}")
        u.close()
        t.close()
    signal.setitimer(signal.ITIMER_REAL, 0)
    p.note("failures", sorted(failures))


@probe(families=(4,))
def listen_close_and_again(p):
    """Whoever closes the last descriptor has the port free at once."""
    failures = 0
    for i in range(200):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(socket.AF_INET, kind)
            try:
                s.bind(("0.0.0.0", PORT + 500))
                if kind == socket.SOCK_STREAM:
                    s.listen(5)
            except OSError:
                failures += 1
            s.close()
    p.note("failures", failures)
