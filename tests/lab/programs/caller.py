# SPDX-License-Identifier: MIT
"""Calls a port without a pause, each time by a new connection: caller.py IP PORT THREADS. Ends with its standard input; then prints one line of
JSON: how often each kind of answer came, and when and how calls failed (seconds of CLOCK_MONOTONIC: begin, end, what)."""

import collections
import errno
import json
import socket
import sys
import threading
import time

ip, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answers, failures, lock, over = collections.Counter(), [], threading.Lock(), threading.Event()


def call(data):
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as s:
        s.settimeout(15)
        s.connect((ip, port))
        s.sendall(data)
        answer = b""
        while not answer.endswith(data):
            part = s.recv(1000)
            if not part:
                raise OSError("end before the answer")
            answer += part
    return answer[:-len(data)].decode()


def work(name):
    n = 0
    while not over.is_set():
        began = time.monotonic()
        n += 1
        try:
            who = call(f"{name}-{n}".encode())
            with lock:
                answers[who] += 1
        except OSError as e:
            if e.errno == errno.EADDRNOTAVAIL:  # all of our own ports are used up: nobody was called
                time.sleep(0.1)
                continue
            with lock:
                failures.append((began, time.monotonic(), str(e)))


for i in range(threads):
    threading.Thread(target=work, args=(f"call-{i}",), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
over.set()
time.sleep(0.5)
print(json.dumps({"answers": answers, "failures": failures}))
