# SPDX-License-Identifier: MIT
"""Mirroring with an HTTP filter where clients speak HTTP/2: the local program has the streams that match, whole and once each."""

import collections
import contextlib
import json
import os
import signal

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, Failure, Skip, expect, expect_in, test
from labkit.service import Services
from tests.mirror import PORT, curl, give_turns
from tests.mirror_filter import config

POD4, POD6 = plan.HOSTS["pod"]
REAL, COPY, BODY = "/tmp/lab/home/streams-real", "/tmp/lab/home/streams-copy", "/tmp/lab/home/streams-body"

# Logs each request when it is whole, as the servers below do. Arguments: port, log.
NODE = r"""
const [port, log] = process.argv.slice(1), fs = require('fs'), crypto = require('crypto');
require('http2').createServer((q, r) => {
  const sum = crypto.createHash('sha256');
  let length = 0;
  q.on('data', d => { length += d.length; sum.update(d); }).on('end', () => {
    fs.appendFileSync(log, JSON.stringify([q.url, q.method, q.headers['x-user'] || '', q.headers[':authority'], length, sum.digest('hex'), q.trailers]) + '\n');
    r.end('answer');
  });
}).on('sessionError', () => {}).listen(Number(port), '::');
"""
GRPC = r"""
import grpc, json, os, sys
from concurrent import futures
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
def note(call, kind, got):  # a line at once: there are many threads
    os.write(log, (json.dumps([call, kind, got]) + "\n").encode())
def meta(c):
    return [list(m) for m in c.invocation_metadata() if m[0] == "x-user"]
def one(call):
    def run(q, c):
        note(call, "one", [q.decode(), meta(c)])
        if q == b"fail": c.abort(grpc.StatusCode.NOT_FOUND, "nothing")
        return q
    return run
def many(call):
    def run(qs, c):
        got = []
        for q in qs:
            got.append(q.decode())
            yield q
        note(call, "many", [got, meta(c)])
    return run
class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method.endswith("/One"): return grpc.unary_unary_rpc_method_handler(one(call.method))
        return grpc.stream_stream_rpc_method_handler(many(call.method))
server = grpc.server(futures.ThreadPoolExecutor(20)); server.add_generic_rpc_handlers([Handlers()])
server.add_insecure_port("0.0.0.0:" + sys.argv[1]); server.start(); server.wait_for_termination()
"""
GRPC_CLIENT = """
import grpc, sys
with grpc.insecure_channel(sys.argv[1]) as channel:
    for n in range(int(sys.argv[2])):
        for service in ("shop.Cart", "shop.Other"):
            one, many = channel.unary_unary(f"/{service}/One"), channel.stream_stream(f"/{service}/Many")
            assert one(b"%d" % n, timeout=60, metadata=(("x-user", "u%d" % n),)) == b"%d" % n
            sent = [b"%d." % k * 1000 for k in range(n)]
            assert list(many(iter(sent), timeout=60)) == sent
            try:
                one(b"fail", timeout=60)
                sys.exit("it should fail")
            except grpc.RpcError as e:
                assert e.code() == grpc.StatusCode.NOT_FOUND and e.details() == "nothing", e
    future = channel.stream_stream("/shop.Cart/probe")(iter(lambda: __import__("time").sleep(60), None))
    future.cancel()
"""


def lines(path):
    """What is cancelled ("probe") may be seen as an end, or not at all."""
    with open(path) as f:
        return collections.Counter(line for line in f if "probe" not in line)


@contextlib.contextmanager
def both(lab, argv, filter, here=None):
    """The target's server and one under mirrord that mirrors what @filter says, both logging; until the end of the block."""
    for path in (REAL, COPY):
        with open(path, "w"):
            pass
        os.chmod(path, 0o666)
    with Services(lab, "pod") as services:
        services.start([*argv, str(PORT), REAL], PORT, POD4)
        p = lab.start_mirrord([*(here or argv), str(PORT), COPY], options=config(filter))
        try:
            lab.wait_for("mirrored", lambda: f"port {PORT} is mirrored from the target" in lab.log(1000))
            give_turns(lab)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(p.pid, signal.SIGTERM)
            p.communicate(timeout=PROMPT)
            for path in (REAL, COPY):
                os.unlink(path)


def expect_copies(lab, total, is_wanted):
    """The target has had @total requests, the copy those that are wanted."""
    lab.wait_for("all requests in the target's log", lambda: sum(lines(REAL).values()) == total)
    want = collections.Counter({line: n for line, n in lines(REAL).items() if is_wanted(json.loads(line)[0])})
    expect("some are wanted", 0 < sum(want.values()) < total, True)
    try:
        lab.wait_for("all copies", lambda: lines(COPY) == want)
    except Failure:
        have = lines(COPY)
        raise Failure(f"{sum(want.values())} copies", f"{sum(have.values())}; missing {list((want - have).items())[:5]}, too many "
                      f"{list((have - want).items())[:5]}", lab.log()) from None


