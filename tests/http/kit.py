# SPDX-License-Identifier: MIT
"""What the tests of HTTP share: a network namespace of their own, divert between a client and servers, servers that do what a test says,
and TAP."""
import contextlib
import http.server
import itertools
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
MINE = b"GET /%d HTTP/1.1\r\nHost: a\r\nX-User: alice\r\n\r\n"
TESTS = []
PATIENCE = 60  # seconds, of a machine that is busy otherwise
PORTS = itertools.count(20000)  # below those that the kernel gives to clients, and nobody else's in this network namespace


def text(answer):
    return answer[1].split(b"\r\n\r\n", 1)[1]


def test(function):
    TESTS.append(function)
    return function


@contextlib.contextmanager
def nobody():
    """ADDRESS:PORT, where nothing listens, and nothing else comes to listen."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{s.getsockname()[1]}"


@contextlib.contextmanager
def full():
    """ADDRESS:PORT of who is there, and accepts nobody: a connection to it doesn't come about."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as s, socket.create_connection(s.getsockname()):
        yield f"127.0.0.1:{s.getsockname()[1]}"


def isolate():
    """Runs this program again in a network namespace of its own; returns there."""
    if os.environ.get("HTTP_TEST_INSIDE") != "1":
        os.environ["HTTP_TEST_INSIDE"] = "1"
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        os.execvp("unshare", ["unshare", *user, "--net", "--pid", "--mount-proc", "--fork", "--kill-child", sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main():
    isolate()
    failed = 0
    for n, function in enumerate(TESTS, 1):
        try:
            function()
            print(f"ok {n} - {function.__name__}")
        except Exception:
            failed += 1
            print(f"not ok {n} - {function.__name__}")
            print("".join(f"# {line}\n" for line in traceback.format_exc().splitlines()[-12:]), end="")
        sys.stdout.flush()
    print(f"1..{len(TESTS)}")
    return failed != 0


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


class Server:
    """Accepts, and runs handler(connection, number of the connection) in a thread for each. What a connection receives by recv_*() is kept in
    `received[number]`."""

    def __init__(self, handler, host="127.0.0.1", port=0):
        self.socket = socket.create_server((host, port), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self.handler, self.received, self.failures = handler, [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            s.settimeout(PATIENCE)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = len(self.received)
            self.received.append(b"")
            threading.Thread(target=self._run, args=(Connection(s, self, number), number), daemon=True).start()

    def _run(self, c, number):
        try:
            self.handler(c, number)
        except (OSError, EOFError):
            pass
        except Exception as e:
            self.failures.append(repr(e))
        finally:
            c.close()

    @property
    def connections(self):
        return len(self.received)

    def close(self):
        self.socket.close()


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        time.sleep(0.002)


def is_ended(port, client):
    """The end at @port of the connection of @client's has sent its FIN, or will when all before it is sent."""
    with open("/proc/net/tcp") as f:
        rows = [line.split()[1:4] for line in f][1:]
    return [f"0100007F:{port:04X}", f"0100007F:{client:04X}", ESTABLISHED] not in rows


def nobody_at(server):
    """Each connection to @server that there was is over for both sides."""
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f][1:]
    return not [r for r in rows if f"0100007F:{server.port:04X}" in r[1:3] and r[3] not in (LISTEN, TIME_WAIT)]


def connections_to(address):
    """How many there are, as their clients see them."""
    with open("/proc/net/tcp") as f:
        rows = [line.split()[2:4] for line in f][1:]
    return rows.count([f"0100007F:{int(address.split(':')[1]):04X}", ESTABLISHED])


ESTABLISHED, TIME_WAIT, LISTEN = "01", "06", "0A"


class Connection:
    """A socket with a buffer, for either side."""

    def __init__(self, s, server=None, number=0):
        self.socket, self.buffer, self.server, self.number = s, b"", server, number

    def fill(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        if self.server:
            self.server.received[self.number] += data
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        at = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def exactly(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def rest(self):
        """All until the end."""
        try:
            while True:
                self.fill()
        except EOFError:
            pass
        data, self.buffer = self.buffer, b""
        return data

    def body(self, head):
        length = re.search(rb"content-length:\s*(\d+)", head, re.I)
        if length:
            return self.exactly(int(length[1]))
        if not re.search(rb"transfer-encoding:\s*chunked", head, re.I):
            return b""
        whole = b""
        while True:
            line = self.until(b"\r\n")
            size = int(line.split(b";")[0], 16)
            whole += line
            if not size:
                while (line := self.until(b"\r\n")) != b"\r\n":
                    whole += line
                return whole + b"\r\n"
            whole += self.exactly(size + 2)

    def message(self):
        """A head with its body, as it came."""
        head = self.until(b"\r\n\r\n")
        while head == b"\r\n\r\n":
            head += self.until(b"\r\n\r\n")
        return head + self.body(head)

    def answer(self, head_only=False):
        """A final answer: status and the whole of it."""
        while True:
            head = self.until(b"\r\n\r\n")
            status = int(head.split()[1])
            if status >= 200 or status == 101:
                return status, head + (b"" if head_only or status in (204, 304) else self.body(head))

    def send(self, data):
        self.socket.sendall(data)

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def quiet(self, seconds=0.2):
        """Nothing comes for so long."""
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]


def reply(body, status="200 OK", fields=""):
    body = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def naming(name):
    """A handler that answers each request with its name and the request's first line."""

    def handler(c, number):
        while True:
            request = c.message()
            c.send(reply(f"{name} {request.lstrip().split(chr(13).encode())[0].decode('latin-1')}"))

    return handler


@contextlib.contextmanager
def one_at_a_time():
    """ADDRESS:PORT of a server of HTTP/1 that is done with a connection before it accepts the next. It says "mine"."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"mine")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


ALICE = json.dumps({"header_filter": "^x-user: alice$"})


class Divert:
    """divert between them. More filters: (filter, server)…"""

    def __init__(self, app, program, filter=ALICE, more=()):
        self.port = next(PORTS)
        argv = [PROGRAM, f"127.0.0.1:{self.port}", app if isinstance(app, str) else app.address]
        for f, server in [(filter, program), *more]:
            argv += [f if isinstance(f, str) else json.dumps(f), server if isinstance(server, str) else server.address]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise AssertionError(f"divert doesn't start: {line!r}")

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(s)

    def counters(self, wait_for=None):
        """Those of the first filter, by now; with @wait_for, (name, number), when that has been reached."""
        end = time.monotonic() + PATIENCE
        while True:
            self.process.send_signal(signal.SIGUSR2)
            self.open = int(self.process.stdout.readline().split()[0])
            self.all = [json.loads(self.process.stdout.readline()) for _ in range(self.sessions)]
            if not wait_for or self.all[0][wait_for[0]] >= wait_for[1] or time.monotonic() > end:
                return self.all[0]
            time.sleep(0.01)

    def end_first(self, how=signal.SIGUSR1):
        """The first session goes; with SIGHUP it dies, and nothing comes of its program's network any more."""
        self.process.send_signal(how)
        for _ in range(self.sessions):
            self.process.stdout.readline()

    def wait_closed(self):
        """Until no connection is left."""
        end = time.monotonic() + PATIENCE
        while self.counters() is not None and self.open:
            if time.monotonic() > end:
                raise AssertionError(f"{self.open} connections are left")
            time.sleep(0.01)

    @property
    def sessions(self):
        return (len(self.process.args) - 3) // 2

    def close(self):
        self.process.terminate()
        status = self.process.wait(PATIENCE)
        if status:
            raise AssertionError(f"divert ended with {status}")


@contextlib.contextmanager
def scene(app=None, program=None, filter=ALICE, more=()):
    """app and program are handlers, or None for ones that say their name. Gives (divert, app, program)."""
    a, p = Server(app or naming("app")), Server(program or naming("program"))
    d = Divert(a, p, filter, more)
    try:
        yield d, a, p
    finally:
        d.close()
        a.close()
        p.close()
    expect("the servers' own failures", a.failures + p.failures, [])


PROGRAM = sys.argv[1] if len(sys.argv) > 1 else None
