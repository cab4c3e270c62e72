# SPDX-License-Identifier: MIT
"""How connections end: by FIN and by RST, from either side, and what each call says then."""

import os
import select
import socket
import struct
import sys
import time

from labkit import pattern, plan
from probes.kit import probe, reset, send_until_told

ALL = select.POLLIN | select.POLLOUT | select.POLLRDHUP


@probe()
def server_closes(p):
    s = p.connect("payment", plan.CLOSE_AT_ONCE)
    p.await_event(s, select.POLLRDHUP)
    p.poll(s, ALL)
    p.read_to_end(s)
    p.names(s)
    with p.no_sigpipe():
        p.call("first write", s.send, b"x")
        p.await_event(s)
        p.poll(s, ALL, key="poll after the reset")
        p.call("second write", s.send, b"x")
    p.so_error(s)
    p.call("read", s.recv, 10)


@probe()
def sigpipe(p):
    code = ("import signal, socket, sys, time\n"
            "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
            "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
            "s.recv(10); s.send(b'x'); time.sleep(.3); s.send(b'y'); print('still here')\n")
    p.program([sys.executable, "-S", "-c", code, p.ip("payment"), str(plan.CLOSE_AT_ONCE)], "program")


@probe()
def half_close_by_server(p):
    """EOF comes, and the other direction goes on."""
    s = p.connect("payment", plan.HALF_CLOSE)
    p.read_to_end(s)
    p.poll(s, ALL, key="after its end")
    sent = 0
    while sent < 1 << 20:
        s.sendall(pattern.piece(sent, 65536))
        sent += 65536
    p.note("sent", sent)


@probe()
def half_close_by_client(p):
    s = p.connect("payment", plan.SPEAK_AFTER_EOF)
    s.sendall(b"all of it")
    p.call("shutdown", s.shutdown, socket.SHUT_WR)
    p.poll(s, ALL, 0.05, "at once")
    with p.no_sigpipe():
        p.call("write", s.send, b"x")
    p.read_to_end(s)
    p.poll(s, ALL, key="both ended")


@probe()
def half_close_upload_then_answer(p):
    s = p.connect("payment", plan.SUM)
    s.sendall(pattern.piece(0, 300000))
    s.shutdown(socket.SHUT_WR)
    p.line(s)
    p.read_to_end(s, "rest")


@probe()
def shutdown_read(p):
    s = p.connect("payment", plan.ECHO)
    p.call("SHUT_RD", s.shutdown, socket.SHUT_RD)
    p.poll(s, ALL)
    p.call("read", s.recv, 10)
    p.call("write", s.send, b"x")
    time.sleep(0.2)
    p.call("read later", s.recv, 10)


