#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""gateway.py DIVERT -- a client that speaks HTTP/2, and a local program that speaks HTTP/1 alone: what each of them sees."""
import base64
import contextlib
import http.server
import json
import re
import socket
import sys
import threading

from kit import Divert, PATIENCE, Server, expect, main, one_at_a_time, reply, test
from real import Node, USER, curl, run

# How servers of HTTP/1 take the preface of HTTP/2.
REFUSALS = {"answers 400": lambda c: c.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            "answers 505 in pieces": lambda c: [c.send(bytes([b])) for b in b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n"],
            "ends": lambda c: c.end(), "resets": lambda c: c.reset()}


def old(handler, refuse=REFUSALS["answers 400"]):
    """A server of HTTP/1; handler(connection, the request's bytes) for each request, until it returns False."""
    def serve(c, number):
        while True:
            request = c.message()
            if request.startswith(b"PRI * HTTP/2.0"):
                refuse(c)
                return
            if handler(c, request) is False:
                return
    return Server(serve)


@contextlib.contextmanager
def between(program):
    """A server of HTTP/2, and @program's."""
    app = Node("http2", "app")
    d = Divert(app, program)
    try:
        yield d, program
        expect("failures of the program", program.failures, [])
    finally:
        d.close()
        app.close()
        program.close()


def scene(handler, **more):
    return between(old(handler, **more))


def saying(c, request):
    c.send(reply(json.dumps(request.decode("latin-1"))))


def seen(text):
    """Request line, fields in small letters, body."""
    head, body = text.split("\r\n\r\n", 1)
    line, *fields = head.split("\r\n")
    return line, [tuple(f.split(": ", 1)) for f in fields], body


# Requests of Node's on one connection: [headers, body pieces or null, trailers or null]. Prints what came of each.
CLIENT = r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), wanted = JSON.parse(process.argv[2]), out = [];
c.on('error', e => { console.log(JSON.stringify([String(e)])); process.exit(0); });
const next = k => {
  if (k === wanted.length) { console.log(JSON.stringify(out)); c.close(); return; }
  const [headers, pieces, trailers] = wanted[k], got = {fields: {}, interim: [], trailers: {}, body: '', error: null};
  const s = c.request({'x-user': 'alice', ...headers}, {endStream: pieces === null, waitForTrailers: !!trailers});
  s.on('wantTrailers', () => s.sendTrailers(trailers));
  s.on('response', h => got.fields = h).on('headers', h => got.interim.push(h)).on('trailers', h => got.trailers = h);
  s.setEncoding('latin1'); s.on('data', d => got.body += d);
  s.on('error', e => got.error = e.code || String(e)).on('close', () => { out.push(got); next(k + 1); });
  if (pieces !== null) { for (const p of pieces) s.write(p); s.end(); }
};
next(0);
"""


def ask(d, *requests):
    return json.loads(run("node", "-e", CLIENT, str(d.port), json.dumps(requests)))


@test
def every_way_to_refuse():
    for what, refuse in REFUSALS.items():
        with scene(saying, refuse=refuse) as (d, program):
            line, fields, _ = seen(json.loads(curl(d, "/a?b", *USER)))
            expect(f"{what}: the request", line, "GET /a?b HTTP/1.1")
            expect(f"{what}: the app goes on", json.loads(curl(d))["name"], "app")


@test
def a_real_server():
    """Python's http.server, which has HTTP/1.0 and a connection for each request."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"python " + body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    app = Node("http2", "app")
    d = Divert(app, f"127.0.0.1:{server.server_address[1]}")
    try:
        for _ in range(3):
            expect("its answer", curl(d, "/", *USER, "-d", "hello"), "python hello")
    finally:
        d.close()
        app.close()
        server.shutdown()


@test
def a_server_of_one_connection_at_a_time():
    """A connection that one client's requests had isn't kept from another client's for good."""
    script = r"""
const h = require('http2'), all = [0, 1].map(() => h.connect('http://127.0.0.1:' + process.argv[1])), said = [];
const next = k => { if (k === 2) { console.log(said.join(' ')); all.forEach(c => c.close()); return; }
  all[k].request({'x-user': 'alice'}).setEncoding('latin1').on('data', d => said.push(d)).on('end', () => next(k + 1)); };
next(0);
"""
    with one_at_a_time() as program:
        app = Node("http2", "app")
        d = Divert(app, program)
        expect("answers", run("node", "-e", script, str(d.port)), "mine mine\n")
        d.wait_closed()
        d.close()
        app.close()


