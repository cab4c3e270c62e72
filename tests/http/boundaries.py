#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""boundaries.py DIVIDE -- the same bytes for our parser, Node's (llhttp) and nginx: whatever ours calls a request, the others must see as that
request or refuse. What two of them divide otherwise is what smuggling is made of, and ours must have called it unsafe before."""
import json
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

from kit import PATIENCE, PORTS, main, test, wait_for
from real import listens

TAIL = b"GET /tail HTTP/1.1\r\nHost: t\r\n\r\n"
HEAD = b"Host: a\r\n"


def plain():
    """What every parser takes in the same way: it must not be unsafe."""
    for method in (b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH"):
        for target in (b"/", b"/a?b=c", b"/%20", b"/a//b/../c;d", b"/x" * 400):
            yield method + b" " + target + b" HTTP/1.1\r\n" + HEAD + b"\r\n"
    for length in (0, 1, 5, 100, 5000):
        yield b"POST /l HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % length + b"x" * length
        yield b"POST /l HTTP/1.1\r\n" + HEAD + b"content-length:%d\r\n\r\n" % length + b"y" * length
        for size in (1, 7, 4000):
            parts = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (b"z" * min(size, length - at) for at in range(0, length, size)))
            yield b"POST /c HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    yield b"POST /body-like-a-request HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(TAIL) + TAIL
    for field in (b"X:y", b"X: y", b"X:\ty", b"X: y ", b"X:", b"X-%s: y" % (b"z" * 200), b"Cookie: a=b; c=d", b"X: \xc3\xa9", b"Accept: */*"):
        yield b"GET /f HTTP/1.1\r\n" + HEAD + field + b"\r\n\r\n"
    yield b"\r\nGET /empty-line-first HTTP/1.1\r\n" + HEAD + b"\r\n"
    yield b"POST /trailer HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    yield b"GET http://a/absolute HTTP/1.1\r\n" + HEAD + b"\r\n"
    yield b"GET /keep HTTP/1.1\r\n" + HEAD + b"Connection: keep-alive\r\n\r\n"


def nasty():
    """Facts of published collections (CL.TE, TE.CL, TE.TE, CL.0, chunk tricks), and all their neighbours."""
    chunked, five = b"0\r\n\r\n", b"hello"
    names = (b"Transfer-Encoding", b"transfer-encoding", b"Transfer-Encoding ", b" Transfer-Encoding", b"Transfer_Encoding", b"Transfer-Encoding\t", b"Transfer-Encoding\0",
             b"X\r\nTransfer-Encoding", b"X\nTransfer-Encoding", b"X\rTransfer-Encoding", b"\x00Transfer-Encoding", b"Transfer-Encoding\x0b", b"Transfer\xadEncoding")
    values = (b"chunked", b"Chunked", b" chunked ", b"\tchunked", b"\x0bchunked", b"chunked\x0b", b"xchunked", b"chunkedx", b"\"chunked\"", b"'chunked'", b"chunked, identity",
              b"identity, chunked", b"identity", b"gzip, chunked", b"chunked, chunked", b"chunked;q=1", b",chunked", b"chunked,", b"\r\n chunked", b"\n chunked", b"chu\0nked",
              b"chun\xe7ked", b"cow", b"")
    for name in names:
        yield b"POST /te HTTP/1.1\r\n" + HEAD + name + b": chunked\r\n\r\n" + chunked
        yield b"POST /cl-te HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\n" + name + b": chunked\r\n\r\n" + chunked
        yield b"POST /te-cl HTTP/1.1\r\n" + HEAD + name + b": chunked\r\nContent-Length: 5\r\n\r\n" + chunked
    for value in values:
        yield b"POST /te HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding:" + value + b"\r\n\r\n" + chunked
        yield b"POST /te-te HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding:" + value + b"\r\n\r\n" + chunked
        yield b"POST /te10 HTTP/1.0\r\n" + HEAD + b"Connection: keep-alive\r\nTransfer-Encoding:" + value + b"\r\n\r\n" + chunked
    lengths = (b"5", b"05", b"+5", b"-5", b"5 ", b" 5", b"\t5", b"5\t", b"0x5", b"5.0", b"5,5", b"5, 5", b"5 5", b"5;", b"", b"5a", b"a5", b"1e1", b"\xb25", b"\x0b5", b"5\x00", b"00000000000000005",
               b"18446744073709551621", b"9223372036854775807", b"99999999999999999999999", b"\r\n 5", b"\n 5", b"\"5\"")
    for length in lengths:
        yield b"POST /cl HTTP/1.1\r\n" + HEAD + b"Content-Length:" + length + b"\r\n\r\n" + five
        yield b"GET /cl HTTP/1.1\r\n" + HEAD + b"Content-Length:" + length + b"\r\n\r\n" + five
        yield b"POST /cl-cl HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nContent-Length:" + length + b"\r\n\r\n" + five
        yield b"POST /cl-cl HTTP/1.1\r\n" + HEAD + b"Content-Length:" + length + b"\r\nContent-Length: 6\r\n\r\n" + five
    sizes = (b"5", b"05", b"005", b"+5", b"-5", b" 5", b"5 ", b"5\t", b"0x5", b"0X5", b"5;", b"5;a", b"5;a=b", b"5;a=\"b\"", b"5 ;a", b"5;a\rb", b"5;a\nb", b"5\r", b"", b"g", b"5g", b"5,", b"5.",
             b"fffffffffffffffff5", b"10000000000000005", b"00000000000000000000000000000005", b"5;" + b"x" * 3000, b"5\x00", b"5;\x00", b"\xb5", b"5;a=\"\r\n\"")
    for size in sizes:
        for end in (b"\r\n", b"\n", b"\r", b"\r\r\n"):
            yield b"POST /chunk HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + size + end + five + b"\r\n0\r\n\r\n"
    for after in (b"\n", b"\r", b"", b"\r\r\n", b"x\r\n", b"\n\r\n", b" \r\n"):
        yield b"POST /chunk-end HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello" + after + b"0\r\n\r\n"
    for last in (b"0\n\n", b"0\r\n\n", b"0\n\r\n", b"0\r\r\n\r\n", b"0\r\nX: y\n\r\n", b"0\r\nX: y\r\n z\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"0;x\r\n\r\n", b"00\r\n\r\n", b"0 \r\n\r\n", b"0\r\nContent-Length: 9\r\n\r\n",
                 b"0\r\nX\r\n\r\n", b"0\r\n: y\r\n\r\n", b"-0\r\n\r\n"):
        yield b"POST /last HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + last
    lines = (b"GET  /two HTTP/1.1", b"GET /two  HTTP/1.1", b"GET\t/tab HTTP/1.1", b"GET /tab\tHTTP/1.1", b"GET /sp HTTP/1.1 ", b" GET /sp HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /lf HTTP/1.1\n", b"GET /",
             b"GET / HTTP/0.9", b"GET / HTTP/1.2", b"GET / HTTP/2.0", b"GET / HTTP/1.10", b"GET / HTTP/01.1", b"GET / http/1.1", b"GET / HTTP/1,1", b"get / HTTP/1.1", b"GET /\x00 HTTP/1.1",
             b"GET /\x7f HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET a HTTP/1.1", b"GET * HTTP/1.1", b"G(T / HTTP/1.1", b"GET / ICE/1.1", b"GET /\r HTTP/1.1", b"POST / HTTP/1.1\rX: y")
    for line in lines:
        yield line + b"\r\n" + HEAD + b"\r\n"
        yield line + b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\n" + five
    fields = (b"X : y", b"X\t: y", b" X: y", b"\tX: y", b"X", b": y", b"X: y\n", b"X: y\rZ: w", b"X: y\r\n z", b"X: y\r\n\tz", b"X: \x00", b"X: \x01", b"X: \x7f", b"X(: y", b"X\x80: y", b"X: y\r", b"\r", b"X;: y",
              b"Host: b", b"Expect: 100-continue", b"Connection: close", b"Connection: Content-Length", b"Upgrade: h2c", b"Content-Length : 5", b"Content-Length\x00: 5", b"Content_Length: 5")
    for field in fields:
        yield b"GET /field HTTP/1.1\r\n" + HEAD + field + b"\r\n\r\n"
        yield b"POST /field HTTP/1.1\r\n" + field + b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\n" + five
        yield b"POST /field HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\n" + field + b"\r\n\r\n" + five
    for end in (b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\r\n\r\n", b"\r\n\r"):
        yield b"GET /end HTTP/1.1\r\nHost: a" + end


def client_address(number):
    """Each input comes from an address of its own, by which the servers' records tell them apart: ports come again within one run."""
    return f"127.1.{number >> 8}.{number & 255}"


