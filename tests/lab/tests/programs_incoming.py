# SPDX-License-Identifier: MIT
"""Real servers as local programs that answer in the target's place, and real clients elsewhere in the cluster."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time

from labkit.incoming import Real
from labkit.lab import PYTHON
from labkit.registry import PROMPT, Failure, Skip, expect, expect_in, test
from labkit.service import find

HOME = "/tmp/lab/home/server"
CLIENT = "10.0.20.5"
PORT = 21000


def prepare(**files):
    shutil.rmtree(HOME, ignore_errors=True)
    os.makedirs(HOME)
    os.chmod(HOME, 0o777)
    for name, text in files.items():
        write(name.replace("__", "."), text)


def write(name, text):
    """Whole at once: a server that loads the file meanwhile sees the old text or the new one."""
    with open(f"{HOME}/{name}.new", "w") as f:
        f.write(text)
    os.chmod(f"{HOME}/{name}.new", 0o644)
    os.rename(f"{HOME}/{name}.new", f"{HOME}/{name}")


@contextlib.contextmanager
def local(lab, argv, port=PORT, options=("--steal",), protocol="", **more):
    """The server under mirrord, once the port is taken; ended by SIGTERM. Yields the process."""
    p = lab.start_mirrord(argv, options=options, stderr=subprocess.STDOUT, cwd=HOME, **more)
    try:
        try:
            lab.wait_for(f"port {port} is taken", lambda: f"{protocol}port {port} is stolen" in lab.log(1000) or p.poll() is not None)
        except Failure as f:
            p.kill()
            raise Failure(f.expected, f.seen, p.stdout.read()[-2000:] + lab.log()) from None
        if p.poll() is not None:
            raise Failure("a server that runs", p.stdout.read()[-2000:], lab.log())
        yield p
    finally:
        end(p)


def end(p):
    if p.poll() is None:
        os.killpg(p.pid, signal.SIGTERM)
        try:
            p.communicate(timeout=PROMPT)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate(timeout=PROMPT)


def there(lab, argv, text="", node="services"):
    """A client's output, elsewhere in the cluster."""
    return lab.cluster.nodes[node].run(argv, text)


def curl(lab, *words, port=PORT, path="/", ip="10.244.1.7"):
    return there(lab, ["curl", "-sS", "--max-time", "60", *words, f"http://{ip}:{port}{path}"])


def again(lab, condition, what, seconds=PROMPT):
    lab.wait_for(what, condition, seconds)


@test("steal.nginx", needs=("nginx", "curl", "wrk"))
def nginx(lab):
    """Workers inherit the listener; a reload starts new ones; a body of 3 MB up and down; many connections."""
    prepare(conf=f"""worker_processes 2; pid {HOME}/pid; error_log stderr; daemon off; {"user root;" if lab.mode == "root" else ""}
events {{ worker_connections 512; }}
http {{ access_log {HOME}/access; client_body_temp_path {HOME}/b; proxy_temp_path {HOME}/p; fastcgi_temp_path {HOME}/f; uwsgi_temp_path {HOME}/u;
scgi_temp_path {HOME}/s; root {HOME};
server {{ listen {PORT}; listen [::]:{PORT}; location = /who {{ return 200 "$remote_addr $server_addr:$server_port\\n"; }} }} }}""")
    data = os.urandom(3_000_000)
    large = hashlib.sha256(data).hexdigest()
    with open(f"{HOME}/large", "wb") as f:
        f.write(data)
    with Real(lab), local(lab, ["nginx", "-c", f"{HOME}/conf", "-p", HOME, "-e", "stderr"]):
        expect("who came", curl(lab, path="/who"), f"{CLIENT} 10.244.1.7:{PORT}\n", lab.log())
        expect("who came by IPv6", curl(lab, "--interface", "fd00:20::5", path="/who", ip="[fd00:244:1::7]"), f"fd00:20::5 fd00:244:1::7:{PORT}\n", lab.log())
        got = there(lab, ["sh", "-c", f"curl -sS http://10.244.1.7:{PORT}/large | sha256sum"]).split()[0]
        expect("a large file", got, large)
        out = there(lab, ["wrk", "-t2", "-c64", "-d2", "--timeout", "60s", f"http://10.244.1.7:{PORT}/who"])
        expect("errors of wrk", re.findall(r"Socket errors.*|Non-2xx.*", out), [], out + lab.log())
        master = pid_in_file()
        workers = children(master)
        expect("workers", len(workers), 2)
        os.kill(master, signal.SIGHUP)
        for _ in range(20):
            expect("during a reload", curl(lab, path="/who"), f"{CLIENT} 10.244.1.7:{PORT}\n", lab.log())
            time.sleep(0.05)
        wait_for_end(lab, master, workers)
        expect("from new workers", curl(lab, path="/who"), f"{CLIENT} 10.244.1.7:{PORT}\n", lab.log())
    with Real(lab):
        expect("the target's own, afterwards", there(lab, [*PYTHON, "-c", "import socket; s = socket.create_connection(('10.244.1.7', 21000), 20); "
                                                           "s.sendall(b'x'); print(s.recv(9))"]), "b'real:x'\n", lab.log())


