#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""clients.py DIVERT -- HTTP/2, gRPC and WebSocket through the filter with real clients and servers: curl, nghttp2's tools, Node, grpcio, Go's
h2spec, wrk. HTTP/2 is compared field by field with what was sent."""
import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from kit import Divert, PATIENCE, Server, connections_to, expect, full, is_ended, main, nobody, scene, test, wait_for
from real import Node, USER, curl, run, servers, upgrading

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.path.join(os.path.dirname(sys.argv[1]) if len(sys.argv) > 1 else ".", "clients.work")


@test
def curl_of_all_versions():
    for kind, version in (("http2", "--http2-prior-knowledge"), ("http", "--http1.1"), ("http", "--http1.0"), ("http", "--http2")):
        with servers(kind) as (d, app, program):
            expect(version, json.loads(curl(d, "/a", version=version))["name"], "app")
            expect(version, json.loads(curl(d, "/a", *USER, version=version))["name"], "program")
            if version == "--http2-prior-knowledge":
                continue  # curl 7.88 can't use such a connection twice, with us or without
            got = run("curl", "-sS", version, *USER, f"http://127.0.0.1:{d.port}/[1-20]", "--next", "-sS", version, f"http://127.0.0.1:{d.port}/[1-20]")
            expect("names", re.findall(r'"name":"(\w+)"', got), ["program"] * 20 + ["app"] * 20)


@test
def fields_arrive_as_they_were_sent():
    """With the filter and without: the same fields in the same order."""
    options = ["-H", "X-A: one", "-H", "x-b:  two  ", "-H", "X-A: three", "-H", "te: trailers", "-H", "cookie: a=1; b=2", "-H", "x-utf: caf\u00e9",
               "-X", "PURGE", "-d", "hello"]
    with servers() as (d, app, program):
        plain = json.loads(run("curl", "-sS", "--http2-prior-knowledge", *options, f"http://{app.address}/x?y=%20z"))
        passed = json.loads(curl(d, "/x?y=%20z", *options))
        taken = json.loads(curl(d, "/x?y=%20z", *options, *USER))
        at = plain["fields"].index(":authority") + 1
        plain["fields"][at] = passed["fields"][at]
        expect("passed", passed, plain)
        expect("taken", [f for f in taken["fields"] if f not in ("x-user", "alice")], plain["fields"])
        expect("by", taken["name"], "program")


@test
def http2_filters_see_pseudo_headers():
    for filter in ({"host": "^shop\\.test$"}, {"header_filter": "^host: shop"}, {"header_filter": "^:authority: shop"}, {"header_filter": "^:path: /mine"},
                   {"path_filter": "^/mine$"}, {"all_of": [{"method": "GET"}, {"query": {"a": "^1$"}}]}):
        with servers(filter=filter) as (d, app, program):
            for path, authority, name in (("/mine?a=1", "shop.test:80", "program"), ("/other?a=2", "other.test", "app")):
                got = run("nghttp", f"-H:authority:{authority}", f"http://127.0.0.1:{d.port}{path}")
                expect(f"{filter} {authority}", json.loads(got)["name"], name)


@test
def a_request_without_an_authority():
    """It has Host instead, as gateways may make it (RFC 9113 section 8.3.1)."""
    script = r"""
const http2 = require('http2'), c = http2.connect('http://127.0.0.1:' + process.argv[1]);
const s = c.request({':path': '/', host: 'shop.test', ...(process.argv[2] ? {'x-user': 'alice'} : {})}); let text = '';
s.setEncoding('utf8'); s.on('data', d => text += d); s.on('end', () => { console.log(text); c.close(); });
"""
    with servers() as (d, app, program):
        for whose, name in (("", "app"), ("alice", "program")):
            got = json.loads(run("node", "-e", script, str(d.port), whose))
            fields = dict(zip(got["fields"][::2], got["fields"][1::2]))
            expect("who, and for whom", (got["name"], fields.get("host"), ":authority" in fields), (name, "shop.test", False))


@test
def http2_bodies_decide():
    with servers(filter={"body_filter": {"body": "json", "query": "$.user", "matches": "alice"}}) as (d, app, program):
        for body, name in (('{"user": "alice"}', "program"), ('{"user": "bob"}', "app"), ("none", "app"), ('{"x":"' + "y" * 100000 + '","user":"alice"}', "app"),
                           ('{"x":"' + "y" * 60000 + '","user":"alice"}', "program")):
            got = json.loads(run("curl", "-sS", "--http2-prior-knowledge", "--data-binary", "@-", f"http://127.0.0.1:{d.port}/", text=body))
            expect(body[:20], (got["name"], got["length"]), (name, len(body)))
        expect("without a body", json.loads(curl(d))["name"], "app")
        empty = json.loads(run("curl", "-sS", "--http2-prior-knowledge", "-T", "-", f"http://127.0.0.1:{d.port}/", text=""))
        expect("with one that ends empty, behind the head", empty["name"], "app")


@test
def each_body_of_http2_has_its_second():
    """One that comes late ends no other's time, and an upload in pieces is nobody else's for that."""
    script = r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), out = {};
const post = (name, ms) => { const s = c.request({':method': 'POST'}); let t = '';
  s.setEncoding('latin1').on('data', d => t += d).on('end', () => { out[name] = JSON.parse(t).name; if (Object.keys(out).length === 4) { console.log(JSON.stringify(out)); c.close(); } });
  s.write('{"user": "al'); setTimeout(() => s.end('ice"}'), ms); };
post('at once', 0); post('never in time', 3500); setTimeout(() => post('across the first\'s', 500), 750); setTimeout(() => post('too late', 2500), 1000);
"""
    with servers(filter={"body_filter": {"body": "json", "query": "$.user", "matches": "alice"}}) as (d, app, program):
        expect("who", json.loads(run("node", "-e", script, str(d.port))),
               {"at once": "program", "across the first's": "program", "too late": "app", "never in time": "app"})


