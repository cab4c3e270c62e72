# SPDX-License-Identifier: MIT
"""Real programs through the twin, over HTTP and plain TCP: what they got, and whom the server saw."""

import contextlib
import json
import os
import re

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, expect_in, test
from labkit.service import HOME, Services

POD4, POD6 = plan.HOSTS["pod"]


def got_by(lab, argv, server, local_port, you=(POD4, POD6), status=0, text=None, timeout=120, env=None):
    """Runs a client; asserts its status, and that @server saw the pod's address. Returns its stdout."""
    cluster = lab.cluster
    cluster.witness_reset()
    done = lab.mirrord(argv, text=text, timeout=timeout, env=env)
    seen = [e for e in cluster.witness_dump(1) if e["server"] == server and e["local"]["port"] == local_port]
    expect("status", done.status, status, str(done) + lab.log())
    expect("connections that the server saw", len(seen), lambda n: n >= 1, str(done) + lab.log())
    for entry in seen:
        expect("the client's address as the server saw it", entry["peer"]["ip"], lambda ip: ip in you, lab.log())
    return done.out


def answer(text):
    return json.loads(text[text.index("{"):])


@test("programs.curl", needs=("curl",))
def curl(lab):
    for words, you in ((["http://payment/x"], None), (["-4", "http://payment/x"], POD4), (["-6", "http://payment/x"], POD6),
                       (["http://10.0.20.5/x"], POD4), (["http://[fd00:20::5]/x"], POD6), (["http://from-hosts-file/x"], None)):
        out = answer(got_by(lab, ["curl", "-sS", "-m", "60", *words], "stranger" if "from" in words[-1] else "payment", plan.HTTP))
        expect("path", out["path"], "/x")
        expect("you", out["you"], lambda ip: ip == you if you else ip in (POD4, POD6))


@test("programs.curl_to_a_sidecar", needs=("curl",))
def curl_sidecar(lab):
    """localhost is the pod's, where the program has nothing of its own."""
    out = answer(got_by(lab, ["curl", "-sS", "-m", "60", f"http://localhost:{plan.POD_HTTP}/metrics"], "sidecar", plan.POD_HTTP, you=("127.0.0.1",)))
    expect("path", out["path"], "/metrics")


@test("programs.curl_failures", needs=("curl",))
def curl_failures(lab):
    """Exit statuses and words as in the target."""
    for words in (["http://payment:81/"], ["http://10.0.30.5/"], ["http://no-such-name.test/"], ["-m", "1", "http://10.0.32.5/"], ["http://10.0.40.5/"]):
        argv = ["curl", "-sS", *(() if "-m" in words else ("-m", "60")), *words]
        direct, ours = lab.direct(argv), lab.mirrord(argv)
        plain = lambda text: re.sub(r"\d+ (ms|milliseconds)", "T", text)
        expect(" ".join(words), (ours.status, plain(ours.err)), (direct.status, plain(direct.err)), lab.log())


@test("programs.curl_upload", needs=("curl",))
def curl_upload(lab):
    path = "/tmp/lab/home/upload"
    with open(path, "wb") as f:
        f.write(os.urandom(5 << 20))
    try:
        out = answer(got_by(lab, ["curl", "-sS", "-m", "60", "-H", "Expect:", "--data-binary", "@" + path, "http://payment/upload"], "payment", plan.HTTP))
        expect("body", out["body"], 5 << 20)
    finally:
        os.unlink(path)


@test("programs.curl_parallel", needs=("curl",))
def curl_parallel(lab):
    out = got_by(lab, ["curl", "-sS", "-m", "60", "-Z", "--parallel-max", "20", "http://payment/n[1-60]"], "payment", plan.HTTP)
    expect("answers", sorted(json.loads(line)["path"] for line in out.splitlines()), sorted(f"/n{i}" for i in range(1, 61)))


