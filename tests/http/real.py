# SPDX-License-Identifier: MIT
"""Real clients and servers."""
import contextlib
import socket
import subprocess

from kit import ALICE, Divert, PATIENCE, PORTS, wait_for

USER = ["-H", "x-user: alice"]


def run(*argv, timeout=400, status=0, text=None):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=text)
    if status is not None and done.returncode != status:
        raise AssertionError(f"{argv}: status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


class Node:
    """An HTTP server of Node's that answers with JSON: its name, and the request as it saw it. /stream/N sends N chunks, /slow/N waits N ms and says so, /trailers
    has trailers, /hints sends 103 first, /reset resets. `http` speaks HTTP/1, `websocket` WebSocket too, `http2` HTTP/2."""

    SCRIPT = r"""
const [kind, name, port] = process.argv.slice(1), http2 = kind === 'http2';
const lib = require(http2 ? 'http2' : 'http');
const server = http2 ? lib.createServer({settings: {enableConnectProtocol: true}}) : lib.createServer();
server.on('request', (q, r) => {
  const chunks = [];
  if (q.url.startsWith('/early')) { r.writeHead(413); r.end('early'); return; }
  if (q.url.startsWith('/reset')) { http2 ? q.stream.close(lib.constants.NGHTTP2_ENHANCE_YOUR_CALM) : q.socket.resetAndDestroy(); return; }
  if (q.url.startsWith('/hints') && http2) q.stream.additionalHeaders({':status': 103, link: '</s>'});
  if (q.url.startsWith('/echo')) { r.writeHead(200); q.pipe(r); return; }
  q.on('data', d => chunks.push(d));
  q.on('end', () => {
    const body = Buffer.concat(chunks), n = Number(q.url.split('/')[2] || 0);
    const text = JSON.stringify({name, method: q.method, url: q.url, fields: q.rawHeaders, trailers: q.trailers, length: body.length,
                                 sum: require('crypto').createHash('sha256').update(body).digest('hex')});
    if (q.url.startsWith('/stream')) { let k = 0; const step = () => k++ < n ? (r.write('x'.repeat(65536)) ? setImmediate(step) : r.once('drain', step)) : r.end(); step(); return; }
    if (q.url.startsWith('/slow')) { console.log('slow'); setTimeout(() => r.end(text), n); return; }
    if (q.url.startsWith('/trailers')) { r.setHeader('trailer', 'x-sum'); r.write(text); r.addTrailers({'x-sum': '7'}); r.end(); return; }
    r.end(text);
  });
});
if (http2) server.on('connect', (q, r) => { q.stream.respond({':status': 200}); q.stream.pipe(q.stream); });
if (kind === 'websocket') server.on('upgrade', (q, s, head) => { s.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Server: ' + name + '\r\n'
  + 'Sec-WebSocket-Accept: ' + require('crypto').createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64') + '\r\n\r\n');
  s.on('error', () => {}); s.pipe(s); });
server.on('clientError', (e, s) => s.destroy());
server.keepAliveTimeout = 60000;
server.listen(Number(port), '127.0.0.1', () => console.log('ready ' + server.address().port));
"""

    def __init__(self, kind, name):
        self.process = subprocess.Popen(["node", "-e", self.SCRIPT, kind, name, "0"], stdout=subprocess.PIPE, text=True)
        self.address = "127.0.0.1:" + self.process.stdout.readline().split()[1]

    def close(self):
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def servers(kind="http2", filter=ALICE):
    app, program = Node(kind, "app"), Node(kind, "program")
    d = Divert(app, program, filter)
    try:
        yield d, app, program
    finally:
        d.close()
        app.close()
        program.close()


def curl(d, path="/", *options, version="--http2-prior-knowledge"):
    return run("curl", "-sS", "-m", str(PATIENCE), version, *options, f"http://127.0.0.1:{d.port}{path}")


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def upgrading(name):
    """A server that HTTP/1.1 clients may upgrade to HTTP/2: nghttpx before Node. Its address."""
    behind = Node("http", name)
    port = next(PORTS)
    proxy = subprocess.Popen(["nghttpx", f"--frontend=127.0.0.1,{port};no-tls", f"--backend=127.0.0.1,{behind.address.split(':')[1]}", "--workers=1",
                              "--conf=/dev/null", "--accesslog-file=/dev/null", "--errorlog-file=/dev/null"], stderr=subprocess.DEVNULL)
    try:
        wait_for("nghttpx listens", lambda: listens(port))
        yield f"127.0.0.1:{port}"
    finally:
        proxy.terminate()
        proxy.wait()
        behind.close()