@test
def requests_are_put_into_http1():
    requests = [
        [{":method": "GET", ":path": "/x?y=%20", "cookie": ["a=1", "b=2", "c=3"], "te": "trailers", "x-own": "v"}, None, None],
        [{":method": "POST", ":path": "/length", "content-length": "10"}, ["01234", "56789"], None],
        [{":method": "POST", ":path": "/chunks"}, ["01234", "56789"], None],
        [{":method": "POST", ":path": "/trailer"}, ["body"], {"x-sum": "7"}],
        [{":method": "POST", ":path": "/nothing"}, None, None],
        [{":method": "DELETE", ":path": "/nothing"}, None, None],
        [{":method": "OPTIONS", ":path": "*"}, None, None],
    ]
    with scene(saying) as (d, program):
        got = [seen(json.loads(a["body"])) for a in ask(d, *requests)]
        expect("request lines", [g[0] for g in got], ["GET /x?y=%20 HTTP/1.1", "POST /length HTTP/1.1", "POST /chunks HTTP/1.1", "POST /trailer HTTP/1.1",
                                                      "POST /nothing HTTP/1.1", "DELETE /nothing HTTP/1.1", "OPTIONS * HTTP/1.1"])
        host, user = ("host", f"127.0.0.1:{d.port}"), ("x-user", "alice")
        expect("fields, one cookie", sorted(got[0][1]), sorted([host, user, ("x-own", "v"), ("cookie", "a=1; b=2; c=3")]))
        expect("a length", (sorted(got[1][1]), got[1][2]), (sorted([host, user, ("content-length", "10")]), "0123456789"))
        expect("no length", sorted(got[2][1]), sorted([host, user, ("transfer-encoding", "chunked")]))
        expect("chunks", got[2][2].replace("\r\n", "|") in ("5|01234|5|56789|0||", "a|0123456789|0||"), True)
        expect("a trailer", got[3][2], "4\r\nbody\r\n0\r\nx-sum: 7\r\n\r\n")
        expect("a POST without a body", sorted(got[4][1]), sorted([host, user, ("content-length", "0")]))
        expect("a DELETE without one", sorted(got[5][1]), sorted([host, user]))
        expect("connections", program.connections, 2)


@test
def answers_are_put_into_http2():
    answers = {
        "/length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Own: V\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\r\nhello",
        "/chunks": b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 7\r\n\r\n",
        "/interim": b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
        "/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: x\r\n\r\n",
        "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        "/close": b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        "/cookies": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    }

    def handler(c, request):
        path = request.split()[1].decode()
        for b in answers[path]:  # bytewise: whatever comes together
            c.send(bytes([b]))
        return path != "/close"

    with scene(handler) as (d, program):
        got = dict(zip(answers, ask(d, *[[{":path": p, ":method": "HEAD" if p == "/head" else "GET"}, None, None] for p in answers])))
        expect("errors", [g["error"] for g in got.values()], [None] * len(got))
        expect("statuses", [g["fields"][":status"] for g in got.values()], [200, 201, 200, 204, 304, 200, 200, 200])
        fields = {p: {k: v for k, v in g["fields"].items() if k not in (":status", "date")} for p, g in got.items()}
        expect("what is of the connection stays there", (fields["/length"], got["/length"]["body"]), ({"content-length": "5", "x-own": "V"}, "hello"))
        expect("chunks and trailer", (fields["/chunks"], got["/chunks"]["body"], got["/chunks"]["trailers"].get("x-sum")), ({}, "hello", "7"))
        expect("an interim answer", [i.get("link") for i in got["/interim"]["interim"]], ["</s>"])
        expect("304", fields["/304"], {"content-length": "500", "etag": "x"})
        expect("HEAD", (fields["/head"], got["/head"]["body"]), ({"content-length": "500"}, ""))
        expect("until the end", got["/close"]["body"], "until the end")
        expect("cookies", fields["/cookies"]["set-cookie"], ["a=1", "b=2"])


@test
def answers_that_are_none():
    """Nothing is asked twice, and a cut answer isn't a whole one."""
    answers = {"/ends": b"", "/half": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "/chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
               "/noise": b"what is this?\r\n\r\n", "/both": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "/chunked-noise":
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "/101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n"}

    def handler(c, request):
        c.send(answers[request.split()[1].decode()])
        return False

    with scene(handler) as (d, program):
        got = dict(zip(answers, ask(d, *[[{":path": p}, None, None] for p in answers])))
        for path in ("/ends", "/noise", "/both", "/101"):
            expect(path, (got[path]["fields"].get(":status"), got[path]["fields"].get("mirrord-error", "")[:17], got[path]["error"]), (502, "the local program", None))
        for path in ("/half", "/chunk", "/chunked-noise"):
            expect(path, (got[path]["fields"].get(":status") in (200, None), got[path]["error"]), (True, "ERR_HTTP2_STREAM_ERROR"))
        expect("each was asked once", sorted(r.split()[1].decode() for r in program.received if b"PRI" not in r), sorted(answers))


# A POST whose second half is sent when its answer has begun, or, with "answered", never; then a GET.
EARLY = r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), out = [];
const ask = (headers, then) => { const s = c.request({'x-user': 'alice', ...headers}, {endStream: headers[':method'] === 'GET'}); let t = '';
  s.setEncoding('latin1').on('data', d => t += d).on('end', () => { out.push(t); then(s); }).on('error', e => out.push(e.code)); return s; };
