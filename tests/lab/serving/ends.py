# SPDX-License-Identifier: MIT
"""How served connections end: by FIN and by RST, from either side, by a program's death, with data unread."""

import os
import select
import signal
import socket
import time

from probes.kit import reset, send_until_told
from serving.kit import PORT, pair, stop_for

ALL = select.POLLIN | select.POLLOUT | select.POLLRDHUP
PAUSE = 0.4  # what was sent has arrived


def serve_in_child(listener, serve):
    """Forks a child that accepts a connection and serves it, and is the only one to have it. Returns its pid."""
    child = os.fork()
    if child == 0:
        c, _ = listener.accept()
        c.settimeout(None)
        serve(c)
        os._exit(0)
    listener.close()
    return child


def kill_later(p, child):
    """By SIGKILL, when its client has waited for a second."""
    time.sleep(1)
    os.kill(child, signal.SIGKILL)
    p.note("its end", os.waitpid(child, 0)[1])


@pair(families=(4, 6))
def client_half_closes():
    def server(p):
        c = p.accept(p.listener())
        p.read_to_end(c)
        p.poll(c, ALL)
        c.sendall(b"what you asked for")

    def client(p):
        s = p.dial()
        s.sendall(b"question")
        s.shutdown(socket.SHUT_WR)
        p.read_to_end(s)
    return server, client


@pair(families=(4, 6))
def server_half_closes():
    def server(p):
        c = p.accept(p.listener())
        c.sendall(b"all that I say")
        c.shutdown(socket.SHUT_WR)
        p.read_to_end(c)

    def client(p):
        s = p.dial()
        p.read_to_end(s)
        p.poll(s, ALL)
        time.sleep(0.2)
        s.sendall(b"and I still talk")
        s.close()
    return server, client


@pair()
def server_closes_at_once():
    def server(p):
        s = p.listener()
        p.accept(s).close()

    def client(p):
        s = p.dial()
        p.poll(s, select.POLLRDHUP)
        p.read_to_end(s)
        p.call("first write", s.send, b"x")
        p.await_event(s)
        p.poll(s, ALL, key="after the reset")
        p.call("second write", s.send, b"x")
        p.so_error(s)
    return server, client


@pair()
def server_answers_early():
    """While its clients still send: they have the answer when they are told that sending is in vain."""
    def server(p):
        listener = p.listener()
        for _ in range(60):
            c = p.accept(listener)
            c.recv(1)
            c.sendall(b"too long")
            c.close()

    def client(p):
        p.note("answers", sorted({send_until_told(p.dial()) for _ in range(60)}))
    return server, client


@pair()
def client_closes_at_once():
    def server(p):
        c = p.accept(p.listener())
        p.await_event(c, select.POLLRDHUP)
        p.poll(c, ALL)
        p.read_to_end(c)
        p.names(c)
        p.call("first write", c.send, b"x")
        time.sleep(PAUSE)
        p.poll(c, ALL, key="after the reset")
        p.call("second write", c.send, b"x")
        p.so_error(c)

    def client(p):
        p.dial().close()
    return server, client


@pair(families=(4, 6))
def server_resets():
    """SO_LINGER 0, after an answer that the client has."""
    def server(p):
        c = p.accept(p.listener())
        p.take(c, 2)
        c.sendall(b"partial")
        time.sleep(PAUSE)
        reset(c)

    def client(p):
        s = p.dial()
        s.sendall(b"go")
        p.take(s, 7)
        p.await_event(s)
        p.poll(s, ALL)
        p.call("read", s.recv, 10)
        p.call("read again", s.recv, 10)
        p.call("write", s.send, b"x")
    return server, client


@pair(families=(4, 6))
def client_resets():
    def server(p):
        c = p.accept(p.listener())
        p.take(c, 7)
        p.await_event(c)
        p.poll(c, ALL)
        p.call("read", c.recv, 10)
        p.call("read again", c.recv, 10)
        p.call("write", c.send, b"x")
        p.call("peer", c.getpeername)

    def client(p):
        s = p.dial()
        s.sendall(b"partial")
        time.sleep(PAUSE)
        reset(s)
    return server, client


@pair()
def server_resets_unasked():
    """Without a word; but not before connect() has returned, which may see it then."""
    def server(p):
        c = p.accept(p.listener())
        time.sleep(PAUSE)
        reset(c)

    def client(p):
        s = p.dial()
        p.await_event(s)
        p.poll(s, ALL)
        p.call("read", s.recv, 10)
    return server, client


@pair()
def server_closes_with_unread_data():
    """The kernel's own reset: the answer that came before it may be lost, the error is not."""
    def server(p):
        c = p.accept(p.listener())
        p.take(c, 1)
        time.sleep(PAUSE)
        c.close()

    def client(p):
        s = p.dial()
        s.sendall(b"x" + bytes(5000))
        p.await_event(s)
        p.poll(s, ALL)
        p.call("read", s.recv, 10)
    return server, client


@pair()
def client_closes_with_unread_data():
    def server(p):
        c = p.accept(p.listener())
        c.sendall(bytes(5000))
        p.await_event(c)
        p.poll(c, ALL)
        p.call("read", c.recv, 10)

    def client(p):
        s = p.dial()
        p.take(s, 1)
        time.sleep(PAUSE)
        s.close()
    return server, client