@test
def a_filter_on_bodies_of_http2_says_continue_itself():
    """Once, whoever gets the request then."""
    script = r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), [user, mine] = process.argv.slice(2);
const s = c.request({':method': 'POST', expect: '100-continue'}); let t = '', n = 0;
s.setEncoding('latin1').on('data', d => t += d).on('end', () => { console.log(n, JSON.parse(t).name); c.close(); });
s.on('continue', () => { if (!n++) s.end(`{"user": "${user}"}`); });
"""
    with servers(filter={"body_filter": {"body": "json", "query": "$.user", "matches": "alice"}}) as (d, app, program):
        for user, name in (("alice", "program"), ("bob", "app")):
            expect(user, run("node", "-e", script, str(d.port), user), f"1 {name}\n")
    with servers() as (d, app, program):
        expect("the server's own, without such a filter", run("node", "-e", script, str(d.port), "alice"), "1 app\n")


@test
def large_bodies_of_http2():
    with servers() as (d, app, program):
        os.makedirs(WORK, exist_ok=True)
        path = f"{WORK}/upload"
        run("sh", "-c", f"head -c 50000000 /dev/urandom >{path}")
        total = run("sha256sum", path).split()[0]
        for user in ([], USER):
            got = json.loads(curl(d, "/", *user, "-T", path))
            expect("upload", (got["length"], got["sum"]), (50000000, total))
            expect("download", len(curl(d, "/stream/400", *user)), 400 * 65536)
            expect("echo", run("sh", "-c", f"curl -sS --http2-prior-knowledge {'-H x-user:alice' if user else ''} --data-binary @{path} "
                               f"http://127.0.0.1:{d.port}/echo | sha256sum").split()[0], total)
        with open(f"/proc/{d.process.pid}/status") as f:
            peak = int(f.read().split("VmHWM:")[1].split()[0])
        expect("memory stays flat", peak < 40 << 10 or "ASAN_OPTIONS" in os.environ, True)
        os.unlink(path)


@test
def answers_in_parts():
    with servers() as (d, app, program):
        for user in ([], ["-Hx-user:alice"]):
            out = run("nghttp", "-v", *user, f"http://127.0.0.1:{d.port}/hints/0")
            expect("interim answer", len(re.findall(r":status: 103", out)), 1)
            out = run("nghttp", "-v", *user, f"http://127.0.0.1:{d.port}/trailers/0")
            expect("trailers", len(re.findall(r"x-sum: 7", out)), 1)
            out = run("nghttp", "-v", *user, f"http://127.0.0.1:{d.port}/reset/0", status=None)
            expect("the server's reset", "error_code=ENHANCE_YOUR_CALM(0x0b)" in out, True)
            # Not curl: now and then it fails on such an answer, Node's own as well.
            out = run("nghttp", "-v", "-d", __file__, *user, f"http://127.0.0.1:{d.port}/early")
            expect("an early answer", (":status: 413" in out, "early" in out, "error_code=PROTOCOL" in out), (True, True, False))


@test
def an_early_answer_stops_the_request():
    """A client that hasn't ended its request is told that no more of it is wanted, as the server told us (RFC 9113 section 8.1)."""
    script = r"""
const http2 = require('http2'), c = http2.connect('http://127.0.0.1:' + process.argv[1]);
const s = c.request({':path': '/early', ':method': 'POST', ...(process.argv[2] ? {'x-user': 'alice'} : {})}, {endStream: false});
let text = ''; s.setEncoding('utf8'); s.write('x'); s.on('data', d => text += d); s.on('error', e => console.log(e.message));
s.on('close', () => { console.log(text, s.rstCode); c.close(); });
"""
    with servers() as (d, app, program):
        for whose in ("", "alice"):
            expect("answer, and the reset's code", run("node", "-e", script, str(d.port), whose), "early 0\n")
        expect("the connection goes on", json.loads(curl(d))["name"], "app")