def ours(corpus):
    """For each input the requests (method, target, bytes of the body on the wire), and whether it ended unsafe."""
    data = b"".join(struct.pack("=I", len(c)) + c for c in corpus)
    out = subprocess.run([sys.argv[1]], input=data, capture_output=True, check=True, timeout=PATIENCE).stdout.decode("latin-1")
    result = []
    for line in out.split("\n")[:-1]:
        unsafe = line.endswith(("unsafe", "too long"))
        requests = []
        for part in line.split("; "):
            found = re.fullmatch(r"(\S+) (\S*)(?: (body|chunked) (\d+))?( last)?( upgrade)?( expects)?", part)
            if found:
                requests.append((found[1], found[2]))
        result.append((requests, unsafe))
    return result


NODE = r"""
const http = require('http'), net = require('net');
const inputs = JSON.parse(require('fs').readFileSync(0));
const out = inputs.map(() => []);
const server = http.createServer((q, r) => { let n = 0; q.on('data', d => n += d.length); q.on('end', () => { of(q.socket).push([q.method, q.url, n]); r.end(); }); });
const number = address => { const part = address.split('.').map(Number); return part[2] * 256 + part[3]; };
server.on('connection', s => { s.input = number(s.remoteAddress); });
const of = s => out[s.input];
server.on('upgrade', (q, s) => { of(s).push([q.method, q.url, 0]); s.destroy(); });
server.on('connect', (q, s) => { of(s).push([q.method, q.url, 0]); s.destroy(); });
server.on('clientError', (e, s) => { s.destroy(); });
server.headersTimeout = 0; server.requestTimeout = 0;
server.listen(0, '127.0.0.1', async () => {
  for (let i = 0; i < inputs.length; i++) await new Promise(done => {
    const s = net.connect({port: server.address().port, host: '127.0.0.1', localAddress: inputs[i].from});
    s.on('connect', () => { s.end(Buffer.from(inputs[i].bytes, 'base64')); });
    s.on('error', () => {}); s.on('data', () => {}); s.on('close', done);
  });
  console.log(JSON.stringify(out)); process.exit(0);
});
"""


