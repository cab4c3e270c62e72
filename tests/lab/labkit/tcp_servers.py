# SPDX-License-Identifier: MIT
"""TCP servers of the cluster. Each behaves in one way that a probe asks about, and tells the witness what it saw."""

import errno
import json
import socket
import struct
import threading
import time

from . import pattern, plan
from .registry import PATIENCE

TIMEOUT = 20 * PATIENCE  # no server waits longer for anybody


def send_reset(c):
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def read_to_end(c, entry):
    check, total = pattern.Checker(), 0
    while True:
        data = c.recv(1 << 18)
        if not data:
            break
        check.feed(data)
        total += len(data)
    entry["events"].append("eof")
    entry.update(bytes=total, wrong_at=check.wrong_at)
    return check.result()


def send_pattern(c, count):
    sent = 0
    while sent < count:
        part = pattern.piece(sent, min(1 << 18, count - sent))
        c.sendall(part)
        sent += len(part)


def read_line(c):
    line = b""
    while not line.endswith(b"\n"):
        byte = c.recv(1)
        if not byte:
            break
        line += byte
    return line


def echo(c, entry):
    while True:
        data = c.recv(1 << 18)
        if not data:
            entry["events"].append("eof")
            return
        c.sendall(data)


def hello(c, entry):
    c.sendall(b"hello\n")
    c.shutdown(socket.SHUT_WR)
    read_to_end(c, entry)


def peer(c, entry):
    """One line that says who is who; then as long as the client likes. How it ends depends on whether the client has read the
    line, which may be chance, so it isn't told."""
    try:
        c.sendall(json.dumps({"server": entry["server"], "peer": entry["peer"], "local": entry["local"]}).encode() + b"\n")
        while c.recv(65536):
            pass
    except ConnectionError:
        pass


def reset_at_once(c, entry):
    time.sleep(0.3)  # the client's connect() has returned by then, on a busy machine, too
    send_reset(c)


def reset_after_data(c, entry):
    entry["got"] = c.recv(100).decode("latin-1")
    send_reset(c)


def half_close(c, entry):
    c.sendall(b"that is all from me\n")
    c.shutdown(socket.SHUT_WR)
    read_to_end(c, entry)


def sum_up(c, entry):
    c.sendall(json.dumps(read_to_end(c, entry)).encode() + b"\n")


def source(c, entry):
    send_pattern(c, int(read_line(c)))
    c.shutdown(socket.SHUT_WR)
    read_to_end(c, entry)


def never_read(c, entry):
    """Leaves everything unread for as long as the client stays, 3 s at most; then takes it all."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1:  # not ESTABLISHED any more
            break
        time.sleep(0.02)
    entry["events"].append("waited")
    send_reset(c)


def record(c, entry):
    c.sendall(b"go\n")
    read_to_end(c, entry)


def close_unread(c, entry):
    """Closes while data of the client lies unread: the client gets a reset (RFC 2525 §2.17)."""
    c.sendall(b"before\n")
    time.sleep(0.3)
    c.close()


def answer_early(c, entry):
    """Has read enough, says so, and closes; the client's kernel is told by a reset that the rest was in vain."""
    c.recv(1)
    c.sendall(b"too long\n")
    c.close()


def out_of_band(c, entry):
    """Urgent data between ordinary."""
    c.sendall(b"before")
    c.send(b"!", socket.MSG_OOB)
    time.sleep(0.1)
    c.sendall(b"after")
    read_to_end(c, entry)


def idle(c, entry):
    read_to_end(c, entry)


def speak_after_eof(c, entry):
    read_to_end(c, entry)
    time.sleep(0.2)
    c.sendall(b"after your end\n")


def close_at_once(c, entry):
    c.close()


def http(c, entry):
    """One request, one answer: who asked, and what for."""
    request = b""
    while b"\r\n\r\n" not in request:
        data = c.recv(65536)
        if not data:
            return
        request += data
    head, _, body = request.partition(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ", 2)
    headers = dict(h.split(": ", 1) for h in head.decode("latin-1").split("\r\n")[1:] if ": " in h)
    headers = {k.lower(): v for k, v in headers.items()}
    while len(body) < int(headers.get("content-length", 0)):
        body += c.recv(65536)
    entry.update(request=f"{method} {path}", host=headers.get("host"), bytes=len(body))
    answer = json.dumps({"server": entry["server"], "you": entry["peer"]["ip"], "path": path, "body": len(body)}).encode() + b"\n"
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(answer)
              + (b"" if method == "HEAD" else answer))
    c.shutdown(socket.SHUT_WR)
    read_to_end(c, entry)


CLUSTER = {
    plan.ECHO: echo, plan.HELLO: hello, plan.PEER: peer, plan.SUM: sum_up, plan.SOURCE: source,
    plan.RESET_AT_ONCE: reset_at_once, plan.RESET_AFTER_DATA: reset_after_data, plan.HALF_CLOSE: half_close,
    plan.NEVER_READ: never_read, plan.RECORD: record, plan.CLOSE_UNREAD: close_unread,
    plan.OUT_OF_BAND: out_of_band, plan.IDLE: idle, plan.SPEAK_AFTER_EOF: speak_after_eof,
    plan.LOSE_FIRST_SYN: peer, plan.HTTP: http, plan.LATE_ACCEPT: peer, plan.CLOSE_AT_ONCE: close_at_once,
    plan.ANSWER_EARLY: answer_early,
}


class TcpServer:
    """A listener on one address with a thread per connection."""

    def __init__(self, witness, label, ip, port, handler, late=0.0):
        self.witness, self.label, self.handler, self.late = witness, label, handler, late
        self.sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in ip:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.sock.bind((ip, port))
        self.sock.listen(4096)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, peer_address = self.sock.accept()
            except OSError:  # a connection that was reset before it was taken
                time.sleep(0.01)
                continue
            threading.Thread(target=self._serve, args=(conn, peer_address), daemon=True).start()

    def _serve(self, conn, peer_address):
        if self.late:
            time.sleep(self.late)
        conn.settimeout(TIMEOUT)
        try:
            local = conn.getsockname()
        except OSError:
            local = ("", 0)
        entry = self.witness.connection(self.label, local, peer_address)
        try:
            self.handler(conn, entry)
        except socket.timeout:
            entry["events"].append("timeout")
        except OSError as e:
            entry["events"].append(errno.errorcode.get(e.errno, str(e)))
        finally:
            conn.close()
            self.witness.closed()


class FullListener:
    """A listener whose queue is full: the kernel drops every further SYN."""

    def __init__(self, ip, port):
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.bind((ip, port))
        self.sock.listen(0)
        self.fill = []
        for _ in range(4):
            s = socket.socket(family, socket.SOCK_STREAM)
            s.setblocking(False)
            s.connect_ex((ip, port))
            self.fill.append(s)