const get = () => ask({':method': 'GET', ':path': '/next'}, () => { console.log(JSON.stringify(out)); c.destroy(); });
const s = ask({':method': 'POST', ':path': '/early'}, get);
s.write('one ');
if (process.argv[2] !== 'answered') s.on('response', () => s.end('two'));
"""


def early_scene(post):
    """A server that gets the head of a POST, and then the connection, for post(connection, head)."""
    def serve(c, number):
        while not (head := c.until(b"\r\n\r\n")).startswith(b"PRI"):
            if head.startswith(b"POST"):
                post(c, head)
            else:
                c.send(reply("next"))
        REFUSALS["answers 400"](c)

    return between(Server(serve))


@test
def an_answer_that_begins_before_the_request_ends():
    def post(c, head):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = c.body(head)
        c.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    with early_scene(post) as (d, program):
        expect("the body, and what comes next", json.loads(run("node", "-e", EARLY, str(d.port))), ["4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n", "next"])
        expect("connections", program.connections, 2)


@test
def an_answer_that_ends_before_the_request():
    """What the program has of that one isn't whole, so its connection is no good for another one."""
    def post(c, head):
        c.until(b"one \r\n")
        c.send(reply("enough"))

    with early_scene(post) as (d, program):
        expect("answers", json.loads(run("node", "-e", EARLY, str(d.port), "answered")), ["enough", "next"])
        expect("connections", program.connections, 3)


@test
def connections_are_kept_and_not_too_many():
    busy, most, lock = [0], [0], threading.Lock()
    gate = threading.Event()

    def handler(c, request):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            if most[0] == 32:
                gate.set()
        if b"/parallel" in request:
            gate.wait(PATIENCE)
        with lock:
            busy[0] -= 1
        c.send(reply("x"))

    with scene(handler) as (d, program):
        ask(d, *[[{":path": "/one-by-one"}, None, None]] * 10)
        expect("connections for ten requests", program.connections, 2)
        out = run("nghttp", "-n", "-s", "-m", "100", "-H", "x-user: alice", f"http://127.0.0.1:{d.port}/parallel")
        expect("answers", len(re.findall(r" 200 ", out)), 100)
        expect("at a time", most[0], 32)


@test
def large_bodies_and_slow_readers():
    down, up = 20 << 20, 4 << 20  # what comes up is kept by the test's server, byte by byte

    def handler(c, request):
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (down if b"GET" in request[:3] else 8))
        if request.startswith(b"GET"):
            for _ in range(down >> 16):
                c.send(b"x" * 65536)
        else:
            c.send(b"%08d" % len(request.split(b"\r\n\r\n", 1)[1]))

    with scene(handler) as (d, program):
        words = ("curl", "-sS", "-m", str(5 * PATIENCE), "--http2-prior-knowledge", *USER, f"http://127.0.0.1:{d.port}/")
        expect("down", len(run(*words)), down)
        expect("up", run(*words, "--data-binary", "@-", text="y" * up), "%08d" % up)


@test
def what_the_client_gives_up_ends_at_the_program():
    gone = threading.Event()

    def handler(c, request):
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        try:
            c.fill()
        except (OSError, EOFError):
            gone.set()
        return False

    with scene(handler) as (d, program):
        run("node", "-e", """
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), s = c.request({'x-user': 'alice'});
s.on('data', () => { s.close(8); setTimeout(() => c.close(), 300); }).on('error', () => {});
""", str(d.port))
        expect("it hears of it", gone.wait(PATIENCE), True)