NODE_STREAMS = r"""
const http2 = require('http2'), c = http2.connect('http://127.0.0.1:' + process.argv[1]);
const get = (path, mine) => new Promise((ok, no) => { const s = c.request({':path': path, ...(mine ? {'x-user': 'alice'} : {})}); let t = '';
  s.setEncoding('utf8'); s.on('data', d => t += d); s.on('end', () => ok(t)); s.on('error', no); });
(async () => {
  const stuck = c.request({':path': '/stream/1000'}), other = c.request({':path': '/stream/1000', 'x-user': 'alice'});   // never read
  await new Promise(r => setTimeout(r, 300));
  const began = Date.now(), got = await Promise.all([...Array(100).keys()].map(n => get('/slow/' + n % 7, n % 3 == 0)));
  console.log(JSON.stringify({names: got.map(t => JSON.parse(t).name), ms: Date.now() - began}));
  stuck.close(); other.close(); c.close();
})();
"""


@test
def a_stream_that_is_not_read_stops_no_other():
    with servers() as (d, app, program):
        got = json.loads(run("node", "-e", NODE_STREAMS, str(d.port)))
        expect("whose", got["names"], ["program" if n % 3 == 0 else "app" for n in range(100)])


@test
def extended_connect():
    script = r"""
const http2 = require('http2'), c = http2.connect('http://127.0.0.1:' + process.argv[1]);
let done = false;
c.on('remoteSettings', settings => { if (!settings.enableConnectProtocol || done) return; done = true;
  const s = c.request({':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws', 'x-user': process.argv[2]});
  s.on('response', h => { s.write('hello'); }); s.on('data', d => { console.log(h2 = d.toString()); s.close(); c.close(); }); });
"""
    with servers() as (d, app, program):
        for user in ("alice", "bob"):
            expect(user, run("node", "-e", script, str(d.port), user), "hello\n")
        expect("counted", d.counters()["stolen"], 1)


@test
def a_websocket_client():
    """Node's own client has no plain-text door to the bytes, so frames are made here (RFC 6455)."""
    import base64

    def frame(payload, opcode=1):
        mask = os.urandom(4)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
                                         if len(payload) < 65536 else b"\xff" + struct.pack(">Q", len(payload)))
        return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))

    with servers("websocket") as (d, app, program):
        for user, name in ((b"", b"app"), (b"X-User: alice\r\n", b"program")):
            c = d.connect()
            c.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
                   base64.b64encode(os.urandom(16)) + b"\r\n" + user + b"\r\n")
            head = c.until(b"\r\n\r\n")
            expect("whose", b"X-Server: " + name in head, True)
            for payload in (b"", b"hello", os.urandom(125), os.urandom(126), os.urandom(65535), os.urandom(70000)):
                for opcode in (1, 2, 9, 10):
                    sent = frame(payload, opcode)
                    c.send(sent)
                    expect("echo", c.exactly(len(sent)), sent)
            c.send(frame(b"\x03\xe8", 8))
            c.exactly(8)
            c.end()
            expect("the end", c.rest(), b"")


@test
def an_upgrade_to_http2():
    """Whoever grants it answers the first request, and the later ones go where they belong, on one connection."""
    def urls(d, *paths):
        return [f"http://127.0.0.1:{d.port}{p}" for p in paths]

    with upgrading("app") as app, upgrading("program") as program:
        d = Divert(app, program, '{"path_filter": "^/p"}')
        try:
            for paths in (("/a", "/p1", "/b", "/p2"), ("/p1", "/a", "/p2")):
                out = run("curl", "-sS", "-m", str(PATIENCE), "--http2", "-w", "\n%{http_version} %{num_connects}\n", *urls(d, *paths))
                lines = out.split("\n")[:-1]
                got = [json.loads(line) for line in lines[::2]]
                expect("who answered", [(g["name"], g["url"]) for g in got], [("program" if p[1] == "p" else "app", p) for p in paths])
                expect("by what", lines[1::2], ["2 1"] + ["2 0"] * (len(paths) - 1))
            out = run("curl", "-sS", "-m", str(PATIENCE), "--http2", "-I", *urls(d, "/p", "/a"))
            expect("HEAD", len(re.findall(r"^HTTP/2 200", out, re.M)), 2)
        finally:
            d.close()
    with servers("http", '{"path_filter": "^/p"}') as (d, app, program):  # nobody grants it
        out = run("curl", "-sS", "-m", str(PATIENCE), "--http2", "-w", "\n%{http_version}\n", *urls(d, "/a", "/p")).split("\n")
        expect("who answered", [(json.loads(out[i])["name"], out[i + 1]) for i in (0, 2)], [("app", "1.1"), ("program", "1.1")])