@test("programs.wget", needs=("wget",))
def wget(lab):
    out = got_by(lab, ["wget", "-q", "-T", "60", "-t", "1", "-O", "-", "http://payment.shop/wget"], "payment", plan.HTTP)
    expect("path", answer(out)["path"], "/wget")


@test("programs.nc", needs=("nc",))
def nc(lab):
    out = got_by(lab, ["nc", "-N", "-w", "60", "payment", str(plan.SUM)], "payment", plan.SUM, text="x" * 100000)
    expect("bytes", answer(out)["bytes"], 100000)
    out = ""
    for seconds in ("1", "10", "60"):  # it waits so long for more
        out = out or got_by(lab, ["nc", "-u", "-w", seconds, "10.0.20.5", str(plan.UDP_PEER)], "payment", plan.UDP_PEER, text="datagram")
    expect("peer", answer(out)["peer"]["ip"], POD4)
    done = lab.mirrord(["nc", "-z", "-w", "60", "payment", "81"])
    expect("refused", done.status, 1)


@test("programs.bash_dev_tcp", needs=("bash",))
def bash(lab):
    out = got_by(lab, ["bash", "-c", f"exec 3<>/dev/tcp/payment/{plan.PEER}; head -n 1 <&3"], "payment", plan.PEER)
    expect("peer", answer(out)["peer"]["ip"], lambda ip: ip in (POD4, POD6))


@test("programs.python_requests", needs=("python3",))
def python_requests(lab):
    code = "import requests; s = requests.Session(); print(s.get('http://payment/requests', timeout=30).text)"
    done = lab.run(["python3", "-c", "import requests"])
    if done.status != 0:
        from labkit.registry import Skip
        raise Skip("not installed: python3-requests")
    expect("path", answer(got_by(lab, ["/usr/bin/python3", "-c", code], "payment", plan.HTTP))["path"], "/requests")


@test("programs.python_asyncio")
def python_asyncio(lab):
    code = """
import asyncio, json
async def one(n):
    r, w = await asyncio.open_connection('payment', 80)
    w.write(b'GET /%d HTTP/1.1\\r\\nHost: payment\\r\\n\\r\\n' % n)
    text = (await r.read()).decode()
    w.close()
    return json.loads(text[text.index('{'):])['path'] == '/%d' % n
async def main():
    print('{"right": %d}' % sum(await asyncio.gather(*(one(n) for n in range(40)))))
asyncio.run(main())
"""
    expect("right", answer(got_by(lab, [*PYTHON, "-c", code], "payment", plan.HTTP))["right"], 40)


@test("programs.python_uvloop_like_protocol")
def python_datagram_protocol(lab):
    code = """
import asyncio
class P(asyncio.DatagramProtocol):
    def connection_made(self, t): self.t = t; t.sendto(b'x', ('10.0.20.5', 8080))
    def datagram_received(self, data, addr): print(data.decode(), flush=True); done.set_result(None)
async def main():
    global done
    done = asyncio.get_running_loop().create_future()
    t, _ = await asyncio.get_running_loop().create_datagram_endpoint(P, local_addr=('0.0.0.0', 0))
    await asyncio.wait_for(done, 60)
asyncio.run(main())
"""
    expect("peer", answer(got_by(lab, [*PYTHON, "-c", code], "payment", plan.UDP_PEER))["peer"]["ip"], POD4)


