# SPDX-License-Identifier: MIT
"""Programs of all kinds: the kernel makes every socket call, so it must not matter how it is made."""

import os
import select
import socket
import sys
import threading
import time

from labkit import plan
from probes.kit import probe


@probe(settle=1)
def interrupted_connect(p):
    """A signal interrupts connect(); the connection goes on."""
    p.program([sys.executable, "-S", "-c", """
import ctypes, errno, select, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGALRM, lambda *a: None)
signal.siginterrupt(signal.SIGALRM, True)
v6 = ':' in sys.argv[1]
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
raw = (struct.pack('=HHI16sI', 10, socket.htons(7), 0, socket.inet_pton(10, sys.argv[1]), 0) if v6 else
       struct.pack('=HH4s8x', 2, socket.htons(7), socket.inet_aton(sys.argv[1])))
signal.setitimer(signal.ITIMER_REAL, 0.1)
print(libc.connect(s.fileno(), raw, len(raw)), errno.errorcode.get(ctypes.get_errno()))
p = select.poll(); p.register(s, select.POLLOUT); print(len(p.poll(3000)), s.getsockopt(1, 4))
print(libc.connect(s.fileno(), raw, len(raw)), errno.errorcode.get(ctypes.get_errno()))
""", p.ip("slow")], "program")


@probe(needs=("uring",))
def io_uring(p):
    """connect, send, recv as io_uring requests; refused, too."""
    p.program(["/tmp/lab/bin/uring", p.ip("payment"), str(plan.ECHO)], "uring")
    p.program(["/tmp/lab/bin/uring", p.ip("payment"), str(plan.REFUSED)], "uring refused")
    p.program(["/tmp/lab/bin/uring", p.ip("pod_unreachable"), "80"], "uring no route")


@probe(needs=("strace",))
def under_strace(p):
    p.program(["strace", "-f", "-qq", "-e", "trace=connect", "-o", "/dev/null", sys.executable, "-S", "-c",
               "import socket, sys; print(socket.create_connection((sys.argv[1], 13), 3).recv(100))", p.ip("payment")])


@probe(needs=("gdb",))
def under_gdb(p):
    p.program(["gdb", "-q", "-batch", "-nx", "-ex", "run", "--args", "/tmp/lab/bin/tcpget", p.ip("payment"), "13"], "gdb",
              shape=lambda text: [line.rpartition(")")[2] for line in text.splitlines() if "hello" in line or "exited" in line], timeout=30)


@probe()
def vfork_and_exec(p):
    """subprocess uses vfork where it can; a shell in between clears the environment."""
    p.program(["/bin/sh", "-c", f"exec env -i /tmp/lab/bin/tcpget {p.ip('payment')} 13"], "program")


@probe()
def posix_spawn(p):
    pid = os.posix_spawn("/tmp/lab/bin/tcpget", ["tcpget", p.ip("payment"), "81"], {})
    p.note("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


@probe(servers="unordered")
def threads(p):
    results = []

    def one():
        with socket.create_connection(p.to("payment", plan.HELLO), 5) as s:
            results.append(s.recv(100))
    all_threads = [threading.Thread(target=one) for _ in range(50)]
    for t in all_threads:
        t.start()
    for t in all_threads:
        t.join(10)
    p.note("right", results.count(b"hello\n"))


@probe(servers="unordered")
def forked_children(p):
    pids = []
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            with socket.create_connection(p.to("payment", plan.HELLO), 5) as s:
                os._exit(0 if s.recv(100) == b"hello\n" else 1)
        pids.append(pid)
    p.note("statuses", [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])


@probe(settle=1)
def daemon_goes_on(p):
    """A grandchild that outlives the program still has the network. (The servers tell.)"""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            time.sleep(0.5)
            with socket.create_connection(p.to("payment", plan.RECORD), 5) as s:
                s.recv(10)
                s.sendall(b"from the daemon")
            os._exit(0)
        os._exit(0)
    os.wait()



@probe(servers="unordered")
def asyncio_streams(p):
    import asyncio

    async def one(n):
        reader, writer = await asyncio.open_connection(*p.to("payment", plan.ECHO))
        writer.write(b"n%d" % n)
        await writer.drain()
        writer.write_eof()
        data = await reader.read()
        writer.close()
        return data == b"n%d" % n

    async def all_of_them():
        return await asyncio.gather(*(one(n) for n in range(50)))
    p.note("right", sum(asyncio.run(all_of_them())))



@probe()
def listener_on_eth0(p):
    """A server of the program's own works as such: backlog, accept with poll, close."""
    s = p.tcp()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    p.call("bind", s.bind, (p.ip("pod"), 20300))
    p.call("listen", s.listen)
    p.poll(s, select.POLLIN, 0.1, "nobody")
    p.call("getsockname", s.getsockname)
    s.setblocking(False)
    p.call("accept", s.accept)


@probe()
def ports_below_1024(p):
    """ip_unprivileged_port_start is 0 here, as in Docker's containers."""
    for port in (80, 443, 1):
        s = p.tcp()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        p.call(f"bind {port}", s.bind, (p.ip("pod"), port))
    s = p.udp()
    p.call("bind udp 53", s.bind, (p.ip("pod"), 53))


@probe(families=(4,))
def other_sockets(p):
    """Kinds of sockets, and what an ordinary user may do with them."""
    for name, args in (("AF_NETLINK", (socket.AF_NETLINK, socket.SOCK_RAW, 0)), ("AF_UNIX", (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0)),
                       ("UDP-Lite", (socket.AF_INET, socket.SOCK_DGRAM, 136)), ("SCTP", (socket.AF_INET, socket.SOCK_STREAM, 132)),
                       ("IPv6 stream", (socket.AF_INET6, socket.SOCK_STREAM, 0)), ("bad type", (socket.AF_INET, 9, 0))):
        p.call(name, socket.socket, *args)


@probe(families=(4,), modes=("user",))
def privileged_sockets_as_user(p):
    for name, args in (("raw", (socket.AF_INET, socket.SOCK_RAW, 1)), ("packet", (socket.AF_PACKET, socket.SOCK_RAW, 3)),
                       ("raw tcp", (socket.AF_INET, socket.SOCK_RAW, 6))):
        p.call(name, socket.socket, *args)
    s = p.tcp()
    p.call("SO_MARK", s.setsockopt, socket.SOL_SOCKET, 36, 1)
    p.call("IP_TRANSPARENT", s.setsockopt, 0, 19, 1)