@probe()
def shutdown_both(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    p.call("SHUT_RDWR", s.shutdown, socket.SHUT_RDWR)
    p.call("read", s.recv, 10)
    with p.no_sigpipe():
        p.call("write", s.send, b"x")
    time.sleep(0.2)
    p.call("getpeername", s.getpeername)
    p.call("again", s.shutdown, socket.SHUT_RDWR)


@probe()
def shutdown_unconnected(p):
    s = p.tcp()
    p.call("shutdown", s.shutdown, socket.SHUT_WR)
    with p.no_sigpipe():
        p.call("send", s.send, b"x")
    p.call("recv", s.recv, 1)
    p.poll(s, ALL)


@probe()
def shutdown_while_connecting(p):
    s = p.begin_connect("slow", plan.RECORD)
    p.call("shutdown", s.shutdown, socket.SHUT_WR)
    p.poll(s, ALL, 2)
    p.so_error(s)


@probe()
def reset_by_server_at_once(p):
    s = p.connect("payment", plan.RESET_AT_ONCE)
    p.await_event(s)
    p.poll(s, ALL)
    p.call("read", s.recv, 10)
    p.call("read again", s.recv, 10)
    with p.no_sigpipe():
        p.call("write", s.send, b"x")
    p.call("getpeername", s.getpeername)


@probe()
def reset_by_server_write_first(p):
    s = p.connect("payment", plan.RESET_AT_ONCE)
    p.await_event(s)
    with p.no_sigpipe():
        p.call("write", s.send, b"x")
        p.call("write again", s.send, b"x")


@probe()
def reset_by_server_so_error(p):
    s = p.connect("payment", plan.RESET_AT_ONCE)
    p.await_event(s)
    p.so_error(s)
    p.so_error(s, "again")
    p.call("read", s.recv, 10)


@probe()
def reset_by_server_after_data(p):
    s = p.connect("payment", plan.RESET_AFTER_DATA)
    s.sendall(b"reset me")
    with p.timed("read"):
        p.call("read", s.recv, 10)


@probe()
def reset_by_server_while_blocked(p):
    """A read that waits is woken by the reset."""
    s = p.connect("payment", plan.NEVER_READ)
    s.sendall(b"some data that stays unread")
    with p.timed("read"):
        p.call("read", s.recv, 10)


@probe()
def server_closes_with_unread(p):
    """The server's kernel sends what it has, then a RST."""
    s = p.connect("payment", plan.CLOSE_UNREAD)
    s.sendall(b"never to be read")
    p.line(s)
    p.await_event(s)
    p.poll(s, ALL)
    p.call("read", s.recv, 100)


@probe()
def server_answers_early(p):
    """As "413 Content Too Large" does: the answer is there to be read when sending fails."""
    answers = [send_until_told(p.connect("payment", plan.ANSWER_EARLY)) for _ in range(60)]
    p.note("answers", sorted(set(answers)))


@probe()
def reset_by_client(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    reset(s)


@probe()
def reset_by_client_after_data(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    s.sendall(pattern.piece(0, 10000))
    time.sleep(0.2)
    reset(s)


@probe()
def reset_by_client_while_server_sends(p):
    s = p.connect("payment", plan.SOURCE)
    s.sendall(b"100000000\n")
    p.note("some", len(s.recv(1)))
    reset(s)


@probe()
def client_closes_with_unread(p):
    s = p.connect("payment", plan.ECHO)
    s.sendall(b"to be left unread")
    p.await_event(s, select.POLLIN)
    s.close()


@probe()
def client_closes_while_server_sends(p):
    s = p.connect("payment", plan.SOURCE)
    s.sendall(b"100000000\n")
    p.note("some", len(s.recv(1)))
    s.close()


@probe()
def client_just_closes(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    s.close()


@probe()
def client_closes_at_once(p):
    s = p.connect("payment", plan.IDLE)
    s.close()
    time.sleep(0.2)


@probe()
def client_resets_at_once(p):
    s = p.connect("payment", plan.IDLE)
    reset(s)
    time.sleep(0.2)


@probe()
def client_sends_and_closes(p):
    """All that was sent arrives, though the program doesn't wait for it."""
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    s.sendall(pattern.piece(0, 200000))
    s.close()


@probe()
def client_lingers(p):
    s = p.connect("payment", plan.RECORD)
    p.line(s)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3))
    s.sendall(pattern.piece(0, 100000))
    with p.timed("close"):
        s.close()


@probe()
def program_is_killed(p):
    code = ("import os, signal, socket, sys\n"
            "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
            "s.recv(10); s.sendall(b'last words'); os.kill(os.getpid(), signal.SIGKILL)\n")
    p.program([sys.executable, "-S", "-c", code, p.ip("payment"), str(plan.RECORD)], "program")


@probe()
def program_is_killed_with_unread(p):
    code = ("import os, signal, socket, sys, time\n"
            "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
            "s.sendall(b'echo this'); s.recv(1, socket.MSG_PEEK); os.kill(os.getpid(), signal.SIGKILL)\n")
    p.program([sys.executable, "-S", "-c", code, p.ip("payment"), str(plan.ECHO)], "program")


@probe()
def connection_outlives_parent(p):
    """A child goes on with the connection after its parent has gone."""
    s = p.connect("payment", plan.ECHO)
    read, write = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.3)
            s.sendall(b"from the grandchild")
            os.write(write, s.recv(100))
        os._exit(0)
    os.wait()
    s.close()
    os.close(write)
    p.note("grandchild", os.read(read, 100).decode())


@probe()
def both_close_at_once(p):
    s = p.connect("payment", plan.HELLO)
    s.shutdown(socket.SHUT_WR)
    p.read_to_end(s)
    p.poll(s, ALL)


@probe()
def local_port_is_free_again(p):
    """After a reset from the server the program binds the same port at once."""
    for i in range(2):
        s = p.tcp()
        p.call(f"bind {i}", s.bind, (p.ip("pod"), 23460))
        p.connect("payment", plan.RESET_AT_ONCE, f"connect {i}", s=s)
        time.sleep(0.2)
        p.call(f"read {i}", s.recv, 10)
        s.close()


@probe()
def time_wait_refuses_bind(p):
    """After a close of its own the program can't, unless it says SO_REUSEADDR."""
    s = p.tcp()
    port = 61000 + os.getpid() % 4000
    p.call("first bind", s.bind, (p.ip("pod"), port))
    p.connect("payment", plan.RECORD, s=s)
    p.line(s)
    s.shutdown(socket.SHUT_WR)
    p.read_to_end(s)
    s.close()
    t = p.tcp()
    p.call("bind", t.bind, (p.ip("pod"), port))
    t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    p.call("bind with SO_REUSEADDR", t.bind, (p.ip("pod"), port))