@test
def goaway_of_the_app_is_the_clients():
    script = r"""
const http2 = require('http2'), s = http2.createServer();
s.on('stream', (st, h) => { st.respond(); st.end('x'); if (h[':path'] === '/last') st.session.goaway(); });
s.listen(0, '127.0.0.1', () => console.log('ready ' + s.address().port));
"""
    process = subprocess.Popen(["node", "-e", script], stdout=subprocess.PIPE, text=True)
    address = "127.0.0.1:" + process.stdout.readline().split()[1]
    d = Divert(address, address)
    try:
        out = run("nghttp", "-v", f"http://127.0.0.1:{d.port}/last")
        expect("GOAWAY", "recv GOAWAY frame" in out, True)
        for _ in range(3):
            expect("again", curl(d, "/x"), "x")
    finally:
        d.close()
        process.kill()
        process.wait()


def frame(kind, stream, body, flags=0):
    return struct.pack(">IBI", len(body) << 8 | kind, flags, stream) + body


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, b"")


def next_frame(c):
    """(type, flags, stream, payload) from a Connection."""
    head = c.exactly(9)
    return head[3], head[4], int.from_bytes(head[5:], "big"), c.exactly(int.from_bytes(head[:3], "big"))


@test
def all_of_an_early_answer_comes_before_its_reset():
    """A server that has answered in full and wants no more of the request says so at once (RFC 9113 §8.1), as gRPC's servers do."""
    status, trailer = b"\x88", b"\x00\x01t\x01v"
    answers = {"a head": [(1, status, 5)], "data": [(1, status, 4), (0, b"x" * 16384, 1)], "an end for itself": [(1, status, 4), (0, b"x", 0), (0, b"", 1)],
               "a trailer": [(1, status, 4), (0, b"x", 0), (1, trailer, 5)], "a trailer alone": [(1, status, 4), (1, trailer, 5)]}
    for what, answer in answers.items():
        def serve(c, number):
            c.exactly(24)
            c.send(frame(4, 0, struct.pack(">HI", 5, 1 << 16)))
            while (f := next_frame(c))[0] != 1:
                pass
            c.send(b"".join(frame(kind, f[2], body, flags) for kind, body, flags in answer) + frame(3, f[2], bytes(4)))
            c.rest()

        with contextlib.closing(Server(serve)) as app:
            d = Divert(app, app)
            c = d.connect()
            c.send(PREFACE + frame(1, 1, b"\x83\x86\x84\x41\x01a", flags=4))
            got, data = [], 0
            while not got or got[-1][0] != 3:
                kind, flags, stream, body = next_frame(c)
                if stream:
                    data += len(body) * (kind == 0)
                    got.append((kind, flags & 1, body[:4] if kind == 3 else b""))
            expect(f"{what}: bytes of data", data, sum(len(b) for kind, b, _ in answer if kind == 0))
            expect(f"{what}: heads", [k for k, _, _ in got if k == 1], [kind for kind, _, _ in answer if kind == 1])
            expect(f"{what}: the end, and no error", ([f for _, f, _ in got[-2:]], got[-1][2]), ([1, 0], bytes(4)))
            c.close()
            d.close()


POST = b"\x83\x86\x84\x41\x01a"
GET = b"\x82" + POST[1:]
MY_POST, MY_GET = (head + b"\x00\x06x-user\x05alice" for head in (POST, GET))


def await_frame(c, *kinds):
    """The next of these types that is a stream's, and what it says."""
    while not ((f := next_frame(c))[2] and f[0] in kinds):
        pass
    return f


@test
def a_server_that_has_answered_early_still_gets_all_of_the_request():
    """The client has its answer and has sent all of its request; what of that the server's window holds back isn't lost (RFC 9113 §8.1)."""
    body, answered, got = b"x" * 1000, threading.Event(), []

    def serve(c, number):
        c.exactly(24)
        c.send(frame(4, 0, struct.pack(">HI", 4, 10)))  # ten bytes at first
        stream = await_frame(c, 1)[2]
        c.send(frame(1, stream, b"\x88", flags=5))
        answered.wait(PATIENCE)
        c.send(frame(8, stream, struct.pack(">I", len(body))))
        while not got or not (got[-1][0] == 3 or got[-1][1] & 1):
            kind, flags, _, data = await_frame(c, 0, 3)
            got.append((kind, flags, data))
        c.rest()

    with contextlib.closing(Server(serve)) as app:
        d = Divert(app, app)
        c = d.connect()
        c.send(PREFACE + frame(1, 1, POST, flags=4) + frame(0, 1, body, flags=1))
        expect("the answer", await_frame(c, 1, 3)[:2], (1, 5))
        answered.set()
        wait_for("the server has the end of it", lambda: got and (got[-1][0] == 3 or got[-1][1] & 1))
        expect("a reset", [data for kind, _, data in got if kind == 3], [])
        expect("the body", b"".join(data for _, _, data in got), body)
        c.close()
        d.close()


