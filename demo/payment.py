#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A small HTTP service: says its name and whom it sees as its client. Arguments: name, address, port, file to note clients in."""
import http.server
import json
import sys

name, address, port, notes = sys.argv[1:5]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"service": name, "your address": self.client_address[0]}).encode() + b"\n"
        with open(notes, "a", encoding="ascii") as f:
            f.write(self.client_address[0] + "\n")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer((address, int(port)), Handler).serve_forever()