@test("programs.node", needs=("node",))
def node(lab):
    code = """
const http = require('http'), dns = require('dns'), dgram = require('dgram'), os = require('os');
http.get('http://payment/node', r => { let t = ''; r.on('data', d => t += d); r.on('end', () => {
  dns.resolve4('payment.shop.svc.cluster.test', (e, a) => {          // c-ares
    dns.lookup('payment', {all: true}, (e2, l) => {                   // getaddrinfo
      const s = dgram.createSocket('udp4'); s.send('x', 8080, '10.0.20.5');
      s.on('message', m => { s.close();
        const c = require('net').connect(81, 'payment'); c.on('error', e3 => {
          console.log(JSON.stringify({http: JSON.parse(t), resolve: a, lookup: l.map(x => x.address), udp: JSON.parse(m), refused: e3.code || e3.errors.map(x => x.code)[0], host: os.hostname()})); }); });
    }); }); }); }).on('error', e => console.log('error', e));
"""
    out = answer(got_by(lab, ["node", "-e", code], "payment", plan.HTTP))
    expect("path", out["http"]["path"], "/node")
    expect("resolve4", out["resolve"], ["10.0.20.5"])
    expect("lookup", sorted(out["lookup"]), ["10.0.20.5", "fd00:20::5"])
    expect("udp peer", out["udp"]["peer"]["ip"], POD4)
    expect("refused", out["refused"], "ECONNREFUSED")
    expect("host name", out["host"], plan.POD_HOSTNAME)


@test("programs.node_server", needs=("node",))
def node_server(lab):
    """A server of the program's own, asked by itself over localhost."""
    code = """
const http = require('http');
const s = http.createServer((q, r) => r.end(q.socket.remoteAddress)).listen(3000, () =>
  fetch('http://localhost:3000/').then(r => r.text()).then(t => { console.log(t); s.close(); process.exit(0); }));
"""
    done = lab.mirrord(["node", "-e", code])
    expect("own address", done.out.strip(), lambda t: t in ("::1", "127.0.0.1", "::ffff:127.0.0.1"), str(done) + lab.log())


JAVA = """
import java.net.*; import java.net.http.*; import java.nio.charset.StandardCharsets;
public class Get { public static void main(String[] a) throws Exception {
  var body = HttpClient.newHttpClient().send(HttpRequest.newBuilder(URI.create("http://payment/java")).build(), HttpResponse.BodyHandlers.ofString()).body();
  String refused; try { new Socket("payment", 81); refused = "connected"; } catch (ConnectException e) { refused = e.getMessage(); }
  var s = new DatagramSocket(); s.setSoTimeout(60000);
  s.send(new DatagramPacket("x".getBytes(), 1, InetAddress.getByName("10.0.20.5"), 8080));
  var p = new DatagramPacket(new byte[500], 500); s.receive(p);
  var c = new Socket("10.0.20.5", 8080); String local = c.getLocalAddress().getHostAddress();
  System.out.println("{\\"http\\":" + body.trim() + ",\\"refused\\":\\"" + refused + "\\",\\"udp\\":" + new String(p.getData(), 0, p.getLength(), StandardCharsets.UTF_8)
    + ",\\"local\\":\\"" + local + "\\",\\"host\\":\\"" + InetAddress.getLocalHost().getHostName() + "\\"}");
} }
"""