@test
def a_client_is_told_to_stop_when_nobody_gets_the_rest_of_its_request():
    """Its server has answered in full and ended, or there was none: a reset without error comes behind the answer."""
    def serve(c, number):
        c.exactly(24)
        c.send(frame(4, 0, b""))
        c.send(frame(1, await_frame(c, 1)[2], b"\x88", flags=5))
        c.end()
        c.rest()

    with contextlib.closing(Server(serve)) as app, nobody() as dead:
        for what, program, head, status, failed in (("the app has ended", app, POST, 5, 0), ("the program has ended", app, MY_POST, 5, 0), ("there is none", dead, MY_POST, 4, 1)):
            d = Divert(app, program)
            c = d.connect()
            c.send(PREFACE + frame(1, 1, head, flags=4) + frame(0, 1, b"x"))
            expect(f"{what}: the answer", await_frame(c, 1, 3)[:2], (1, status))
            expect(f"{what}: the reset's code", await_frame(c, 3)[3], bytes(4))
            expect(f"{what}: requests that have failed", d.counters()["failed"], failed)
            c.close()
            d.close()


@test
def an_app_that_ends_in_the_middle():
    """Its client's connection ends in the same way. With another's answer to come it doesn't, and the stream is reset."""
    for what, mine, reset in ("an end", False, False), ("a reset", False, True), ("beside the program's", True, False):
        go_on, end = threading.Event(), threading.Event()

        def app(c, number):
            c.exactly(24)
            c.send(frame(4, 0, b""))
            c.send(frame(1, await_frame(c, 1)[2], b"\x88", flags=4) + frame(0, 1, b"half"))
            end.wait(PATIENCE)
            if reset:
                c.reset()
            else:
                c.end()
                c.rest()

        def program(c, number):
            c.exactly(24)
            c.send(frame(4, 0, b""))
            stream = await_frame(c, 1)[2]
            go_on.wait(PATIENCE)
            c.send(frame(1, stream, b"\x88", flags=5))
            c.rest()

        with scene(app, program) as (d, a, p):
            c, got, how = d.connect(), [], "an end"
            c.send(PREFACE + frame(1, 1, GET, flags=5) + (frame(1, 3, MY_GET, flags=5) if mine else b""))
            expect("a half of it", await_frame(c, 0)[3], b"half")
            if mine:
                d.counters(("stolen", 1))
            end.set()
            try:
                while not mine or (not got or got[-1][:2] != (1, 3)):
                    kind, _, stream, data = next_frame(c)
                    if kind in (1, 3, 7):
                        got.append((kind, stream, data[-4:]))
                        go_on.set()
            except EOFError:
                pass
            except ConnectionResetError:
                how = "a reset"
            want = [(3, 1, struct.pack(">I", 2)), (7, 0, bytes(4)), (1, 3, b"\x88")] if mine else []
            expect(f"{what}: how the connection ends, and what is said before", (how, got), ("a reset" if reset else "an end", want))
            c.close()


@test
def a_client_that_leaves_has_its_answer():
    """GOAWAY behind a request, and a PING after all of the answer was sent: closed with that unread, the connection would be reset in front of the answer."""
    def rest(s):
        got = b""
        while data := s.recv(65536):
            got += data
        return got
    path, mine = b"/stream/1", b"\x00\x06x-user\x05alice"
    window = 1 << 20
    with servers() as (d, app, program):
        for user in (b"", mine):
            with socket.socket() as s:
                s.settimeout(PATIENCE)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # most of the answer waits at the other side
                s.connect(("127.0.0.1", d.port))
                s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, struct.pack(">HI", 4, window)) + frame(8, 0, struct.pack(">I", window))
                          + frame(1, 1, b"\x82\x86\x41\x01a\x04" + bytes([len(path)]) + path + user, flags=5) + frame(7, 0, bytes(8)))
                wait_for("the end is sent", lambda: is_ended(d.port, s.getsockname()[1]))
                s.sendall(frame(6, 0, b"12345678"))
                got = rest(s)
            sizes, at = [], 0
            while at < len(got):
                head, at = got[at:at + 9], at + 9 + int.from_bytes(got[at:at + 3], "big")
                sizes.append(int.from_bytes(head[:3], "big") * (head[3] == 0))
            expect("the whole answer", (sum(sizes), at), (65536, len(got)))


@test
def a_program_that_is_not_there():
    app = Node("http2", "app")
    with nobody() as dead:
        d = Divert(app, dead)
        out = curl(d, "/", "-i", *USER)
        expect("status", out.split()[1], "502")
        expect("why", "mirrord-error: the local program can't be connected to" in out, True)
        expect("HEAD has no body", curl(d, "/", "-I", *USER).split()[1], "502")
        expect("the app goes on", json.loads(curl(d))["name"], "app")
        d.close()
    app.close()