def node(corpus):
    import base64
    inputs = json.dumps([{"from": client_address(i), "bytes": base64.b64encode(c).decode()} for i, c in enumerate(corpus)])
    done = subprocess.run(["node", "-e", NODE], input=inputs, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return [[(m, u) for m, u, _ in requests] for requests in json.loads(done.stdout)]


CONF = """
daemon off; master_process off; worker_processes 1; pid {d}/pid; error_log {d}/error crit;
events {{ worker_connections 64; }}
http {{
  log_format f escape=json '{{"from": "$remote_addr", "status": $status, "request": "$request"}}';
  access_log {d}/access f;
  client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
  underscores_in_headers off; keepalive_requests 1000; client_body_buffer_size 64k; merge_slashes off;
  upstream sink {{ server 127.0.0.1:{sink}; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://sink; proxy_ignore_client_abort on; }} }}
}}
"""


def nginx(corpus):
    """A request that it refuses (status 400 and such) counts as none; the others' bodies it has read whole before it asks the sink."""
    from kit import Server, reply

    def sink(c, number):
        c.message()
        c.send(reply("", fields="Connection: close\r\n"))

    server = Server(sink)
    port = next(PORTS)
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o777)
        with open(f"{d}/conf", "w") as f:
            f.write(CONF.format(d=d, sink=server.port, port=port))
        process = subprocess.Popen(["nginx", "-c", f"{d}/conf"], stderr=subprocess.DEVNULL)
        try:
            wait_for("nginx listens", lambda: listens(port))
            for number, c in enumerate(corpus):
                with socket.create_connection(("127.0.0.1", port), PATIENCE, (client_address(number), 0)) as s:
                    s.sendall(c)
                    try:
                        s.shutdown(socket.SHUT_WR)
                        while s.recv(65536):
                            pass
                    except OSError:
                        pass
        finally:
            process.terminate()
            process.wait()
        with open(f"{d}/access", errors="replace") as f:
            lines = [json.loads(line) for line in f]
    server.close()
    by_client = {}
    for line in lines:
        words = line["request"].split()
        if line["status"] == 200 and len(words) >= 2:
            by_client.setdefault(line["from"], []).append((words[0], words[1]))
    return [by_client.get(client_address(number), []) for number in range(len(corpus))]


def target_of(request):
    """Ours shows the path of an absolute target; the others as it came, or without the host."""
    method, target = request
    return method, re.sub(r"[^!-~]", "?", re.sub(r"^http://[^/?]+", "", target) or "/")


CORPUS = [(c + TAIL, True) for c in plain()] + [(c + TAIL, False) for c in nasty()]


def compare(name, theirs, known=()):
    mine = ours([c for c, _ in CORPUS])
    wrong, refused = [], 0
    for (data, is_plain), (requests, unsafe), others in zip(CORPUS, mine, theirs):
        requests = [target_of(r) for r in requests]
        others = [target_of(r) for r in others]
        n = min(len(requests), len(others))
        if is_plain and (unsafe or requests != others):
            wrong.append(("plain", data, requests, others))
        elif requests[:n] != others[:n] or (len(others) > len(requests) and not unsafe):
            wrong.append(("other", data, requests, others))
        refused += len(others) < len(requests)
    print(f"# {len(CORPUS)} inputs, {name} refuses {refused} that we divide")
    if wrong:
        raise AssertionError(f"{len(wrong)} of {len(CORPUS)}: " + "\n".join(map(repr, wrong[:8])))


@test
def enough_of_them():
    if len(CORPUS) < 300:
        raise AssertionError(f"{len(CORPUS)} requests")


@test
def as_node_divides():
    compare("node", node([c for c, _ in CORPUS]))


@test
def as_nginx_divides():
    compare("nginx", nginx([c for c, _ in CORPUS]))


if __name__ == "__main__":
    sys.exit(main())