NODE = """
const http = require('http'), crypto = require('crypto');
const s = http.createServer((q, r) => {
  if (q.url == '/echo') { q.pipe(r); return; }
  r.end(q.socket.remoteAddress + ' ' + q.socket.localAddress + ' ' + q.headers.host + '\\n');
});
s.on('upgrade', (q, sock) => {
  const key = crypto.createHash('sha1').update(q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  sock.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + key + '\\r\\n\\r\\n');
  sock.on('data', d => { const n = d[1] & 127, m = d.subarray(2, 6), t = Buffer.from(d.subarray(6, 6 + n).map((b, i) => b ^ m[i % 4]));
    sock.write(Buffer.concat([Buffer.from([0x81, t.length]), t])); });
});
s.listen(21000);
"""
WEBSOCKET = """
import os, socket
s = socket.create_connection(("10.244.1.7", 21000), 20)
s.sendall(b"GET /ws HTTP/1.1\\r\\nHost: shop\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
head = b""
while not head.endswith(b"\\r\\n\\r\\n"): head += s.recv(1)
print(b"101" in head and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head)
for i in range(20):
    text, mask = b"message %d" % i, os.urandom(4)
    s.sendall(bytes([0x81, 0x80 | len(text)]) + mask + bytes(b ^ mask[j % 4] for j, b in enumerate(text)))
    got = s.recv(100)
    assert got == bytes([0x81, len(text)]) + text, got
print("echoed")
"""


@test("steal.node", needs=("node", "curl"))
def node(lab):
    """http on one socket of both families, and a WebSocket."""
    prepare(server__js=NODE)
    with local(lab, ["node", f"{HOME}/server.js"]):
        expect("who came", curl(lab), f"::ffff:{CLIENT} ::ffff:10.244.1.7 10.244.1.7:{PORT}\n", lab.log())
        out = there(lab, ["sh", "-c", f"head -c 5000000 /dev/zero | curl -sS -T - http://10.244.1.7:{PORT}/echo | md5sum"])
        expect("5 MB there and back", out.split()[0], hashlib.md5(bytes(5_000_000)).hexdigest())
        expect("a WebSocket", there(lab, [*PYTHON, "-c", WEBSOCKET]), "True\nechoed\n", lab.log())


@test("steal.python_http_server", needs=("curl",))
def http_server(lab):
    prepare(page="a page\n")
    with local(lab, ["/usr/bin/python3", "-u", "-m", "http.server", str(PORT), "-d", HOME]):
        expect("a page", curl(lab, path="/page"), "a page\n", lab.log())


