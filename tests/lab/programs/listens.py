# SPDX-License-Identifier: MIT
"""A program that listens as it is told: each line of its standard input is a Python statement; the answer is one line of JSON. What reaches its
listeners is answered with "here:" and what came, and remembered."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
import traceback

PRELUDE = "import socket, sys; sys.path.insert(0, '/tmp/lab/tests/programs')"
CHILD_SAW = "/tmp/lab/home/child-saw"  # what children remember, a line each
seen, lock, threads, is_child = [], threading.Lock(), {}, __name__ != "__main__"


def note(**what):
    with lock:
        seen.append(what)
        if is_child:
            with open(CHILD_SAW, "a") as f:
                f.write(json.dumps(what) + "\n")


def answer_tcp(conn, name):
    peer, own = conn.getpeername(), conn.getsockname()
    conn.settimeout(60)
    try:
        data = conn.recv(1000)
        note(name=name, peer=peer[:2], own=own[:2], data=data.decode())  # before anybody can have the answer
        conn.sendall(b"here:" + data)
    except OSError as e:
        note(name=name, peer=peer[:2], own=own[:2], error=str(e))
    conn.close()


def answer_http(conn, name, most=50):
    """HTTP/1.1, kept alive for @most requests: so clients come again, and to whoever listens then."""
    conn.settimeout(60)
    try:
        for n in range(1, most + 1):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                part = conn.recv(4096)
                if not part:
                    return
                head += part
            last = b"Connection: close\r\n" if n == most else b""
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(name), last, name.encode()))
    except OSError:
        pass
    finally:
        conn.close()


def http(ip, port, name):
    s = bound(ip, port)
    s.listen(64)
    return serve(s, name, answer_http)


def serve(s, name="s", answer=answer_tcp):
    """Answers until the listener is closed."""
    s.setblocking(False)

    def accept_all():
        poller = select.poll()
        try:
            poller.register(s, select.POLLIN)
            while s.fileno() >= 0:
                if poller.poll(50):
                    try:
                        conn, _ = s.accept()
                    except BlockingIOError:
                        continue
                    conn.setblocking(True)
                    threading.Thread(target=answer, args=(conn, name), daemon=True).start()
        except (OSError, ValueError):
            pass
    threads[s] = threading.Thread(target=accept_all, daemon=True)
    threads[s].start()
    return s


def serve_udp(s, name="u"):
    s.settimeout(0.05)

    def answer_all():
        while s.fileno() >= 0:
            try:
                data, peer = s.recvfrom(65536)
                note(name=name, peer=peer[:2], data=data[:100].decode("latin-1"), bytes=len(data))
                s.sendto(b"here:" + data, peer)
            except TimeoutError:
                pass
            except (OSError, ValueError):
                break
    threading.Thread(target=answer_all, daemon=True).start()
    return s


def answer_once(*sockets):
    """Each answers one datagram and is closed; then there is a file closed-PORT."""
    def answer(s):
        port = s.getsockname()[1]
        data, peer = s.recvfrom(65536)
        s.sendto(b"here:" + data, peer)
        s.close()
        open(f"/tmp/lab/home/closed-{port}", "w").close()
    for s in sockets:
        threading.Thread(target=answer, args=(s,), daemon=True).start()


def bound(ip, port, kind=socket.SOCK_STREAM, protocol=0, reuseport=False, v6only=None):
    s = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind, protocol)
    if kind == socket.SOCK_STREAM:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuseport:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    s.bind((ip, port))
    return s


def listen(ip, port, name="s", **options):
    s = bound(ip, port, **options)
    s.listen(64)
    return serve(s, name)


def udp(ip, port, name="u", **options):
    return serve_udp(bound(ip, port, socket.SOCK_DGRAM, **options), name)


def shut(s):
    """Closes it, and waits until no thread of ours is in a call on it any more."""
    s.close()
    threads.pop(s).join()


def let_pass(seconds):
    """The time in which the session would notice what it should not."""
    time.sleep(seconds)


def child(code, *fds):
    """Another program, which has the descriptors, and lives until its standard input ends."""
    return subprocess.Popen([sys.executable, "-c", f"{PRELUDE}\n{code}\nsys.stdin.read()"], pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def forget():
    with lock:
        found, seen[:] = list(seen), []
    return found


def main():
    scope = globals()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        try:
            if line.startswith("= "):
                result = eval(line[2:], scope)
            else:
                exec(line, scope)
                result = "ok"
        except Exception as e:
            result = {"error": type(e).__name__, "errno": getattr(e, "errno", None), "text": traceback.format_exc()}
        print(json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
