# SPDX-License-Identifier: MIT
"""Of what comes to a pod, what isn't plain HTTP over TCP: HTTPS that is filtered with the pod's own key, and datagrams."""

import json

from labkit.registry import expect, test

from kubekit.cluster import bracketed

from .agent import WAYS
from .incoming import ends
from .targets import objects, pod

HTTPS = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=secure -addext subjectAltName=DNS:secure.test \
    -keyout /tmp/key -out /tmp/cert 2>/dev/null
exec python3 -c "$0" real 8443 /tmp/cert /tmp/key
"""
# NAME PORT [CERTIFICATE KEY]: says who it is and whom it sees.
SERVER = """
import http.server, socket, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{sys.argv[1]} {self.client_address[0].removeprefix('::ffff:')}\\n".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer.address_family = socket.AF_INET6
s = http.server.ThreadingHTTPServer(("", int(sys.argv[2])), Handler)
if sys.argv[3:]:
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(*sys.argv[3:5]); s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()
"""
# NAME PORT: answers each datagram by whom it came from.
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("", int(sys.argv[2])))
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(f"{sys.argv[1]} {len(data)} {peer[0].removeprefix('::ffff:')}".encode(), peer)
"""
# ADDRESS PORT LENGTH: what is answered.
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], int(sys.argv[2]))); s.settimeout(1)
for _ in range(20):
    s.send(bytes(int(sys.argv[3])))
    try: print(s.recv(65536).decode()); break
    except (TimeoutError, ConnectionRefusedError): pass
"""


def serving(name, *command, **more):
    """A pod of that name that runs the command."""
    spec = pod(name)
    spec["containers"][0].update(command=[*command], **more)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


@test("incoming.https", timeout=120)
def https(kit):
    """The key is read where the pod has it. Of requests inside TLS those that match are answered here, in the clear; all others there."""
    config = f"{kit.cluster.state}/https.json"
    pair = {"certPem": "/tmp/cert", "keyPem": "/tmp/key"}
    with open(config, "w") as f:
        json.dump({"feature": {"network": {"incoming": {
            "mode": "steal", "http_filter": {"header_filter": "^x-user: alice$"},
            "steal_tls": [{"port": 8443, "agentAsServer": {"authentication": pair}}], "tls_delivery": {"protocol": "tcp"}}}}}, f)
    probe = {"httpGet": {"port": 8443, "path": "/", "scheme": "HTTPS"}, "periodSeconds": 1, "timeoutSeconds": 30}
    with objects(kit, serving("secure", "bash", "-c", HTTPS, SERVER, readinessProbe=probe)):
        kit.wait_ready("pod/secure")
        client, address = kit.pod_address("client"), bracketed(kit.pod_address("secure"))
        kit.in_pod("client", "cat >/tmp/secure.pem <<'END'\n" + kit.in_pod("secure", "cat /tmp/cert") + "\nEND")
        ask = f"curl -sS --max-time 30 --cacert /tmp/secure.pem --resolve secure.test:8443:{address} https://secure.test:8443/"
        for way, options in WAYS.items():
            p = kit.start_mirrord(["python3", "-u", "-c", SERVER, "local", "8443"], "pod/secure", ["-f", config, *options])
            try:
                kit.wait_logged("the port", "port 8443 is stolen", p=p)
                seen = kit.in_pod("client", f"{ask} -H 'X-User: alice'; {ask} -H 'X-User: bob'").splitlines()
                expect(f"{way}: who answers", seen[0], f"local {client}", kit.session_log())
                expect(f"{way}: who answers others", seen[1].split()[0], "real", kit.session_log())
            finally:
                ends(p)
            kit.wait_clean()


@test("incoming.udp", timeout=90)
def udp(kit):
    """Datagrams, small ones and some in fragments, by the pod's address: answered here, from the pod's; afterwards by the pod again."""
    with objects(kit, serving("echo-udp", "python3", "-u", "-c", ECHO, "real", "7053")):
        kit.wait_ready("pod/echo-udp")
        client, address = kit.pod_address("client"), kit.pod_address("echo-udp")

        def answer(length):
            return kit.in_pod("client", f"python3 -c '{ASK}' {address} 7053 {length}").strip()

        expect("before", answer(10), f"real 10 {client}")
        for way, options in WAYS.items():
            p = kit.start_mirrord(["python3", "-u", "-c", ECHO, "local", "7053"], "pod/echo-udp", ["--steal", *options])
            try:
                kit.wait_logged("the port", "UDP port 7053 is stolen", p=p)
                expect(f"{way}: answers", [answer(n) for n in (10, 1400, 9000)], [f"local {n} {client}" for n in (10, 1400, 9000)], kit.session_log())
            finally:
                ends(p)
            kit.wait_clean()
            expect(f"{way}: afterwards", answer(11), f"real 11 {client}")
