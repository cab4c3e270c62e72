# SPDX-License-Identifier: MIT
"""Stands where mirrord-agent should: passes on what the real one says until the program speaks (its first OPEN), and then breaks the
protocol in the way that the first argument names."""

import os
import socket
import struct
import sys
import threading

REAL = "/tmp/lab/bin/mirrord-agent"
OPEN, DATA, INFO = 1, 3, 13


def frame(kind, stream, body=b"", flags=0):
    return struct.pack("!IIHH", len(body), stream, kind, flags) + body


def many_opens():
    body = struct.pack("!HHI", 0, 0, 65536) + bytes(36)
    return b"".join(frame(OPEN, 2 * i + 2, body) for i in range(100_000))


BREAKS = {
    "garbage": lambda: os.urandom(100_000),
    "cut": lambda: frame(DATA, 1, bytes(1000))[:500],
    "huge": lambda: struct.pack("!IIHH", 0xffffffff, 1, DATA, 0),
    "unknown_stream": lambda: frame(DATA, 99_999, b"x"),
    "opens": many_opens,
    "text": lambda: b"Segmentation fault (core dumped)\n" * 10,
}


def main():
    how = sys.argv[1]
    session, (mine, theirs) = socket.socket(fileno=os.dup(0)), socket.socketpair()
    session.setblocking(True)
    if os.fork() == 0:
        os.dup2(theirs.fileno(), 0)
        os.dup2(theirs.fileno(), 1)
        os.execv(REAL, ["mirrord-agent", *sys.argv[2:]])
    theirs.close()

    def answers():
        while data := mine.recv(65536):
            session.sendall(data)
        os._exit(0)
    threading.Thread(target=answers, daemon=True).start()
    seen = b""
    while data := session.recv(65536):
        seen += data
        if b"\x00\x00\x00\x2c\x00\x00\x00\x01\x00\x01" in seen:  # OPEN of stream 1
            break
        mine.sendall(data)
    try:
        session.sendall(BREAKS[how]())
        if how == "cut":
            session.shutdown(socket.SHUT_RDWR)
        session.settimeout(4)  # a session waits for a mute agent's last words while it drains
        while session.recv(65536):
            pass
    except OSError:
        pass
    os._exit(0)


main()