@test
def a_program_that_refuses_the_rest():
    app = Node("http2", "app")
    with nobody() as dead:
        d = Divert(app, dead, more=((True, dead),))
        expect("the app's", json.loads(curl(d, "/", "-d", "x" * 100000))["length"], 100000)
        expect("the filter's", curl(d, "/", "-i", *USER).split()[1], "502")
        d.close()
    app.close()


@test
def sessions_of_http2_that_end():
    """With a request that its program has, by a death; with some that it hasn't, and these are the app's."""
    def ask(*argv):
        return subprocess.Popen(["curl", "-sS", "-m", str(PATIENCE), "--http2-prior-knowledge", *USER, *argv], stdout=subprocess.PIPE, text=True)

    for kind in "http2", "http":  # to a program of HTTP/1, too
        app, program = Node("http2", "app"), Node(kind, "program")
        d = Divert(app, program)
        client = ask("-i", f"http://127.0.0.1:{d.port}/slow/1000000")
        expect("the program has it", program.process.stdout.readline(), "slow\n")
        d.end_first(signal.SIGHUP)
        out = client.communicate()[0]
        expect("status", out.split()[1], "502")
        expect("why", "mirrord-error: the local program ended without an answer" in out, True)
        expect("the next one's", json.loads(curl(d, "/", *USER))["name"], "app")
        d.close()
        program.close()
        with full() as nowhere:
            for argv, length in ((), 0), (("-d", "x" * 1000), 1000), (("-d", "@" + __file__), None):
                d = Divert(app, nowhere)
                client = ask(*argv, f"http://127.0.0.1:{d.port}/")
                d.counters(("stolen", 1))
                d.end_first()
                got = json.loads(client.communicate()[0])
                expect("who has answered, to what", (got["name"], got["length"]), ("app", got["length"] if length is None else length))
                expect("counted", d.counters()["failed"], 0)
                d.close()
        app.close()


@test
def a_stream_across_our_goaway():
    """The last filter goes when the client's next request is on its way: it has its answer, and then the connection ends."""
    with servers() as (d, app, program):
        c, frames = d.connect(), []

        def get(stream):
            return frame(1, stream, GET, flags=5)

        c.send(PREFACE + get(1))
        while not frames or b'"name":"app"' not in frames[-1][3]:
            frames.append(next_frame(c))
        d.process.send_signal(signal.SIGSTOP)
        d.process.send_signal(signal.SIGUSR1)
        c.send(get(3))
        d.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(EOFError):
            while True:
                frames.append(next_frame(c))
        answered = [stream for kind, _, stream, _ in frames if kind == 1]
        goodbyes = [int.from_bytes(data[:4], "big") for kind, _, _, data in frames if kind == 7]
        c.close()
        expect("answered", answered, [1, 3])
        expect("GOAWAY: the last stream", goodbyes, [(1 << 31) - 1, 3])


@test
def floods_are_bounded():
    """Header blocks over 64 KiB, endless CONTINUATION, streams opened and reset as fast as can be."""
    script = r"""
const net = require('net'), s = net.connect(Number(process.argv[1]), '127.0.0.1'), kind = process.argv[2];
const frame = (type, flags, id, body) => { const h = Buffer.alloc(9); h.writeUIntBE(body.length, 0, 3); h[3] = type; h[4] = flags; h.writeUInt32BE(id, 5); return Buffer.concat([h, body]); };
const head = Buffer.from([0x82, 0x84, 0x86, 0x41, 1, 0x61]);   // GET / http, :authority a
const literal = n => Buffer.concat([Buffer.from([0x00, 1, 0x78, 0x7f, ...(() => { let v = n - 127, o = []; while (v >= 128) { o.push(v % 128 + 128); v >>= 7; } o.push(v); return o; })()]), Buffer.alloc(n, 0x79)]);
s.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'); s.write(frame(4, 0, 0, Buffer.alloc(0)));
let got = Buffer.alloc(0), sent = 0;
s.on('data', d => got = Buffer.concat([got, d])); s.on('error', () => {});
let closed = false; s.on('close', () => { closed = true; report(); }); const report = () => { let at = 0, seen = []; while (got.length - at >= 9) { const n = got.readUIntBE(at, 3); if (got[at + 3] === 7) seen.push('GOAWAY ' + got.readUInt32BE(at + 13)); if (got[at + 3] === 1) seen.push('HEADERS'); at += 9 + n; } console.log(JSON.stringify({sent, seen, closed})); process.exit(0); };
if (kind === 'large') { s.write(frame(1, 1, 1, head)); for (let k = 0; k < 5; k++) s.write(frame(9, k === 4 ? 4 : 0, 1, literal(16000))); s.on('data', () => [4, 5].some(flags => got.includes(Buffer.from([1, flags, 0, 0, 0, 1]))) && report()); setTimeout(report, 60000).unref(); }
if (kind === 'continuation') { s.write(frame(1, 1, 1, head)); const step = () => { if (s.destroyed) return; sent++; s.write(frame(9, 0, 1, Buffer.from([0, 1, 0x78, 1, 0x79]))); setImmediate(step); }; step(); setTimeout(report, 60000).unref(); }
if (kind === 'reset') { let id = 1; const step = () => { if (s.destroyed) return; sent++; s.write(Buffer.concat([frame(1, 5, id, head), frame(3, 0, id, Buffer.from([0, 0, 0, 8]))])); id += 2; setImmediate(step); }; step(); setTimeout(report, 60000).unref(); }
"""
    with servers() as (d, app, program):
        got = json.loads(run("node", "-e", script, str(d.port), "large"))
        expect("a large block is answered", got["seen"], ["HEADERS"])
        got = json.loads(run("node", "-e", script, str(d.port), "continuation"))
        expect("CONTINUATION ends the connection", got["closed"], True)
        got = json.loads(run("node", "-e", script, str(d.port), "reset"))
        expect("resets end the connection", got["closed"], True)
        expect("and nobody else's", json.loads(curl(d))["name"], "app")


