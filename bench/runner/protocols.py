# SPDX-License-Identifier: MIT
"""HTTP filters in front of more than plain HTTP: TLS that is decrypted and made anew, gRPC calls, messages of a WebSocket. The servers, of the
target's and of the local program's alike, and what asks them."""
import re
import subprocess

from .box import RUN
from .process import Problem
from .servers import write

PROTOCOLS = {"tls": 8103, "grpc": 8104, "ws": 8105}
CERT, KEY, CALL = f"{RUN}/tls.pem", f"{RUN}/tls.key", f"{RUN}/call"
MESSAGES = 2000

WEBSOCKET = """
import hashlib, base64, re, socket, sys, threading
def serve(s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    head = b""
    while b"\\r\\n\\r\\n" not in head: head += s.recv(4096)
    key = re.search(b"(?i)sec-websocket-key: (.*?)\\r", head)[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    s.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: " + base64.b64encode(hashlib.sha1(key).digest()) + b"\\r\\n\\r\\n")
    while frame := s.recv(4096): s.sendall(b"\\x82" + bytes([frame[1] & 127]) + frame[6:])
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
TALK = f"""
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
head = b""
while b"\\r\\n\\r\\n" not in head: head += s.recv(4096)
assert head.startswith(b"HTTP/1.1 101 "), head
took = []
for n in range({MESSAGES}):
    before = time.perf_counter_ns()
    s.sendall(b"\\x82\\xa0" + bytes(36))
    got = 0
    while got < 34: got += len(s.recv(4096)) or sys.exit("ended")
    took.append(time.perf_counter_ns() - before)
print(sorted(took)[len(took) // 2] / 1000)
"""


def haproxy_filter(name, bind, backend):
    """A part of its configuration: it decides by the header, as we do."""
    return f"""frontend {name}
  bind {bind}
  acl mine hdr(x-bench-user) -m str nobody
  use_backend other if mine
  default_backend {backend}
"""


HAPROXY = "\n" + haproxy_filter("tls", "{host}:{tls} ssl crt {run}/both.pem", "tls") + """backend tls
  http-reuse always
  server a {host}:{app_tls} ssl verify none
""" + haproxy_filter("grpc", "{host}:{grpc} proto h2", "grpc") + """backend grpc
  http-reuse always
  server a {host}:{app_grpc} proto h2
""" + haproxy_filter("ws", "{host}:{ws}", "ws") + """backend ws
  timeout tunnel 60s
  server a {host}:{app_ws}
"""


def prepare():
    """A key, and what is said."""
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
                           "-keyout", KEY, "-out", CERT], capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"openssl: {done.stderr.strip().splitlines()[-1:]}")
    with open(CERT) as cert, open(KEY) as key:
        write(f"{RUN}/both.pem", cert.read() + key.read())
    write(CALL, "\0\0\0\0\x20" + "x" * 32)
    write(f"{RUN}/websocket.py", WEBSOCKET)


def haproxy(host, first):
    """The peer's part, on ports from @first on."""
    apps = {f"app_{name}": port for name, port in PROTOCOLS.items()}
    return HAPROXY.format(host=host, run=RUN, **ports_from(first), **apps)


def ports_from(first):
    return {name: first + n for n, name in enumerate(PROTOCOLS)}


def tls_of_nginx(host):
    return (f'server {{ listen {host}{PROTOCOLS["tls"]} ssl; ssl_certificate {CERT}; ssl_certificate_key {KEY}; '
            f'location / {{ return 200 "hello"; }} }}')


def grpc_server(host):
    return ["nghttpd", "--no-tls", "--echo-upload", "--trailer=grpc-status: 0", "-a", host, str(PROTOCOLS["grpc"])]


def websocket_server(host):
    return ["python3", f"{RUN}/websocket.py", host, str(PROTOCOLS["ws"])]


def steal_tls():
    return [{"port": PROTOCOLS["tls"], "agentAsServer": {"authentication": {"certPem": CERT, "keyPem": KEY}}}]


def call(sh, t, host, port, seconds):
    """gRPC calls of 32 bytes that are sent back."""
    out = sh(t, ["h2load", "-c8", "-m16", f"-D{max(1, round(seconds))}", "-d", CALL, "-H", "content-type: application/grpc", "-H", "te: trailers",
                 f"http://{host}:{port}/bench.Echo/Say"], seconds)
    good = re.search(r"(\d+) succeeded, (\d+) failed", out)
    if int(good.group(2)) or not int(good.group(1)):
        raise Problem(f"h2load: {good.group(0)}")
    return {"grpc": float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", out).group(1)), "asked": int(good.group(1))}


def talk(sh, t, host, port):
    """Messages of 32 bytes that are sent back, one at a time."""
    return {"ws": float(sh(t, ["python3", "-c", TALK, host, str(port)], 60)), "asked": MESSAGES}
