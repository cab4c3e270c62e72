# SPDX-License-Identifier: MIT
"""serve_http.py NAME [IP:]PORT[,[IP:]PORT]… [tls CERTIFICATE KEY [ROOTS]] -- an HTTP/1.1 server that says who it is and what it saw of the request; /big/N gets N bytes, /enough
its answer and an end before its body was read, /wait nothing (it says "waits"), /cut a part of an answer, and, when a byte of the request's body has come, a reset. /until_end
gets an answer that is as long as the connection; /torn the same, with no end of TLS's own.
With ROOTS clients must have a certificate. On SIGUSR1 it closes its listeners, says "closed", and answers nobody any more."""

import contextlib
import hashlib
import http.server
import json
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time

name, ports, how, cert, key, roots = (sys.argv[1:] + [""] * 4)[:6]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, path = "HTTP/1.1", ""

    def answer(self):
        h, length = hashlib.sha256(), int(self.headers.get("content-length", 0))
        if self.path == "/wait":
            print("waits", flush=True)
            time.sleep(3600)
        left = 0 if self.path in ("/cut", "/enough") else length
        while left:
            data = self.rfile.read(min(left, 65536))
            left -= len(data)
            h.update(data)
        seen = {"name": name, "method": self.command, "path": self.path, "peer": self.client_address[:2], "length": length, "sha256": h.hexdigest(), "version": None}
        if how == "tls":
            s = self.connection
            seen.update(version=s.version(), sni=getattr(s.context, "seen", None), subject=str((s.getpeercert() or {}).get("subject")))
        seen["alpn"] = self.connection.selected_alpn_protocol() if how == "tls" else None
        text = name.encode()[:1] * int(self.path[5:]) if self.path.startswith("/big/") else json.dumps(seen).encode()
        self.send_response(200)
        if self.path in ("/until_end", "/torn"):
            self.close_connection = True
        else:
            self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.path == "/cut":
            self.wfile.write(text[:10])
            self.rfile.read(1)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # at once, whoever refers to it still
            return
        self.wfile.write(text)
        self.close_connection |= self.path == "/enough"

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def finish_request(self, sock, address):
        if how == "tls":
            c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            c.load_cert_chain(cert, key)
            c.set_alpn_protocols(["http/1.1"])
            c.sni_callback = lambda s, sni, context: setattr(c, "seen", sni)
            if roots:
                c.load_verify_locations(roots)
                c.verify_mode = ssl.CERT_REQUIRED
            sock.settimeout(20)
            sock = c.wrap_socket(sock, server_side=True)
        torn = self.RequestHandlerClass(sock, address, self).path == "/torn"
        if how == "tls" and not torn:
            with contextlib.suppress(OSError):
                sock.unwrap()

    def handle_error(self, *_):
        pass


class Server6(Server):
    """For IPv4, too, at ::."""
    address_family = socket.AF_INET6


def close(*_):
    for server in servers:
        server.socket.close()
    print("closed", flush=True)
    while True:
        time.sleep(60)


servers = [(Server6 if ":" in ip else Server)((ip or "0.0.0.0", int(port)), Handler) for ip, _, port in (p.rpartition(":") for p in ports.split(","))]
signal.signal(signal.SIGUSR1, close)
for further in servers[1:]:
    threading.Thread(target=further.serve_forever, daemon=True).start()
print("ready", flush=True)
servers[0].serve_forever()
