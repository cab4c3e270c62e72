# SPDX-License-Identifier: MIT
"""How the cluster is reached and as whom: all that a kubeconfig can say, and what is told when it is wrong."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import subprocess
import termios
import threading
import time

from labkit.registry import PROMPT, expect, expect_in, test

from .permissions import config
from .targets import ASK


def certificate(kit, name="admin"):
    return {"client-certificate": kit.cluster.authority.path(f"{name}.crt"), "client-key": kit.cluster.authority.path(f"{name}.key")}


def works(kit, kubeconfig, what, options=(), **variables):
    done = kit.mirrord(ASK, "pod/client", options, env=kit.environment(kubeconfig, **variables))
    expect(f"{what}: status", done.status, 0, f"{done}\n{kit.session_log()}")
    expect(what, json.loads(done.out)["peer"], kit.pod_address("client"))


def fails(kit, kubeconfig, what, *words, options=(), **variables):
    done = kit.mirrord(ASK, "pod/client", options, env=kit.environment(kubeconfig, **variables))
    expect(f"{what}: status", done.status, 1, str(done))
    for word in words:
        expect_in(what, done.err, word)


def token(kit):
    """Of an account that may do everything."""
    kit.kubectl("-n", "kube-system", "create", "serviceaccount", "root")
    kit.kubectl("create", "clusterrolebinding", "root", "--clusterrole=cluster-admin", "--serviceaccount=kube-system:root")
    return kit.kubectl("-n", "kube-system", "create", "token", "root").strip()


def drop_token(kit):
    kit.kubectl("-n", "kube-system", "delete", "serviceaccount", "root")
    kit.kubectl("delete", "clusterrolebinding", "root")


def plugin(kit, script, version="v1", **more):
    return {"exec": {"apiVersion": f"client.authentication.k8s.io/{version}", "command": "sh", "args": ["-c", script], "interactiveMode": "Never",
                     "installHint": "install the shell", **more}}


def printing(version, status):
    answer = {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "status": status}
    return f"echo x >>runs; printf '%s' '{json.dumps(answer)}'"


@test("connect.tokens")
def tokens(kit):
    """Inline, in a file, from a plugin of either version."""
    try:
        secret = token(kit)
        path = f"{kit.cluster.state}/token"
        with open(path, "w") as f:
            f.write(secret + "\n")
        works(kit, config(kit, {"token": secret}), "token")
        works(kit, config(kit, {"tokenFile": path}), "tokenFile")
        for version in ("v1", "v1beta1"):
            works(kit, config(kit, plugin(kit, printing(version, {"token": secret}), version)), f"plugin, {version}")
        fails(kit, config(kit, {"token": "wrong"}), "a wrong token", "Unauthorized", "log in again")
        fails(kit, config(kit, plugin(kit, "echo sorry >&2; exit 1")), "a plugin that fails", "sorry", "credential plugin sh: it ended with status 1",
              "install the shell")
    finally:
        drop_token(kit)


@test("connect.renewed")
def renewed(kit):
    """A plugin's token is used until it expires, and renewed while the program runs; one that the server doesn't take is renewed at once."""
    runs = f"{kit.cluster.state}/runs"
    try:
        secret = token(kit)
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        works(kit, config(kit, plugin(kit, f"cd {kit.cluster.state}; " + printing("v1", {"token": secret, "expirationTimestamp": later}))), "one that holds")
        expect("runs of the plugin", open(runs).read().count("x"), 1)
        os.unlink(runs)
        soon = "$(date -u -d @$(($(date +%s) + 12)) +%Y-%m-%dT%H:%M:%SZ)"
        script = printing("v1", {"token": secret, "expirationTimestamp": "SOON"}).replace("SOON", f"'{soon}'")
        done = kit.mirrord(["sleep", "4"], "pod/client", kubeconfig=config(kit, plugin(kit, f"cd {kit.cluster.state}; {script}")))
        expect("status", done.status, 0, f"{done}\n{kit.session_log()}")
        kit.wait_for("another run of the plugin", lambda: open(runs).read().count("x") >= 2)
        os.unlink(runs)
        script = (f"cd {kit.cluster.state}; test -e runs && t={secret} || t=old; echo x >>runs; "
                  'printf \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}\' $t')
        works(kit, config(kit, plugin(kit, script)), "one that is refused first")
    finally:
        drop_token(kit)
        if os.path.exists(runs):
            os.unlink(runs)


def at_a_terminal(kit, argv, kubeconfig, typed):
    """What a program shows to somebody at a terminal, who types @typed when it asks for that, until it is over."""
    screen, tty = pty.openpty()
    p = subprocess.Popen(argv, stdin=tty, stdout=tty, stderr=tty, env=kit.environment(kubeconfig, MIRRORD_LOG=""), cwd=kit.cluster.state,
                         start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(tty)
    shown, until = "", time.monotonic() + 2 * PROMPT
    try:
        while select.select([screen], [], [], max(0, until - time.monotonic()))[0]:
            try:
                shown += os.read(screen, 65536).decode(errors="replace")
            except OSError:  # nobody has it any more
                break
            if typed and shown.endswith("code: "):
                os.write(screen, f"{typed}\n".encode())
                typed = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        os.close(screen)
    return shown


@test("connect.interactive", timeout=120)
def interactive(kit):
    """A plugin may ask who sits at the terminal, by its input or by /dev/tty, and asks once; where there is nobody, it is said."""
    runs = f"{kit.cluster.state}/runs"
    try:
        secret = token(kit)
        for source in ("/dev/stdin", "/dev/tty"):
            script = f"cd {kit.cluster.state}; printf 'code: ' >&2; read -r code <{source}; test $code = 4711 || exit 3; " + printing("v1", {"token": secret})
            kubeconfig = config(kit, plugin(kit, script, interactiveMode="Always"))
            for argv in (kit.command(ASK, "pod/client"), [kit.program, "diagnose", "-t", "pod/client"]):
                shown = at_a_terminal(kit, argv, kubeconfig, "4711")
                wanted = f'"peer": "{kit.pod_address("client")}"' if "exec" in argv else "a round trip through the tunnel"
                expect_in(f"{source}, {argv[1]}", shown, wanted)
                expect("runs of the plugin", open(runs).read().count("x"), 1)
                os.unlink(runs)
            expect_in("a wrong code", at_a_terminal(kit, kit.command(ASK, "pod/client"), kubeconfig, "0"), "credential plugin sh: it ended with status 3")
        fails(kit, kubeconfig, "nobody to ask", "credential plugin sh wants a terminal")
    finally:
        drop_token(kit)
        if os.path.exists(runs):
            os.unlink(runs)


@test("connect.tls")
def tls(kit):
    """Names, authorities, certificates: good ones, and what is wrong with others."""
    me = certificate(kit)
    works(kit, config(kit, me, **{"tls-server-name": "kubernetes"}), "tls-server-name")
    works(kit, config(kit, me, **{"certificate-authority": "", "insecure-skip-tls-verify": True}), "insecure")
    wrong = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=other", "-keyout",
                            f"{kit.cluster.state}/other.key", "-out", f"{kit.cluster.state}/other.crt"], capture_output=True)
    expect("openssl", wrong.returncode, 0)
    other = config(kit, me, **{"certificate-authority": f"{kit.cluster.state}/other.crt"})
    works(kit, other, "--accept-invalid-certificates", ("-c",))
    fails(kit, other, "another authority", "certificate", "the server's certificate does not suit context dev of")
    fails(kit, config(kit, me, **{"tls-server-name": "shop.example"}), "another name", "shop.example", "the server's certificate does not suit")
    fails(kit, config(kit, me, **{"certificate-authority": "/none.crt"}), "no authority", "read certificate-authority /none.crt: No such file")
    fails(kit, config(kit, {"client-certificate": f"{kit.cluster.state}/other.crt", "client-key": f"{kit.cluster.state}/other.key"}),
          "somebody else's certificate", "Unauthorized")
    fails(kit, config(kit, {**me, "client-key": f"{kit.cluster.state}/other.key"}), "another key", "check certificate and key")
    old = f"{kit.cluster.state}/old"
    a = kit.cluster.authority
    made = subprocess.run(["sh", "-ec", "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /O=system:masters/CN=old -keyout $1.key -out $1.csr; "
                           "openssl x509 -req -in $1.csr -CA $2 -CAkey $3 -CAcreateserial -days 0 -out $1.crt", "sh", old, a.path("ca.crt"), a.path("ca.key")],
                          capture_output=True, text=True)
    expect("an old certificate", made.returncode, 0, made.stderr)
    time.sleep(1.1)
    fails(kit, config(kit, {"client-certificate": f"{old}.crt", "client-key": f"{old}.key"}), "an old certificate", "Unauthorized", "have expired")


@test("connect.impersonation")
def impersonation(kit):
    fails(kit, config(kit, {**certificate(kit), "as": "her", "as-groups": ["sales"]}), "another user", 'User "her" cannot get resource "pods"')
    works(kit, config(kit, {**certificate(kit), "as": "her", "as-groups": ["system:masters"]}), "another user's group")


class Proxy(threading.Thread):
    """HTTP CONNECT, which notes who was asked for."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked = []
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        place = head.split()[1].decode()
        self.asked.append(place)
        host, port = place.rsplit(":", 1)
        server = socket.create_connection((host.strip("[]"), int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        def pump(a, b):
            with contextlib.suppress(OSError):
                while d := a.recv(65536):
                    b.sendall(d)
                b.shutdown(socket.SHUT_WR)
        threading.Thread(target=pump, args=(server, client), daemon=True).start()
        pump(client, server)


@test("connect.proxy")
def proxy(kit):
    """proxy-url and HTTPS_PROXY carry requests and the tunnel; NO_PROXY and use_proxy keep them away."""
    p = Proxy()
    api = kit.cluster.url.removeprefix("https://")
    try:
        works(kit, config(kit, certificate(kit), **{"proxy-url": p.url}), "proxy-url")
        expect("asked for", set(p.asked), {api})
        expect("connections: requests, exec", len(p.asked), lambda n: n >= 2)
        for variables, used in (({"HTTPS_PROXY": p.url}, True), ({"https_proxy": p.url}, True), ({"HTTPS_PROXY": p.url, "NO_PROXY": "172.16.0.0/12"}, False),
                                ({"HTTPS_PROXY": p.url, "MIRRORD_PROXY": "false"}, False)):
            p.asked.clear()
            works(kit, config(kit, certificate(kit)), str(variables), **variables)
            expect(f"{variables}: used", bool(p.asked), used)
        fails(kit, config(kit, certificate(kit), **{"proxy-url": "http://127.0.0.1:1"}), "a proxy that isn't there", "127.0.0.1 port 1")
    finally:
        p.listener.close()


@test("connect.not_there")
def not_there(kit):
    me = certificate(kit)
    fails(kit, config(kit, me, server="https://127.0.0.1:1"), "nobody listens", "ask the cluster at https://127.0.0.1:1: ", "--context names another")
    fails(kit, config(kit, me, server="https://cluster.invalid"), "no such host", "cluster.invalid", "is it running")
    fails(kit, config(kit, me), "no such context", 'has no context called "prod"', "there are: dev", options=("--context", "prod"))
    fails(kit, "/none", "no file", "there is no kubeconfig: /none")


@test("connect.relative")
def relative(kit):
    """A kubeconfig by a relative path, from the configuration and from KUBECONFIG."""
    name = os.path.basename(config(kit, certificate(kit)))
    works(kit, name, "KUBECONFIG")
    works(kit, "/none", "MIRRORD_KUBECONFIG", MIRRORD_KUBECONFIG=name)


@test("connect.in_a_pod")
def in_a_pod(kit):
    """Without a kubeconfig, by the service account that is mounted into every pod."""
    try:
        mounted = f"{kit.cluster.state}/account"
        os.makedirs(mounted, exist_ok=True)
        for name, text in (("token", token(kit)), ("ca.crt", open(kit.cluster.authority.path("ca.crt")).read()), ("namespace", "default")):
            with open(f"{mounted}/{name}", "w") as f:
                f.write(text)
        script = ("mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io && ln -s $0 /run/secrets/kubernetes.io/serviceaccount && "
                  'exec "$@"')
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, mounted, *kit.command(ASK, "pod/client")], capture_output=True, text=True, timeout=40,
                              env={"PATH": os.environ["PATH"], "HOME": "/none", "KUBERNETES_SERVICE_HOST": kit.cluster.address,
                                   "KUBERNETES_SERVICE_PORT": "6443"}, cwd=kit.cluster.state)
        expect("status", done.returncode, 0, done.stderr)
        expect("peer", json.loads(done.stdout)["peer"], kit.pod_address("client"))
    finally:
        drop_token(kit)