@test("programs.java", needs=("java",))
def java(lab):
    path = "/tmp/lab/home/Get.java"
    with open(path, "w") as f:
        f.write(JAVA)
    try:
        out = answer(got_by(lab, ["java", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.io.tmpdir=/tmp/lab/home", path], "payment", plan.HTTP))
    finally:
        os.unlink(path)
    expect("path", out["http"]["path"], "/java")
    expect("refused", out["refused"], "Connection refused")
    expect("udp peer", out["udp"]["peer"]["ip"], POD4)
    expect("local address", out["local"], POD4)
    expect("host name", out["host"], plan.POD_HOSTNAME)


@test("programs.go", needs=("go-resolve",))
def go(lab):
    out = got_by(lab, ["/tmp/lab/bin/go-resolve", "get", "http://payment/go"], "payment", plan.HTTP)
    expect("path", answer(out)["path"], "/go")
    with clients_of(lab, (4, "udp dport 53")) as clients:
        done = lab.mirrord(["/tmp/lab/bin/go-resolve", "srv", "http", "tcp", "payment.shop.svc.cluster.test"])
        expect("SRV", sorted(done.out.splitlines())[:1], ["payment.shop.svc.cluster.test. 8080 10 20"], str(done) + lab.log())
        expect("who asked for it", clients(), {POD4}, lab.log())


@test("programs.musl", needs=("musl-resolve",))
def musl(lab):
    out = got_by(lab, ["/tmp/lab/bin/musl-resolve", "payment", str(plan.PEER)], "payment", plan.PEER)
    expect("peer", answer(out)["peer"]["ip"], lambda ip: ip in (POD4, POD6))


@test("programs.openssl", needs=("openssl",))
def openssl(lab):
    """TLS between openssl and openssl; the server's kernel says who is connected."""
    with Services(lab) as services:
        services.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=payment",
                      "-addext", "subjectAltName=DNS:payment", "-keyout", f"{HOME}/key", "-out", f"{HOME}/cert"])
        services.start(["openssl", "s_server", "-accept", "10.0.20.5:8443", "-key", f"{HOME}/key", "-cert", f"{HOME}/cert", "-rev", "-quiet"], 8443)
        import subprocess
        p = lab.start_mirrord(["openssl", "s_client", "-connect", "payment:8443", "-4", "-CAfile", f"{HOME}/cert", "-verify_return_error", "-verify_hostname",
                               "payment", "-quiet"], stdin=subprocess.PIPE)
        p.stdin.write("forwards\n")
        p.stdin.flush()
        line = p.stdout.readline()
        peers = services.sockets("-Htn", "sport", "=", ":8443")
        p.terminate()
        error = p.communicate(timeout=PROMPT)[1]
        expect("answer", line, "sdrawrof\n", error + lab.log())
        expect_in("the server's connections", peers, POD4)


@contextlib.contextmanager
def clients_of(lab, *packets):
    """In the block packets of these kinds are looked at where they arrive, at the services; gives a function that says whom they came from."""
    services = lab.cluster.services
    rules = "".join(f"{match} add @from{n} {{ {'ip6' if n == 6 else 'ip'} saddr }}\n" for n, match in packets)
    services.run(["nft", "-f", "-"], "table inet clients { set from4 { type ipv4_addr; flags dynamic; }\n set from6 { type ipv6_addr; flags dynamic; }\n"
                 f"chain in {{ type filter hook input priority 10;\n{rules}}}\n}}\n")
    try:
        yield lambda: set(re.findall(r"[0-9a-f:.]+[0-9a-f]", " ".join(re.findall(r"elements = {(.*?)}", services.run(["nft", "list", "table", "inet", "clients"]), re.S))))
    finally:
        services.run(["nft", "delete", "table", "inet", "clients"])


@test("programs.ping", needs=("ping",))
def ping(lab):
    with clients_of(lab, (4, "icmp type echo-request"), (6, "icmpv6 type echo-request")) as clients:
        for words in (["10.0.20.5"], ["fd00:20::5"], ["payment"]):
            done = lab.mirrord(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "60", *words])
            expect_in(f"ping {words}", done.out, "2 received", str(done) + lab.log())
        expect("who was seen", clients(), {POD4, POD6}, lab.log())


@test("programs.dig", needs=("dig",))
def dig(lab):
    for way in ("+notcp", "+tcp"):
        with clients_of(lab, (4, ("udp" if way == "+notcp" else "tcp") + " dport 53")) as clients:
            done = lab.mirrord(["dig", "+short", "+search", way, "payment"])
            expect("address", done.out.split(), ["10.0.20.5"], str(done) + lab.log())
            done = lab.mirrord(["dig", "+short", way, "_http._tcp.payment.shop.svc.cluster.test", "SRV"])
            expect("SRV", sorted(done.out.splitlines()), ["10 20 8080 payment.shop.svc.cluster.test.", "20 30 8081 stranger.shop.svc.cluster.test."], str(done))
            expect("who was seen", clients(), {POD4}, lab.log())