def side_by_side(lab, url, n, *options, words=("other", "wanted"), node="services"):
    """@n requests for each word, all at once on one connection."""
    urls = [url.format(word, k) for k in range(n) for word in words]
    done = lab.run(["nghttp", "-ns", *options, *urls], getattr(lab.cluster, node).enter_as_root)
    expect("nghttp's status and answers", (done.status, done.out.count(" 200 ")), (0, len(urls)), str(done)[-2000:])


@test("mirror_filter.http2", needs=("node", "nghttp", "h2load"), timeout=600)
def http2(lab):
    """Streams side by side on a few connections, half of which match; large bodies; by both families and by loopback."""
    with both(lab, ["node", "-e", NODE], {"path_filter": "^/wanted"}):
        with open(BODY, "wb") as f:
            f.write(os.urandom(700000))
        os.chmod(BODY, 0o644)
        for n in range(10):
            side_by_side(lab, f"http://{POD4}:{PORT}/{{}}{n}-{{}}", 3)
        side_by_side(lab, f"http://[{POD6}]:{PORT}/{{}}-six{{}}", 60)
        side_by_side(lab, f"http://127.0.0.1:{PORT}/{{}}-lo{{}}", 20, node="pod")
        side_by_side(lab, f"http://{POD4}:{PORT}/{{}}-body{{}}", 5, "-H", "x-user: alice", "-d", BODY)
        done = lab.run(["h2load", "-n", "4000", "-c", "10", "-m", "30", f"http://{POD4}:{PORT}/wanted-many", f"http://{POD4}:{PORT}/other-many"],
                       lab.cluster.services.enter_as_root)
        expect_in("h2load", done.out, "4000 succeeded", str(done))
        expect_copies(lab, 60 + 120 + 40 + 10 + 4000, lambda path: path.startswith("/wanted"))
        os.unlink(BODY)


@test("mirror_filter.http2_bodies", needs=("node", "nghttp"))
def http2_bodies(lab):
    """A filter on bodies: those of streams side by side."""
    with both(lab, ["node", "-e", NODE], {"body_filter": {"body": "json", "query": "$.user", "matches": "^alice$"}}):
        for user in ("alice", "bob"):
            with open(f"{BODY}-{user}", "w") as f:
                json.dump({"more": "x" * 30000, "user": user}, f)
            os.chmod(f.name, 0o644)
            side_by_side(lab, f"http://{POD4}:{PORT}/{{}}{{}}", 30, "-d", f.name, words=(user,))
            os.unlink(f.name)
        expect_copies(lab, 60, lambda path: path.startswith("/alice"))


@test("mirror_filter.grpc")
def grpc(lab):
    """Calls of one service: single ones, streams of both sides, such as fail and such as are cancelled."""
    python = "/usr/bin/python3"
    if lab.run([python, "-c", "import grpc"]).status != 0:
        raise Skip("not installed: python3-grpcio")
    with both(lab, [python, "-c", GRPC], {"grpc": {"service": "shop.Cart"}}):
        done = lab.run([python, "-c", GRPC_CLIENT, f"{POD4}:{PORT}", "20"], lab.cluster.services.enter_as_root)
        expect("the client's status", done.status, 0, str(done))
        expect_copies(lab, 20 * 2 * 3, lambda method: method.startswith("/shop.Cart/"))


# Speaks HTTP/1. Logs what it gets until the connection is over.
OLD = """
import socket, sys
s = socket.create_server(("0.0.0.0", int(sys.argv[1])))
while True:
    c, got = s.accept()[0], b""
    while not got.endswith(b"SM\\r\\n\\r\\n"):
        got += c.recv(1)
    c.sendall(b"HTTP/1.1 505 HTTP Version Not Supported\\r\\nContent-Length: 0\\r\\n\\r\\n")
    try:
        while more := c.recv(1000): got += more
    except ConnectionResetError: pass
    with open(sys.argv[2], "a") as f: print(got[24:].hex(), file=f)
"""


@test("mirror_filter.http2_to_a_program_without", needs=("node", "curl"))
def without(lab):
    """A program that speaks HTTP/1 gets how HTTP/2 begins and no request."""
    with both(lab, ["node", "-e", NODE], {"path_filter": "^/wanted"}, [*PYTHON, "-c", OLD]):
        done = curl(lab, ["--http2-prior-knowledge", f"http://{POD4}:{PORT}/wanted"])
        expect("curl's status", done.status, 0, str(done)[-2000:])
        lab.wait_for("the program was tried", lambda: lines(COPY))
        frames, kinds = bytes.fromhex("".join(lines(COPY)).strip()), []
        while frames:
            kinds.append(frames[3])
            frames = frames[9 + int.from_bytes(frames[:3], "big"):]
        expect("frames", set(kinds), lambda got: got <= {4, 8}, lab.log())  # SETTINGS, WINDOW_UPDATE