WEBSOCKET = r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), fields = {'x-user': 'alice', 'sec-websocket-version': '13', origin: 'http://a'};
let asked = false, got = '', out = {};
c.on('remoteSettings', settings => {
  if (asked || !settings.enableConnectProtocol) return;
  asked = true;
  const s = c.request({':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws?x', ...fields});
  s.setEncoding('latin1').on('response', h => { out.fields = h; if (h[':status'] === 200) s.write('x'.repeat(+process.argv[2])); else s.end(); });
  s.on('data', d => { got += d; if (got.length === +process.argv[2]) s.end(); });
  s.on('close', () => { out.length = got.length; out.body = got.slice(0, 50); console.log(JSON.stringify(out)); c.close(); });
});
"""


@test
def a_websocket():
    """CONNECT with :protocol is an upgrade here; then bytes, and the client's end."""
    size, ended = 1 << 20, threading.Event()

    def handler(c, request):
        line, fields, body = seen(request.decode("latin-1"))
        expect("the request", (line, dict(fields)["host"][:10], body), ("GET /ws?x HTTP/1.1", "127.0.0.1:", ""))
        expect("its fields", [(k, v) for k, v in fields if k not in ("host", "sec-websocket-key")],
               [("x-user", "alice"), ("sec-websocket-version", "13"), ("origin", "http://a"), ("connection", "Upgrade"), ("upgrade", "websocket")])
        expect("its key", len(base64.b64decode(dict(fields)["sec-websocket-key"], validate=True)), 16)
        c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\nX-Server: old\r\n\r\n")
        c.send(c.exactly(size))
        expect("behind the client's end", c.rest(), b"")
        ended.set()
        return False

    with scene(handler) as (d, program):
        out = json.loads(run("node", "-e", WEBSOCKET, str(d.port), str(size)))
        expect("the answer", [out["fields"].get(k) for k in (":status", "x-server", "connection", "upgrade", "sec-websocket-accept")], [200, "old", None, None, None])
        expect("an echo", (out["length"], ended.wait(PATIENCE)), (size, True))


@test
def a_websocket_that_is_refused():
    with scene(lambda c, request: c.send(reply("not for you", "403 Forbidden"))) as (d, program):
        out = json.loads(run("node", "-e", WEBSOCKET, str(d.port), "1"))
        expect("the answer", (out["fields"][":status"], out["body"]), (403, "not for you"))


@test
def many_websockets():
    """More than connections for requests; those go on beside them."""
    app, program = Node("http2", "app"), Node("websocket", "program")
    d = Divert(app, program)
    try:
        out = run("node", "-e", r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]), open = [];
c.on('remoteSettings', settings => {
  if (open.length || !settings.enableConnectProtocol) return;
  for (let n = 0; n < 60; n++) {
    const s = c.request({':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws', 'x-user': 'alice'});
    open.push(new Promise(ok => s.on('response', h => s.write('' + n)).on('data', d => ok(d.toString() === '' + n && s))));
  }
  Promise.all(open).then(all => {
    const r = c.request({':path': '/beside', 'x-user': 'alice'});
    let t = '';
    r.on('data', d => t += d).on('end', () => { console.log(all.filter(s => s).length, JSON.parse(t).name); all.forEach(s => s.close()); c.close(); });
  });
});
""", str(d.port))
        expect("echoes, and a request beside them", out.split(), ["60", "program"])
    finally:
        d.close()
        app.close()
        program.close()


@test
def grpc_is_told():
    """Calls need HTTP/2: UNAVAILABLE, with the reason."""
    with scene(saying) as (d, program):
        got = ask(d, [{":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc", "te": "trailers"}, ["\0\0\0\0\0"], None])[0]
        expect("status and message", (got["fields"].get("grpc-status"), got["fields"].get("grpc-message")), ("14", "the local program doesn't speak HTTP/2"))
        expect("nothing was asked", [r[:3] for r in program.received], [b"PRI"])


@test
def a_program_that_goes_meanwhile():
    def one(c, number):
        c.message()
        program.socket.shutdown(socket.SHUT_RDWR)  # the port is nobody's now
        program.socket.close()

    program = Server(one)
    app = Node("http2", "app")
    d = Divert(app, program)
    try:
        out = curl(d, "/", "-i", *USER)
        expect("status", out.split()[1], "502")
        expect("why", "mirrord-error: the local program can't be connected to" in out, True)
    finally:
        d.close()
        app.close()


if __name__ == "__main__":
    sys.exit(main())