@pair()
def client_writes_and_closes():
    """Nothing that was sent before the end is lost."""
    def server(p):
        c = p.accept(p.listener())
        time.sleep(PAUSE)
        p.read_to_end(c)

    def client(p):
        s = p.dial()
        s.sendall(bytes(100_000))
        s.close()
    return server, client


@pair()
def server_writes_and_exits():
    """All that was written before the program's end arrives."""
    def server(p):
        child = serve_in_child(p.listener(), lambda c: c.sendall(bytes(300_000)))
        p.note("its end", os.waitpid(child, 0)[1])

    def client(p):
        s = p.dial()
        time.sleep(PAUSE)
        p.read_to_end(s)
    return server, client


@pair()
def server_is_killed():
    """By SIGKILL, in the middle of a conversation."""
    def talk(c):
        c.recv(10)
        c.sendall(b"I am")
        signal.pause()

    def server(p):
        kill_later(p, serve_in_child(p.listener(), talk))

    def client(p):
        s = p.dial()
        s.sendall(b"hi")
        p.take(s, 4)
        p.poll(s, select.POLLIN | select.POLLRDHUP, key="its death", seconds=15)
        p.call("read", s.recv, 10)
    return server, client


@pair()
def server_is_killed_with_unread_data():
    def take_one(c):
        c.recv(1)
        signal.pause()

    def server(p):
        kill_later(p, serve_in_child(p.listener(), take_one))

    def client(p):
        s = p.dial()
        s.sendall(b"hi there")
        p.await_event(s)
        p.poll(s, ALL)
        p.call("read", s.recv, 10)
    return server, client


@pair()
def stopped_server():
    """SIGSTOP for a second: its clients wait, and are served then. None of them sees an error."""
    def server(p):
        s = p.listener()
        stop_for(1)
        for _ in range(5):
            c, _ = s.accept()
            p.take(c, 4)
            c.sendall(b"late")
            c.close()

    def client(p):
        socks = [p.dial(key=f"connect {i}") for i in range(5)]
        for s in socks:
            s.sendall(b"wait")
        for s in socks:
            p.take(s, 4)
    return server, client


@pair()
def writes_to_a_gone_client():
    """Until the error comes: EPIPE or ECONNRESET, not silence."""
    def server(p):
        c = p.accept(p.listener())
        c.settimeout(10)
        try:
            for _ in range(200):
                c.sendall(bytes(65536))
            p.note("the end", "none")
        except (BrokenPipeError, ConnectionResetError):
            p.note("the end", "an error")

    def client(p):
        s = p.dial()
        p.take(s, 1)
        reset(s)
    return server, client


@pair()
def client_writes_until_the_reset():
    def server(p):
        c = p.accept(p.listener())
        p.take(c, 10)
        reset(c)

    def client(p):
        s = p.dial()
        try:
            for _ in range(200):
                s.sendall(bytes(65536))
            p.note("the end", "none")
        except (BrokenPipeError, ConnectionResetError):
            p.note("the end", "an error")
    return server, client


@pair()
def shut_for_reading():
    """shutdown(SHUT_RD) by the server: what comes is still taken by its kernel."""
    def server(p):
        c = p.accept(p.listener())
        c.shutdown(socket.SHUT_RD)
        p.call("read", c.recv, 10)
        c.sendall(b"but I write")
        p.poll(c, select.POLLHUP, 5)

    def client(p):
        s = p.dial()
        p.take(s, 11)
        s.close()
    return server, client


@pair()
def both_shut():
    def server(p):
        c = p.accept(p.listener())
        c.shutdown(socket.SHUT_WR)
        p.read_to_end(c)
        p.poll(c, ALL)
        p.call("write", c.send, b"x")

    def client(p):
        s = p.dial()
        s.shutdown(socket.SHUT_WR)
        p.read_to_end(s)
        p.poll(s, ALL)
        p.call("write", s.send, b"x")
    return server, client


@pair()
def reset_behind_a_half_close():
    def server(p):
        c = p.accept(p.listener())
        p.read_to_end(c)
        time.sleep(0.2)
        reset(c)

    def client(p):
        s = p.dial()
        s.sendall(b"bye")
        s.shutdown(socket.SHUT_WR)
        p.call("read", s.recv, 10)
    return server, client


@pair()
def reset_before_the_accept():
    """A client that is gone before the server looks: accept() may give the connection, and reading says why."""
    def server(p):
        s = p.listener(ready=False)
        p.ready()
        time.sleep(1.5)
        c = p.accept(s)
        p.call("read", c.recv, 10)
        p.call("read again", c.recv, 10)

    def client(p):
        s = p.dial()
        time.sleep(0.2)
        reset(s)
    return server, client


@pair()
def after_the_listener_is_closed():
    """What was accepted goes on; who comes then is refused."""
    def server(p):
        s = p.listener()
        c = p.accept(s)
        s.close()
        time.sleep(PAUSE)
        c.sendall(b"closed")
        p.take(c, 4)
        c.sendall(b"fine")

    def client(p):
        s = p.dial()
        p.take(s, 6)
        p.dial(PORT, key="another one")
        s.sendall(b"and?")
        p.take(s, 4)
    return server, client