GRPC_SERVER = r"""
import grpc, sys, time
from concurrent import futures
name = sys.argv[1].encode()
def unary(q, c):
    c.send_initial_metadata((("x-server", name.decode()),))
    c.set_trailing_metadata((("x-tail-bin", b"\x00\xff"),))
    return name + b":" + q
def fail(q, c):
    c.set_trailing_metadata((("x-why", "because"),))
    c.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: \u00e9 %")
def down(q, c):
    for k in range(int(q)): yield name + b"%d" % k
def up(qs, c): return name + b":%d" % sum(len(q) for q in qs)
def both(qs, c):
    for q in qs: yield name + b":" + q
begun, cancelled = [], []
def sleep(q, c):
    if not c.add_callback(lambda: cancelled.append(q)): cancelled.append(q)
    begun.append(q)
    for _ in range(6000):
        if not c.is_active(): return b""
        time.sleep(0.01)
    return b"slept"
def was_cancelled(q, c): return b"%d %d" % (begun.count(q), cancelled.count(q))
def deadline(q, c): return b"%d" % int(c.time_remaining() * 1000)
def meta(q, c): return repr(sorted(tuple(m) for m in c.invocation_metadata() if m[0].startswith("x-"))).encode()
H = grpc.unary_unary_rpc_method_handler
handlers = {"Unary": H(unary), "Fail": H(fail), "Sleep": H(sleep), "WasCancelled": H(was_cancelled), "Deadline": H(deadline), "Meta": H(meta),
            "Down": grpc.unary_stream_rpc_method_handler(down), "Up": grpc.stream_unary_rpc_method_handler(up), "Both": grpc.stream_stream_rpc_method_handler(both)}
s = grpc.server(futures.ThreadPoolExecutor(40), options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)])
s.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Cart", handlers), grpc.method_handlers_generic_handler("shop.Other", handlers)))
port = s.add_insecure_port("127.0.0.1:0")
s.start()
print("ready", port, flush=True)
s.wait_for_termination()
"""


@contextlib.contextmanager
def grpc_servers(filter):
    processes = [subprocess.Popen(["/usr/bin/python3", "-c", GRPC_SERVER, name], stdout=subprocess.PIPE, text=True) for name in ("app", "program")]
    addresses = ["127.0.0.1:" + p.stdout.readline().split()[1] for p in processes]
    d = Divert(*addresses, filter)
    try:
        yield d
    finally:
        d.close()
        for p in processes:
            p.kill()
            p.wait()