APP = """
async def app(scope, receive, send):
    if scope["type"] != "http": return
    body = ("VERSION %s\\n" % scope["client"][0]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
def wsgi(environ, start):
    body = ("VERSION %s\\n" % environ["REMOTE_ADDR"]).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def app_environment(lab):
    """Without __pycache__: its entries are valid for every text of the same size and the same second."""
    return lab.environment(PYTHONDONTWRITEBYTECODE="1")


def has_module(lab, name):
    if lab.run(["/usr/bin/python3", "-c", f"import {name}"]).status != 0:
        raise Skip(f"not installed: python3-{name}")


@test("steal.uvicorn_reload", needs=("curl",))
def uvicorn(lab):
    """The watcher listens and hands the socket to its child, which it replaces when a file changes."""
    has_module(lab, "uvicorn")
    prepare(app__py=APP.replace("VERSION", "one"))
    with local(lab, ["/usr/bin/python3", "-m", "uvicorn", "app:app", "--reload", "--host", "0.0.0.0", "--port", str(PORT), "--log-level", "warning"],
               env=app_environment(lab)):
        again(lab, lambda: curl_or_not(lab) == f"one {CLIENT}\n", "the first version")
        again(lab, lambda: second_after_save(lab), "the second version", 30)


def second_after_save(lab):
    """Saves the second version as long as the first one answers: the watcher doesn't notice what changed before its first look."""
    answer = curl_or_not(lab)
    if answer == f"one {CLIENT}\n":
        write("app.py", APP.replace("VERSION", "two"))
    return answer == f"two {CLIENT}\n"


def curl_or_not(lab):
    try:
        return curl(lab, "--max-time", "2")
    except RuntimeError:
        return None


@test("steal.gunicorn", needs=("gunicorn", "curl"))
def gunicorn(lab):
    """Workers that are forked from who listens; a reload; the death of a worker."""
    prepare(app__py=APP.replace("VERSION", "one"))
    # Gunicorn loses a SIGTERM that comes right after a fork, and then waits as long as --graceful-timeout says.
    with local(lab, ["gunicorn", "-w", "3", "-b", f"0.0.0.0:{PORT}", "app:wsgi", "--log-level", "error", "--graceful-timeout", "1", "-p", f"{HOME}/pid"],
               env=app_environment(lab)):
        again(lab, lambda: curl_or_not(lab) == f"one {CLIENT}\n", "the first version")
        master = pid_in_file()
        again(lab, lambda: len(children(master)) == 3, "three workers")
        workers = children(master)
        write("app.py", APP.replace("VERSION", "two"))
        os.kill(master, signal.SIGHUP)
        wait_for_end(lab, master, workers)
        again(lab, lambda: curl_or_not(lab) == f"two {CLIENT}\n", "the second version", 30)
        workers = children(master)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_for_end(lab, master, workers)
        again(lab, lambda: curl_or_not(lab) == f"two {CLIENT}\n", "new workers", 30)


def pid_in_file():
    with open(f"{HOME}/pid") as f:
        return int(f.read())


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


def wait_for_end(lab, master, workers):
    again(lab, lambda: not set(workers) & set(children(master)), "the old workers have ended", 30)


@test("steal.go_static", needs=("curl", "h2load"))
def go_static(lab):
    """A static program, whose listener speaks MPTCP where Go does by default."""
    if not os.path.exists("/tmp/lab/bin/go-serve"):
        raise Skip("not installed: golang-go")
    prepare()
    with local(lab, ["/tmp/lab/bin/go-serve", f":{PORT}"]):
        expect("who came", curl(lab).strip(), f"{CLIENT} 10.244.1.7:{PORT}", lab.log())
        out = there(lab, ["h2load", "--h1", "-n", "2000", "-c", "50", f"http://10.244.1.7:{PORT}/"])
        expect_in("h2load", out, "2000 succeeded, 0 failed")


JAVA = """
import com.sun.net.httpserver.*;
import java.net.*;
public class Serve {
  public static void main(String[] a) throws Exception {
    HttpServer s = HttpServer.create(new InetSocketAddress(21000), 0);
    s.createContext("/", e -> { byte[] b = (e.getRemoteAddress().getAddress().getHostAddress() + "\\n").getBytes();
      e.sendResponseHeaders(200, b.length); e.getResponseBody().write(b); e.close(); });
    s.start();
  }
}
"""


@test("steal.java", needs=("java", "javac", "curl"))
def java(lab):
    prepare(Serve__java=JAVA)
    with local(lab, ["java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", f"{HOME}/Serve.java"]):
        expect("who came", curl(lab), f"{CLIENT}\n", lab.log())


