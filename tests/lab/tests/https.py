# SPDX-License-Identifier: MIT
"""Stealing from ports on which the target speaks TLS: the agent decrypts, filters what is inside, and encrypts anew towards whoever answers."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, expect_in, test
from labkit.service import HOME as SERVICES, Services, find

PORT = 21443
HOME = "/tmp/lab/home"
CONFIG = f"{HOME}/https.json"
KEYS = f"{HOME}/keys"
POD = plan.HOSTS["pod"][0]
SERVER = "/tmp/lab/tests/programs/serve_http.py"

# HTTP/2 and HTTP/1.1 by ALPN.
NODE = """
const fs = require("fs"), [name, port, cert, key] = process.argv.slice(2)
const s = require("http2").createSecureServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), allowHTTP1: true }, (q, a) => {
    let n = 0
    q.on("data", d => n += d.length).on("end", () => a.end(JSON.stringify({ name, path: q.url, version: q.httpVersion, length: n,
        sni: q.socket.servername || q.stream?.session.socket.servername, peer: q.socket.remoteAddress })))
})
s.listen(+port, "0.0.0.0", () => console.log("ready"))
"""


def make_keys():
    """An authority, and certificates of its for three names."""
    if os.path.exists(f"{KEYS}/done"):
        return
    shutil.rmtree(KEYS, ignore_errors=True)
    os.makedirs(KEYS)
    run = lambda *argv: subprocess.run(["openssl", *argv], check=True, capture_output=True, cwd=KEYS)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=lab authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, names in (("shop", "DNS:shop.test,DNS:*.shop.test"), ("other", "DNS:other.test"), ("local", "DNS:local.test"), ("client", "DNS:client.test")):
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}.test", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        with open(f"{KEYS}/ext", "w") as f:
            f.write(f"subjectAltName={names}\n")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")
    for name, subject, names in (("by-address", "/O=lab", "IP:127.0.0.1"), ("by-wildcard", "/O=lab", "DNS:*.local.test"), ("by-subject", "/CN=local.test", ""), ("by-nothing", "/O=lab", "")):
        run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, *(("-addext", f"subjectAltName={names}") if names else ()), "-keyout", f"{name}.key",
            "-out", f"{name}.pem")
    run("pkey", "-in", "shop.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    run("pkcs12", "-export", "-in", "shop.pem", "-inkey", "shop.key", "-passout", "pass:", "-out", "shop.p12")
    run("pkcs12", "-in", "shop.p12", "-passin", "pass:", "-nodes", "-out", "noted.pem")  # the certificate, the key, and notes before each
    run("x509", "-in", "shop.pem", "-outform", "der", "-out", "shop.der")
    with open(f"{KEYS}/garbage.pem", "w") as f:
        f.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for name in os.listdir(KEYS):
        os.chmod(f"{KEYS}/{name}", 0o644)
    os.chmod(KEYS, 0o755)
    open(f"{KEYS}/done", "w").close()


def pair_of(name):
    return {"authentication": {"certPem": f"{KEYS}/{name}.pem", "keyPem": f"{KEYS}/{name}.key"}}


def port_with(name, **more):
    return {"port": PORT, "agentAsServer": pair_of(name), **more}


def write_config(**incoming):
    with open(CONFIG, "w") as f:
        json.dump({"feature": {"network": {"incoming": {"mode": "steal", **incoming}}}}, f)
    os.chmod(CONFIG, 0o644)


class Pair:
    """The target's server, and one under mirrord."""

    def __init__(self, lab, real, here, **incoming):
        make_keys()
        write_config(**incoming)
        self.lab = lab
        self.real = lab.cluster.pod.start(real, stdout=subprocess.PIPE, text=True)
        self.real.stdout.readline()
        self.here = lab.start_mirrord(here, options=("-f", CONFIG))
        line = self.here.stdout.readline()
        if line != "ready\n":
            self.close()
        expect("the program's first line", line, "ready\n", lab.log() + (self.here.stderr.read() if not line else ""))

    def close(self):
        if self.here.poll() is None:
            self.here.terminate()
            self.here.communicate(timeout=PROMPT)
        self.real.kill()
        self.real.wait()
        self.real.stdout.close()
        self.lab.wait_for("nobody else who filters", lambda: not self.lab.processes("mirrord-session") + self.lab.processes("mirrord-agent"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def python_server(name, how="tls", key="shop", roots=""):
    return [*PYTHON, SERVER, name, str(PORT), how, f"{KEYS}/{key}.pem", f"{KEYS}/{key}.key", roots]


def node_server(lab, name, key="shop"):
    path = f"{HOME}/https.js"
    with open(path, "w") as f:
        f.write(NODE)
    return ["node", path, name, str(PORT), f"{KEYS}/{key}.pem", f"{KEYS}/{key}.key"]


def curl(lab, *words, path="/", host="shop.test", check=True):
    node = lab.cluster.nodes["services"]
    return node.run(["curl", "-sS", "-m", "20", "--cacert", f"{KEYS}/ca.pem", "--resolve", f"{host}:{PORT}:{POD}", *words, f"https://{host}:{PORT}{path}"])


def ask(lab, *words, **more):
    return json.loads(curl(lab, *words, **more))


FILTER = {"header_filter": "^x-user: alice$"}
ALICE = ("-H", "X-User: alice")


@test("https.filtered", needs=("curl", "openssl"))
def filtered(lab):
    """Requests on one connection go where they belong; each server sees TLS, the server name, and the client's address."""
    with Pair(lab, python_server("real"), python_server("here", key="local"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for version in ("1.2", "1.3"):
            words = ("--http1.1", "--tls-max", version, "--tlsv" + version)
            for who, more in (("here", ALICE), ("real", ())):
                got, own = curl(lab, *words, *more, "-w", "\\n%{local_ip}").splitlines()
                got = json.loads(got)
                expect("who answered", got["name"], who, str(got) + lab.log())
                expect("as TLS, by name, in the client's protocol", (got["version"], got["sni"], got["alpn"]), ("TLSv1.3", "shop.test", "http/1.1"), str(got))
                expect("the client's address", got["peer"][0], own, str(got))


@test("https.session_dies", needs=("curl", "openssl", "node"))
def session_dies(lab):
    """A request that its program has is answered at once, in the client's protocol."""
    for real, how, version in (python_server("real"), "tls", "--http1.1"), (python_server("real"), "tcp", "--http1.1"), (node_server(lab, "real"), "tls", "--http2"):
        with Pair(lab, real, python_server("here", how), http_filter=FILTER, steal_tls=[port_with("shop")], tls_delivery={"protocol": how}) as pair:
            got = []
            client = threading.Thread(target=lambda: got.append(curl(lab, version, *ALICE, "-w", "\\n%{http_code}", path="/wait")))
            client.start()
            expect("the program has it", pair.here.stdout.readline(), "waits\n", lab.log())
            for pid in lab.processes("mirrord-session"):
                os.kill(pid, signal.SIGKILL)
            client.join()
            expect("what the client got", got, ["mirrord: the local program ended without an answer\n\n502"], lab.log())
            pair.here.communicate(timeout=PROMPT)
            expect("who answers then", ask(lab, version, *ALICE)["name"], "real", lab.log())


@test("https.in_the_clear", needs=("curl", "openssl"))
def in_the_clear(lab):
    """tls_delivery.protocol tcp: the program gets what was inside."""
    with Pair(lab, python_server("real"), python_server("here", "tcp"), http_filter=FILTER, steal_tls=[port_with("shop")], tls_delivery={"protocol": "tcp"}):
        got = ask(lab, *ALICE)
        expect("who answered", (got["name"], got["version"]), ("here", None), str(got) + lab.log())
        expect("the target", ask(lab)["name"], "real", lab.log())


@test("https.http2_to_a_program_without", needs=("curl", "openssl", "node"))
def http2_to_a_program_without(lab):
    """A client that speaks HTTP/2 with the target is answered by a program that has HTTP/1 alone, in TLS and in the clear."""
    for how in ("tls", "tcp"):
        with Pair(lab, node_server(lab, "real"), python_server("here", how), http_filter=FILTER, steal_tls=[port_with("shop")], tls_delivery={"protocol": how}):
            got = ask(lab, "--http2", *ALICE, "-d", "x" * 1000)
            expect("who answered", (got["name"], got["alpn"]), ("here", "http/1.1" if how == "tls" else None), str(got) + lab.log())
            expect("the target", ask(lab, "--http2")["version"], "2.0", lab.log())


@test("https.without_a_filter", needs=("curl", "openssl"))
def without_a_filter(lab):
    """All of a port, decrypted."""
    with Pair(lab, python_server("real"), python_server("here", "tcp"), steal_tls=[port_with("shop")], https_delivery={"protocol": "tcp"}):
        expect("who answered", ask(lab)["name"], "here", lab.log())


@test("https.refused", needs=("curl", "openssl"))
def refused(lab):
    """A program that has closed its port, and a session that doesn't know yet: the connection is the target's, as without TLS."""
    if lab.tunnel:
        return  # there the session dials, and knows
    with Pair(lab, python_server("real"), python_server("here", "tcp"), steal_tls=[port_with("shop")], tls_delivery={"protocol": "tcp"}) as pair:
        expect("before", ask(lab)["name"], "here", lab.log())
        sessions = lab.processes("mirrord-session")
        for pid in sessions:
            os.kill(pid, signal.SIGSTOP)
        try:
            pair.here.send_signal(signal.SIGUSR1)
            expect("the program", pair.here.stdout.readline(), "closed\n")
            expect("behind", ask(lab)["name"], "real", lab.log())
        finally:
            for pid in sessions:
                os.kill(pid, signal.SIGCONT)


@test("https.keys_of_this_machine", needs=("curl", "openssl"))
def keys_of_this_machine(lab):
    """Given as files of this machine, or as text."""
    make_keys()
    with open(f"{KEYS}/shop.key") as f:
        text = f.read()
    keys = {"port": PORT, "agentAsServer": {"authentication": {"certPem": f"local:{KEYS}/shop.pem", "keyPem": text}}}
    with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[keys]):
        expect("who answered", ask(lab, *ALICE)["name"], "here", lab.log())


@test("https.notes_before_keys", needs=("curl", "openssl"))
def notes_before_keys(lab):
    """A file with both, and with the notes that OpenSSL writes before each; of this machine, and of the target."""
    make_keys()
    for path in f"local:{KEYS}/noted.pem", f"{KEYS}/noted.pem":
        keys = {"port": PORT, "agentAsServer": {"authentication": {"certPem": path, "keyPem": path}}}
        with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[keys]):
            expect("who answered", ask(lab, *ALICE)["name"], "here", lab.log())


@test("https.several_names", needs=("curl", "openssl"))
def several_names(lab):
    """Each client is shown the certificate that is for its server name; the name and what the client can speak can be filtered on."""
    with Pair(lab, python_server("real"), python_server("here", "tcp"), http_filter={"all_of": [{"sni": "^other\\.test$"}, {"alpn": "^h2$"}, {"path": "^/x"}]},
              steal_tls=[port_with("shop"), port_with("other")], tls_delivery={"protocol": "tcp"}):
        for host, path, words, who in (("shop.test", "/x", (), "real"), ("a.shop.test", "/x", (), "real"), ("other.test", "/x", ("--http2",), "here"),
                                       ("other.test", "/y", ("--http2",), "real"), ("other.test", "/x", ("--http1.1",), "real")):
            expect(f"{host}{path}", ask(lab, *words, host=host, path=path)["name"], who, lab.log())


@test("https.bodies", needs=("curl", "openssl"))
def bodies(lab):
    """Large bodies, both ways, to both."""
    import hashlib
    make_keys()
    path, size = f"{HOME}/https-body", 24 << 20
    with open(path, "wb") as f:
        f.write(os.urandom(size))
    os.chmod(path, 0o644)
    with open(path, "rb") as f:
        wanted = hashlib.sha256(f.read()).hexdigest()
    with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for who, more in (("here", ALICE), ("real", ())):
            got = ask(lab, *more, "--data-binary", "@" + path)
            expect("the body, as it came", (got["name"], got["sha256"]), (who, wanted), lab.log())
            out = curl(lab, *more, path=f"/big/{size}")
            expect("the answer", (len(out), set(out)), (size, {who[0]}), lab.log())
    os.unlink(path)


@test("https.http2", needs=("curl", "openssl", "node"))
def http2(lab):
    """The client is offered what the app can; streams go where they belong."""
    with Pair(lab, node_server(lab, "real"), node_server(lab, "here", "local"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for words, version in (("--http2", "2.0"), ("--http1.1", "1.1")):
            for who, more in (("here", ALICE), ("real", ())):
                got = ask(lab, words, *more, "-d", "x" * 1000)
                expect("who answered, by what", (got["name"], got["version"], got["length"]), (who, version, 1000), str(got) + lab.log())
        out = lab.cluster.nodes["services"].run(["curl", "-sS", "-m", "20", "-Z", "--parallel-max", "20", "--http2", "--cacert", f"{KEYS}/ca.pem", *ALICE,
                                                 "--resolve", f"shop.test:{PORT}:{POD}", f"https://shop.test:{PORT}/n[1-40]"])
        expect("many at a time", out.count('"here"'), 40, out[-500:] + lab.log())


NGINX = """daemon off; master_process off; pid {home}/pid; error_log stderr;
events {{ }}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  client_max_body_size 100m; client_body_buffer_size 64k;
  server {{
    listen {port} ssl {http2}; ssl_certificate {keys}/{key}.pem; ssl_certificate_key {keys}/{key}.key; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ return 200 "{name} $server_protocol $ssl_alpn_protocol $ssl_server_name $ssl_protocol $request_length $remote_addr\\n"; }}
    location = /ca.pem {{ alias {keys}/ca.pem; }}
    location = /up {{ proxy_pass http://127.0.0.1:{behind}; }}
  }}
  server {{ listen 127.0.0.1:{behind}; location / {{ return 200 "{name} took $content_length\\n"; }} }}
}}
"""


def nginx_argv(lab, home, name, key, http2):
    os.makedirs(home, exist_ok=True)
    with open(f"{home}/conf", "w") as f:
        f.write(NGINX.format(home=home, port=PORT, behind=PORT + 1, keys=KEYS, name=name, key=key, http2="http2" if http2 else ""))
    os.chmod(home, 0o777)
    return [find("nginx"), "-e", "stderr", "-p", home, "-c", f"{home}/conf"]


@contextlib.contextmanager
def two_nginx(lab, real_http2, here_http2):
    """The target's and one under mirrord."""
    write_config(http_filter={**FILTER, "ports": [PORT]}, steal_tls=[port_with("shop")], ports=[PORT])
    home = f"{HOME}/https-nginx"
    with Services(lab, "pod") as services:
        services.start(nginx_argv(lab, f"{SERVICES}/target", "real", "shop", real_http2), PORT, POD)
        here = lab.start_mirrord(nginx_argv(lab, home, "here", "local", here_http2), options=("-f", CONFIG))
        try:
            lab.wait_for("nginx under mirrord", lambda: here.poll() is not None or curl(lab, *ALICE).startswith("here"))
            yield
        finally:
            here.terminate()
            here.communicate(timeout=PROMPT)
            shutil.rmtree(home)


@test("https.nginx", needs=("curl", "openssl", "nginx", "h2load"), timeout=120)
def nginx(lab):
    """nginx on both sides, with HTTP/2 and without: what a client that can do both agrees upon is what the target's nginx has chosen."""
    make_keys()
    for in_target, here, version in ((True, True, "HTTP/2.0 h2"), (True, False, "HTTP/2.0 h2"), (False, True, "HTTP/1.1 http/1.1")):
        with two_nginx(lab, in_target, here):
            for words in ("--http2",), ("--http1.1", "--tls-max", "1.2"):
                agreed = version if "--http2" in words else "HTTP/1.1 http/1.1"
                got = curl(lab, *words, "-w", "%{local_ip}\n").split()
                expect("the target's nginx", got[:5], ["real", *agreed.split(), "shop.test", "TLSv1.3"], lab.log())
                expect("the client's address", got[6], got[7], str(got))
                got = curl(lab, *words, *ALICE).split()
                expect("nginx under mirrord", got[:5], ["here", *(agreed if here else "HTTP/1.1 http/1.1").split(), "shop.test", "TLSv1.3"], lab.log())
                for name, more in (("here", ALICE), ("real", ())):
                    with open(f"{KEYS}/ca.pem") as f:
                        expect("a file", curl(lab, *words, *more, path="/ca.pem"), f.read(), lab.log())
                    got = curl(lab, *words, *more, "-d", "x" * 100000, path="/up")
                    expect("a body", got, f"{name} took 100000\n", lab.log())
            out = lab.cluster.nodes["services"].run(["h2load", "-n500", "-c5", "-m20", f"--connect-to={POD}:{PORT}", "-H", "x-user: alice", f"https://shop.test:{PORT}/",
                                                     f"https://shop.test:{PORT}/ca.pem"])
            expect_in("h2load", out, "500 succeeded, 0 failed, 0 errored", lab.log())


UPGRADING = """
const fs = require("fs"), [name, port, how, cert, key] = process.argv.slice(1)
const s = how === "tls" ? require("https").createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) : require("http").createServer()
s.on("upgrade", (q, socket) => { socket.on("error", () => {}); socket.write("HTTP/1.1 101 Go\\r\\nConnection: upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n" + name); socket.pipe(socket) })
s.listen(+port, "0.0.0.0", () => console.log("ready"))
"""
UPGRADER = """
import socket, ssl, sys
ip, port, roots, header = sys.argv[1:]
s = ssl.create_default_context(cafile=roots).wrap_socket(socket.create_connection((ip, int(port)), 60), server_hostname="shop.test")
s.sendall(b"GET / HTTP/1.1\\r\\nHost: shop.test\\r\\nConnection: upgrade\\r\\nUpgrade: echo\\r\\n" + header.encode() + b"\\r\\n")
got, n = b"", 50000
while b"\\r\\n\\r\\n" not in got: got += s.recv(65536)
while len(got.split(b"\\r\\n\\r\\n")[1]) < 4: got += s.recv(65536)
name = got.split(b"\\r\\n\\r\\n")[1]
s.sendall(b"e" * n)
echo = 0
while echo < n: echo += len(s.recv(65536)) or sys.exit("ended")
print(name.decode(), echo)
"""


@test("https.upgrade", needs=("node", "openssl"))
def upgrade(lab):
    """An upgrade inside TLS moves the connection to whoever gets the request, in TLS and in the clear; then bytes are bytes."""
    server = lambda name, how: ["node", "-e", UPGRADING, name, str(PORT), how, f"{KEYS}/shop.pem", f"{KEYS}/shop.key"]
    for how in "tls", "tcp":
        with Pair(lab, server("real", "tls"), server("here", how), http_filter=FILTER, steal_tls=[port_with("shop")], tls_delivery={"protocol": how}):
            for name, header in (("here", "x-user: alice\r\n"), ("real", "")):
                out = lab.cluster.nodes["services"].run([*PYTHON, "-c", UPGRADER, POD, str(PORT), f"{KEYS}/ca.pem", header])
                expect(f"{how}: who answers, and what comes back", out.strip(), f"{name} 50000", lab.log())


@test("https.only_http1_in_the_app", needs=("curl", "openssl", "node"))
def only_http1(lab):
    """A client that could do HTTP/2 hears from the app that it can't."""
    with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for who, more in (("here", ALICE), ("real", ())):
            got = ask(lab, "--http2", *more)
            expect("who answered", (got["name"], got["alpn"]), (who, "http/1.1"), str(got) + lab.log())


@test("https.client_certificates", needs=("curl", "openssl"))
def client_certificates(lab):
    """Asked for by us, shown by us to the app; passed through where nothing is decrypted."""
    own = ("--cert", f"{KEYS}/client.pem", "--key", f"{KEYS}/client.key")
    real = python_server("real", roots=f"{KEYS}/ca.pem")
    keys = port_with("shop", agentAsClient={**pair_of("client"), "verification": {"trustRoots": [f"{KEYS}/ca.pem"]}})
    keys["agentAsServer"]["verification"] = {"trustRoots": [f"{KEYS}/ca.pem"]}
    with Pair(lab, real, python_server("here", "tcp"), http_filter=FILTER, steal_tls=[keys], tls_delivery={"protocol": "tcp"}):
        got = ask(lab, *own)
        expect("what the app saw", (got["name"], "client.test" in got["subject"]), ("real", True), str(got) + lab.log())
        expect("the program", ask(lab, *own, *ALICE)["name"], "here", lab.log())
        done = lab.cluster.nodes["services"].run(["sh", "-c", f"curl -sS -m 10 --cacert {KEYS}/ca.pem --resolve shop.test:{PORT}:{POD} https://shop.test:{PORT}/ 2>&1 || true"])
        expect_in("without a certificate", done, "alert", lab.log())
    with Pair(lab, real, python_server("here", "tcp"), http_filter=FILTER):
        got = ask(lab, *own)
        expect("passed through", (got["name"], "client.test" in got["subject"]), ("real", True), str(got) + lab.log())


@test("https.trusted_program", needs=("curl", "openssl"))
def trusted_program(lab):
    """The program's certificate is checked when the user says against what."""
    for delivery, good in (({"trust_roots": [f"{KEYS}/ca.pem"], "server_name": "local.test"}, True), ({"server_cert": f"{KEYS}/local.pem"}, True),
                           ({"server_cert": f"{KEYS}/other.pem"}, False), ({"trust_roots": [f"{KEYS}/ca.pem"], "server_name": "wrong.test"}, False)):
        with Pair(lab, python_server("real"), python_server("here", key="local"), http_filter=FILTER, steal_tls=[port_with("shop")],
                  tls_delivery={"protocol": "tls", **delivery}):
            out = curl(lab, *ALICE, "-w", "\\n%{http_code}")
            expect(str(delivery), out.splitlines()[-1], "200" if good else "502", out + lab.log())


@test("https.pinned_program", needs=("curl", "openssl"))
def pinned_program(lab):
    """The certificate that the program must show is enough, whatever names it is for."""
    for name, sni in (("by-address", None), ("by-wildcard", "shop.test"), ("by-subject", "local.test"), ("by-nothing", "shop.test")):
        for expected in name, "by-nothing" if name != "by-nothing" else "by-address":
            with Pair(lab, python_server("real"), python_server("here", key=name), http_filter=FILTER, steal_tls=[port_with("shop")],
                      tls_delivery={"protocol": "tls", "server_cert": f"{KEYS}/{expected}.pem"}):
                text, status = curl(lab, *ALICE, "-w", "\\n%{http_code}").rsplit("\n", 1)
                expect(f"{name}, where {expected} is expected", status, "200" if name == expected else "502", text + lab.log())
                if name == expected:
                    expect("asked for by", json.loads(text)["sni"], sni, text)


# A request, then all that comes, and how it ended.
ASKER = """
import socket, ssl, sys
ip, port, roots, path, headers = sys.argv[1:]
c = ssl.create_default_context(cafile=roots)
c.options &= ~128  # SSL_OP_IGNORE_UNEXPECTED_EOF: a FIN would be TLS's own end
inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
t = c.wrap_bio(inward, outward, server_hostname="shop.test")
s = socket.create_connection((ip, int(port)), 10)
def flush():
    data = outward.read()
    if data: s.sendall(data)
def pull():
    data = s.recv(65536)
    inward.write(data) if data else inward.write_eof()
while True:
    try:
        t.do_handshake()
        break
    except ssl.SSLWantReadError:
        flush()
        pull()
t.write(b"GET " + path.encode() + b" HTTP/1.1\\r\\nhost: shop.test\\r\\n" + headers.encode() + b"\\r\\n")
flush()
got, how = b"", ""
def listen():
    global got
    try:
        data = t.read(65536)
        if path == "/cut" and not got:
            t.write(b"x")
            flush()
        got += data
        return "" if data else "close_notify"
    except ssl.SSLWantReadError:
        pull()
    except ssl.SSLZeroReturnError:
        return "close_notify"
    except (ssl.SSLEOFError, ssl.SSLError):
        return "cut"
try:
    while not how: how = listen()
except ConnectionResetError:
    how = "reset"
print(how, got.split(b"\\r\\n")[0].decode())
"""


def how_it_ended(lab, path, headers):
    return lab.cluster.nodes["services"].run([*PYTHON, "-c", ASKER, POD, str(PORT), f"{KEYS}/ca.pem", path, headers]).strip()


@test("https.ends", needs=("openssl",))
def ends(lab):
    """An answer ends with TLS's own end, so that nobody takes a cut one for a whole."""
    with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for header in ("x-user: alice\r\n", ""):
            expect("how it ended", how_it_ended(lab, "/last", f"connection: close\r\n{header}"), "close_notify HTTP/1.1 200 OK", lab.log())


@test("https.torn", needs=("openssl",))
def torn(lab):
    """An answer that is as long as its connection, and ends without TLS's own end, may have been cut: the client hears no such end either."""
    with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for header in ("x-user: alice\r\n", ""):
            for path, how in (("/until_end", "close_notify"), ("/torn", "cut")):
                expect(f"how {path} ended", how_it_ended(lab, path, header), f"{how} HTTP/1.1 200 OK", lab.log())


@test("https.half_a_hello", needs=("openssl",))
def half_a_hello(lab):
    """What ends before it is known to be TLS goes to the target, at once."""
    talker = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(bytes.fromhex(sys.argv[3]))
s.shutdown(socket.SHUT_WR)
print(s.recv(100).decode() or "ended")
"""
    echo = [*PYTHON, "-c", """
import socket
s = socket.create_server(("0.0.0.0", %d))
print("ready", flush=True)
while True:
    c = s.accept()[0]
    data = b""
    while (more := c.recv(100)): data += more
    c.sendall(data.hex().encode())
    c.close()
""" % PORT]
    with Pair(lab, echo, python_server("here"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for said in b"GET", bytes([22, 3, 1, 0, 200, 1, 0, 0, 196]):
            out = lab.cluster.nodes["services"].run([*PYTHON, "-c", talker, POD, str(PORT), said.hex()])
            expect("what the target heard", out.strip(), said.hex(), lab.log())


@test("https.cut", needs=("openssl",))
def cut(lab):
    """What fails in the middle of its answer: a reset, as without TLS."""
    with Pair(lab, python_server("real"), python_server("here"), http_filter=FILTER, steal_tls=[port_with("shop")]):
        for header in ("x-user: alice\r\n", ""):
            expect("how it ended", how_it_ended(lab, "/cut", "content-length: 1\r\n" + header), "reset HTTP/1.1 200 OK", lab.log())


@test("https.something_else", needs=("openssl",))
def something_else(lab):
    """On a port with keys: what is no TLS is served as ever; what is no HTTP inside TLS goes to the target."""
    plain = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(b"GET / HTTP/1.0\\r\\nx-user: alice\\r\\n\\r\\n")
print(s.recv(100).split(b"\\r\\n")[0].decode())
"""
    with Pair(lab, python_server("real"), python_server("here", "tcp"), http_filter=FILTER, steal_tls=[port_with("shop")], tls_delivery={"protocol": "tcp"}):
        out = lab.cluster.nodes["services"].run([*PYTHON, "-c", plain, POD, str(PORT)])
        expect("in the clear", out.strip(), "HTTP/1.1 200 OK", lab.log())
        out = lab.cluster.nodes["services"].run(["sh", "-c", f"(echo 'hello there'; sleep 1) | openssl s_client -quiet -connect {POD}:{PORT} -servername shop.test 2>/dev/null"])
        expect_in("no HTTP", out, "Bad request", lab.log())


@test("https.mistakes", needs=("openssl",))
def mistakes(lab):
    """Each is one error, before the program runs."""
    make_keys()
    ca = f"{KEYS}/ca.pem"
    cases = (
        ({"certPem": "/no/such.pem", "keyPem": f"{KEYS}/shop.key"}, "read /no/such.pem in the target"),
        ({"certPem": f"{KEYS}/garbage.pem", "keyPem": f"{KEYS}/shop.key"}, "garbage.pem is no certificate"),
        ({"certPem": f"{KEYS}/shop.pem", "keyPem": f"{KEYS}/other.key"}, "isn't the certificate's"),
        ({"certPem": f"{KEYS}/shop.pem", "keyPem": ca}, "is no private key"),
        ({"certPem": f"{KEYS}/shop.pem", "keyPem": f"{KEYS}/locked.key"}, "openssl pkey"),
        ({"certPem": f"{KEYS}/shop.der", "keyPem": f"{KEYS}/shop.key"}, "shop.der in the target: there is no PEM text in it"),
        ({"certPem": f"local:{KEYS}/nothing.pem", "keyPem": ca}, "nothing.pem: No such file"),
        ({"certPem": f"{KEYS}/shop.pem"}, "belong together"),
        ({"certPem": f"{KEYS}/shop.pem", "key": ca}, "there is no key \"key\""),
    )
    for authentication, words in cases:
        write_config(steal_tls=[{"port": PORT, "agentAsServer": {"authentication": authentication}}])
        done = lab.mirrord(["echo", "ran"], options=("-f", CONFIG))
        expect(f"status of {authentication}", (done.status, done.out), lambda s: s[0] not in (0, None) and not s[1], str(done))
        expect_in(f"what is said of {authentication}", done.err, words, lab.log())