@test
def grpc_of_all_kinds():
    import grpc

    with grpc_servers({"grpc": {"service": "shop.Cart"}}) as d:
        channel = grpc.insecure_channel(f"127.0.0.1:{d.port}", options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)])
        for service, name in (("shop.Cart", b"program"), ("shop.Other", b"app")):
            def unary(m, **more):
                return channel.unary_unary(f"/{service}/{m}")(b"q" if "q" not in more else more.pop("q"), timeout=more.pop("timeout", PATIENCE), **more)

            answer, call = channel.unary_unary(f"/{service}/Unary").with_call(b"hello", timeout=PATIENCE)
            expect("unary", answer, name + b":hello")
            expect("initial metadata", dict(call.initial_metadata())["x-server"], name.decode())
            expect("trailing metadata", dict(call.trailing_metadata())["x-tail-bin"], b"\x00\xff")
            try:
                unary("Fail")
                raise AssertionError("it should fail")
            except grpc.RpcError as e:
                expect("status", (e.code(), e.details(), dict(e.trailing_metadata())["x-why"]), (grpc.StatusCode.FAILED_PRECONDITION, "no: \u00e9 %", "because"))
            try:
                unary("Nowhere")
                raise AssertionError("it should fail")
            except grpc.RpcError as e:
                expect("no such method", e.code(), grpc.StatusCode.UNIMPLEMENTED)
            expect("server stream", list(channel.unary_stream(f"/{service}/Down")(b"500", timeout=PATIENCE)), [name + b"%d" % k for k in range(500)])
            expect("client stream", channel.stream_unary(f"/{service}/Up")((b"x" * k for k in range(500)), timeout=PATIENCE), name + b":%d" % sum(range(500)))
            big = os.urandom(20 << 20)
            expect("large", unary("Unary", q=big), name + b":" + big)
            expect("metadata", unary("Meta", metadata=(("x-a", "1"), ("x-a", "2"), ("x-b-bin", b"\x00\x01"))), b"[('x-a', '1'), ('x-a', '2'), ('x-b-bin', b'\\x00\\x01')]")
            left = int(unary("Deadline", timeout=100))
            expect("deadline", 20000 < left < 101000, True)
            try:
                unary("Sleep", timeout=0.2)
                raise AssertionError("it should time out")
            except grpc.RpcError as e:
                expect("deadline", e.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
            future = channel.unary_unary(f"/{service}/Sleep").future(b"to be cancelled")
            wait_for("it has begun", lambda: unary("WasCancelled", q=b"to be cancelled").startswith(b"1 "))
            future.cancel()
            wait_for("cancelled at the server", lambda: unary("WasCancelled", q=b"to be cancelled") == b"1 1")
            both = channel.stream_stream(f"/{service}/Both")(ping_pong(30), timeout=PATIENCE)
            for k, answer in enumerate(both):
                expect("ping pong", answer, name + b":%d" % k)
                PONG.release()


PONG = threading.Semaphore(1)


def ping_pong(n):
    """The next question comes when the last one was answered."""
    for k in range(n):
        PONG.acquire()
        yield b"%d" % k


@test
def grpc_in_parallel():
    import grpc

    with grpc_servers({"all_of": [{"grpc": {"service": "shop.Cart", "method": "Unary"}}, {"header": "^x-user: alice$"}]}) as d:
        channel = grpc.insecure_channel(f"127.0.0.1:{d.port}")
        call = channel.unary_unary("/shop.Cart/Unary")
        futures = [(n, call.future(b"%d" % n, metadata=(("x-user", "alice" if n % 2 else "bob"),), timeout=PATIENCE)) for n in range(300)]
        expect("answers", [f.result() for n, f in futures], [b"%s:%d" % (b"program" if n % 2 else b"app", n) for n, f in futures])
        d.counters()
        expect("connections, those to the app and to the program", [d.open, *map(connections_to, d.process.args[2:5:2])], [1, 1, 1])


@test
def grpc_without_a_program():
    import grpc

    with grpc_servers({"grpc": {"service": "shop.Cart"}}) as d:
        pass
    with nobody() as dead:
        d = Divert(dead, dead, {"grpc": {"service": "shop.Cart"}})
        try:
            grpc.insecure_channel(f"127.0.0.1:{d.port}").unary_unary("/shop.Cart/Unary")(b"q", timeout=PATIENCE)
            raise AssertionError("it should fail")
        except grpc.RpcError as e:
            expect("status", e.code(), grpc.StatusCode.UNAVAILABLE)
        d.close()


@test
def h2load_and_wrk_lose_nothing():
    with servers() as (d, app, program):
        for user in ([], USER):
            out = run("h2load", "-n", "5000", "-c", "8", "-m", "16", *user, f"http://127.0.0.1:{d.port}/")
            expect("h2load", re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out).groups(), ("5000", "0", "0"))
    with servers("http") as (d, app, program):
        for user in ([], USER):
            out = run("wrk", "-t1", "-c32", "-d1s", "--timeout", "60s", *user, f"http://127.0.0.1:{d.port}/")
            expect("wrk", [line for line in out.splitlines() if "error" in line or "Non-2xx" in line], [])


@test
def h2spec():
    os.makedirs(WORK, exist_ok=True)
    env = dict(os.environ, GOBIN=os.path.abspath(WORK), GOFLAGS="-mod=mod")
    for left in (2, 1, 0):  # its sources come from a proxy, which may be busy
        done = subprocess.run(["go", "install", "github.com/summerwind/h2spec/cmd/h2spec"], cwd=f"{HERE}/h2spec", env=env, capture_output=True, text=True, timeout=600)
        if done.returncode == 0:
            break
        time.sleep(5 * left)
    expect("go install", (done.returncode, done.stderr if done.returncode else ""), (0, ""))
    with servers() as (d, app, program):
        out = run(f"{WORK}/h2spec", "-h", "127.0.0.1", "-p", str(d.port), "--timeout", "30", timeout=900, status=None)
        expect("h2spec", re.search(r"(\d+ tests, .*)", out)[1] + out[out.find("Failures:"):] * ("Failures:" in out), "145 tests, 145 passed, 0 skipped, 0 failed")


if __name__ == "__main__":
    sys.exit(main())