@test("steal.redis", needs=("redis-server", "redis-cli"))
def redis(lab):
    prepare()
    with local(lab, ["redis-server", "--port", str(PORT), "--protected-mode", "no", "--save", "", "--dir", HOME]):
        cli = ["redis-cli", "-h", "10.244.1.7", "-p", str(PORT)]
        expect("SET", there(lab, [*cli, "SET", "key", "value"]), "OK\n", lab.log())
        expect_in("CLIENT LIST", there(lab, [*cli, "CLIENT", "LIST"]), f" addr={CLIENT}:")
        out = there(lab, ["redis-benchmark", "-h", "10.244.1.7", "-p", str(PORT), "-n", "4000", "-c", "40", "-P", "4", "-q", "-t", "set,get"])
        expect("GET per second", float(re.findall(r"GET: ([0-9.]+) requests", out)[-1]), lambda n: n > 300)


@test("steal.postgresql", modes=("user",), timeout=600)
def postgresql(lab):
    """It listens on 127.0.0.1 alone, as it does by default: reached all the same, as from its own host."""
    initdb, postgres, psql = find("initdb"), find("postgres"), find("psql")
    prepare()
    done = lab.run([initdb, "-D", f"{HOME}/db", "-U", "shop", "--auth=trust", "--no-sync", "--locale=C"])
    expect("initdb", done.status, 0, str(done))
    with local(lab, [postgres, "-D", f"{HOME}/db", "-k", HOME, "-p", str(PORT), "-c", "fsync=off", "-c", "shared_buffers=16MB"]):
        ask = [psql, "-h", "10.244.1.7", "-p", str(PORT), "-U", "shop", "-d", "postgres", "-Atc"]
        again(lab, lambda: "1" in there_or_not(lab, [*ask, "select 1"]), "it is up")
        expect("who came", there(lab, [*ask, "select host(inet_client_addr()), host(inet_server_addr())"]), "127.0.0.1|127.0.0.1\n", lab.log())
        expect("a large result", len(there(lab, [*ask, "copy (select repeat('x', 1000) from generate_series(1, 3000)) to stdout"])), 3000 * 1001)


def there_or_not(lab, argv):
    return lab.cluster.nodes["services"].run(argv, check=False)


@test("steal.sshd", needs=("ssh", "ssh-keygen"))
def sshd(lab):
    """The server speaks first."""
    server, keygen = find("sshd"), find("ssh-keygen")
    prepare()
    for name in ("host_key", "user_key"):
        lab.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", f"{HOME}/{name}"])
    write("config", f"Port {PORT}\nHostKey {HOME}/host_key\nAuthorizedKeysFile {HOME}/user_key.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
          "PasswordAuthentication no\nPrintMotd no\nPermitRootLogin yes\n")
    os.makedirs("/run/sshd", exist_ok=True)
    user = "root" if lab.mode == "root" else "labuser"
    shutil.copy(f"{HOME}/user_key", "/tmp/lab/client_key")
    os.chmod("/tmp/lab/client_key", 0o600)
    if lab.sandbox.real_root:  # root of the cluster's nodes
        os.chown("/tmp/lab/client_key", lab.sandbox.uid, lab.sandbox.gid)
    try:
        with local(lab, [server, "-D", "-e", "-f", f"{HOME}/config"]):
            banner = there(lab, [*PYTHON, "-c", "import socket; print(socket.create_connection(('10.244.1.7', 21000), 20).recv(8))"])
            expect("the banner", banner, "b'SSH-2.0-'\n", lab.log())
            out = there(lab, ["ssh", "-F", "none", "-i", "/tmp/lab/client_key", "-p", str(PORT), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-o",
                              "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", f"{user}@10.244.1.7", "echo $SSH_CONNECTION; head -c 2000000 /dev/zero | md5sum"])
            expect("the server's view of the client", out.split()[0], CLIENT, lab.log())
            expect_in("digest of 2 MB of zeros", out, "6bde2aa6394fde37e21748bc0578113b")
    finally:
        os.unlink("/tmp/lab/client_key")


SMTP = """
import smtplib
with smtplib.SMTP("10.244.1.7", 21000, timeout=60) as s:
    s.sendmail("a@b", ["c@d"], "Subject: hello\\n\\ntext")
    print("sent")
"""
SMTP_SERVER = """
import socket, threading
def talk(c):
    f = c.makefile("rwb", 0)
    f.write(b"220 shop ready\\r\\n")
    data = False
    for line in f:
        if data:
            if line == b".\\r\\n": data = False; f.write(b"250 taken\\r\\n")
        elif line.upper().startswith(b"DATA"): data = True; f.write(b"354 go on\\r\\n")
        elif line.upper().startswith(b"QUIT"): f.write(b"221 bye\\r\\n"); break
        else: f.write(b"250 fine\\r\\n")
    c.close()
s = socket.create_server(("", 21000))
while True: threading.Thread(target=talk, args=(s.accept()[0],), daemon=True).start()
"""


