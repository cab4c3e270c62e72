# SPDX-License-Identifier: MIT
"""victim.py FAMILY SECONDS: uses the network until it goes, and says what that was like; waits so long for a SIGTERM. Prints JSON lines."""

import errno
import json
import os
import select
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from labkit import plan  # noqa: E402

family = int(sys.argv[1])
af = socket.AF_INET if family == 4 else socket.AF_INET6
terminated = []


def tell(**what):
    print(json.dumps(what), flush=True)


def attempt(function):
    began = time.monotonic()
    try:
        function()
        result = "ok"
    except OSError as e:
        result = errno.errorcode.get(e.errno, str(e))
    return [result, time.monotonic() - began]


def connect():
    with socket.socket(af, socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect((plan.address("payment", family), plan.ECHO))


def datagram():
    with socket.socket(af, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((plan.address("payment", family), plan.UDP_ECHO))
        s.send(b"x")
        s.recv(10)


def main():
    signal.signal(signal.SIGTERM, lambda *a: terminated.append(time.monotonic()))
    idle = socket.create_connection((plan.address("payment", family), plan.IDLE), 60)
    local = socket.create_connection(("127.0.0.1" if family == 4 else "::1", plan.POD_SUM), 60)
    waiting = socket.socket(af, socket.SOCK_STREAM)
    waiting.setblocking(False)
    waiting.connect_ex((plan.address("blackhole", family), 80))
    tell(ready=True, before=attempt(connect)[0])
    poller = select.poll()
    for s in (idle, local, waiting):
        s.setblocking(False)
        poller.register(s, select.POLLIN | select.POLLOUT if s is waiting else select.POLLIN)
    pending, end, ends = {idle.fileno(): "idle", local.fileno(): "local", waiting.fileno(): "connecting"}, time.monotonic() + 60, {}
    by_fd = {s.fileno(): s for s in (idle, local, waiting)}
    while pending and time.monotonic() < end:
        for fd, mask in poller.poll(200):
            poller.unregister(fd)
            code = by_fd[fd].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            ends[pending.pop(fd)] = errno.errorcode.get(code, "end of file" if mask & select.POLLIN else str(code))
    tell(ends=ends, pending=sorted(pending.values()))
    tell(connect=attempt(connect), again=[attempt(connect) for _ in range(5)], datagram=attempt(datagram))
    end = time.monotonic() + float(sys.argv[2])
    while not terminated and time.monotonic() < end:
        time.sleep(0.05)
    tell(terminated=bool(terminated))


main()