@test("steal.smtp")
def smtp(lab):
    """The server speaks first, and every line waits for an answer: no time is lost."""
    prepare()
    with local(lab, [*PYTHON, "-c", SMTP_SERVER]):
        began = time.monotonic()
        expect("a mail", there(lab, [*PYTHON, "-c", SMTP]), "sent\n", lab.log())
        expect("seconds", time.monotonic() - began, lambda s: s < 25)


@test("steal.dns_server", needs=("dnsmasq", "dig"))
def dns_server(lab):
    """UDP and TCP on one port, both families, an answer of several kilobytes."""
    names = [f"--host-record=many.test,10.9.{i // 200}.{i % 200 + 1}" for i in range(150)]
    prepare()
    with local(lab, ["dnsmasq", "-k", "-C", "/dev/null", "--pid-file=", "--no-resolv", "--no-hosts", "-p", str(PORT), "--address=/shop.test/10.1.2.3",
                     "--edns-packet-max=4096", "--user=root" if lab.mode == "root" else "--user=", *names], protocol="UDP "):
        dig = ["dig", "-p", str(PORT), "+short", "+time=10", "+tries=2"]
        for server in ("10.244.1.7", "fd00:244:1::7"):
            expect(f"by UDP from {server}", there(lab, [*dig, f"@{server}", "shop.test"]), "10.1.2.3\n", lab.log())
            expect(f"by TCP from {server}", there(lab, [*dig, "+tcp", f"@{server}", "shop.test"]), "10.1.2.3\n", lab.log())
        out = there(lab, [*dig, "+bufsize=4096", "+ignore", "@10.244.1.7", "many.test"])
        expect("addresses in a large datagram", len(out.split()), 150, out + lab.log())
        for i in range(15):
            expect("one after the other", there(lab, [*dig, "@10.244.1.7", f"host{i}.shop.test"]), "10.1.2.3\n", lab.log())


@test("steal.quic", needs=("gtlsclient", "openssl"))
def quic(lab):
    """HTTP/3: 3 MB down, 300 kB up, several streams, both families, and a client whose address changes on the way."""
    prepare()
    lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{HOME}/key", "-out",
             f"{HOME}/certificate", "-days", "2", "-subj", "/CN=shop.test"])
    data = os.urandom(3_000_000)
    for name, content in (("big", data), ("small", data[:300_000])):
        with open(f"{HOME}/{name}", "wb") as f:
            f.write(content)
        os.chmod(f"{HOME}/{name}", 0o644)
    os.makedirs(f"{HOME}/got")
    os.chmod(f"{HOME}/got", 0o777)
    with local(lab, [find("gtlsserver"), "-q", "-d", HOME, "*", str(PORT), f"{HOME}/key", f"{HOME}/certificate"], protocol="UDP "):
        def ask(ip, *options, path="big"):
            there(lab, ["gtlsclient", "-q", "--exit-on-all-streams-close", *options, ip, str(PORT), f"https://shop.test/{path}"])
        for ip in ("10.244.1.7", "fd00:244:1::7"):
            ask(ip, f"--download={HOME}/got")
            with open(f"{HOME}/got/big", "rb") as f:
                expect(f"what came from {ip}", hashlib.sha256(f.read()).hexdigest(), hashlib.sha256(data).hexdigest(), lab.log())
            os.unlink(f"{HOME}/got/big")
        ask("10.244.1.7", f"--data={HOME}/small", "-n", "4", f"--download={HOME}/got", path="small")
        ask("10.244.1.7", f"--download={HOME}/got", "--change-local-addr=20ms", "--nat-rebinding")
        with open(f"{HOME}/got/big", "rb") as f:
            expect("from a client that moved", hashlib.sha256(f.read()).hexdigest(), hashlib.sha256(data).hexdigest(), lab.log())
