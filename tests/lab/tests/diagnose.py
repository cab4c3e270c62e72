# SPDX-License-Identifier: MIT
"""What `mirrord diagnose` and the way to a cluster do without one (tests/kube has the rest)."""

import json
import os
import shutil

from labkit.lab import MIRRORD, PYTHON
from labkit.registry import Skip, expect, expect_in, test


def run(lab, *options, **more):
    return lab.run([MIRRORD, "diagnose", *options], env={**lab.quiet_environment(), "KUBECONFIG": "/none", **more})


@test("diagnose.local_target")
def local_target(lab):
    """This machine's part and the target's; nothing of the cluster's."""
    done = run(lab, "-t", lab.target)
    expect("status", done.status, 0, str(done))
    for line in ("ok      this machine can make a network for a program: Linux ", "ok      the agent answers after ",
                 "ok      the target's kernel is Linux ", "ok      stealing: NET_ADMIN", "ok      mirroring",
                 "ok      a round trip through the tunnel"):
        expect_in("a line", done.out, line, str(done))
    expect("lines", len(done.out.splitlines()), 6, str(done))


@test("diagnose.what_is_missing")
def missing(lab):
    """Each with its advice: no target, no cluster, no namespaces."""
    done = run(lab, "-t", "pid/999999")
    expect("status", done.status, 1, str(done))
    expect_in("the target", done.out, "missing target pid/999999", str(done))
    done = run(lab)
    expect("status", done.status, 1, str(done))
    expect_in("the cluster", done.out, "missing there is no kubeconfig: /none", str(done))
    if lab.mode == "user":
        limit = ["/bin/sh", "-c", f"exec unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; exec {MIRRORD} diagnose'"]
        done = lab.run(limit, env={**lab.quiet_environment(), "KUBECONFIG": "/none"})
        expect_in("network namespaces", done.out, "missing make a network namespace", str(done))


@test("diagnose.kubeconfig_under_sudo", modes=("root",))
def under_sudo(lab):
    """It is the invoking user's, and so is the credential plugin; without one, root's own."""
    if not lab.sandbox.real_root:
        raise Skip("needs more than one user")
    env = {**lab.quiet_environment(), "SUDO_UID": "1000", "SUDO_GID": "1000", "SUDO_USER": "labuser", "HOME": "/tmp/lab/root"}
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "echo $(id -u) $HOME >&2; exit 3"], "interactiveMode": "Never"}
    config = {"current-context": "near", "clusters": [{"name": "near", "cluster": {"server": "https://127.0.0.1:1"}}],
              "users": [{"name": "dev", "user": {"exec": plugin}}], "contexts": [{"name": "near", "context": {"cluster": "near", "user": "dev"}}]}
    homes = ("/tmp/lab/home", "/tmp/lab/root")
    try:
        for home in homes:
            os.makedirs(home + "/.kube")
            with open(home + "/.kube/config", "w") as f:
                json.dump(config, f)
        done = lab.run([MIRRORD, "ls"], env=env)
        expect_in("the plugin's user", done.err, "1000 /tmp/lab/home\n", str(done))
        shutil.rmtree(homes[0] + "/.kube")
        done = lab.run([MIRRORD, "ls"], env={**env, "SUDO_UID": "1000"})
        expect_in("root's", done.err, "1000 /tmp/lab/home\n", str(done))
        done = lab.run([MIRRORD, "ls"], env={k: v for k, v in env.items() if not k.startswith("SUDO")})
        expect_in("without sudo", done.err, "0 /tmp/lab/root\n", str(done))
    finally:
        for home in homes:
            shutil.rmtree(home + "/.kube", ignore_errors=True)
        os.rmdir(homes[1])


BUSY_SERVER = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked", flush=True)
        self.send_response(503); self.send_header("Retry-After", "0"); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
"""


@test("diagnose.retries")
def retries(lab):
    """startup_retry: so often a request that failed is made again."""
    server = lab.start([*PYTHON, "-c", BUSY_SERVER])
    port = server.stdout.readline().strip()
    paths = ("/tmp/lab/home/busy.conf", "/tmp/lab/home/retry.json")
    try:
        with open(paths[0], "w") as f:
            json.dump({"current-context": "busy", "clusters": [{"name": "busy", "cluster": {"server": f"http://127.0.0.1:{port}"}}], "users": [],
                       "contexts": [{"name": "busy", "context": {"cluster": "busy"}}]}, f)
        for times in (0, 2):
            with open(paths[1], "w") as f:
                json.dump({"startup_retry": {"min_ms": 1, "max_retries": times}}, f)
            done = lab.run([MIRRORD, "ls", "-t", "pod", "-f", paths[1]], env={**lab.quiet_environment(), "KUBECONFIG": paths[0]})
            expect("status", done.status, 1, str(done))
            for _ in range(times + 1):
                expect("a request", server.stdout.readline(), "asked\n", str(done))
    finally:
        server.kill()
        rest, _ = server.communicate()
        for path in paths:
            os.unlink(path)
    expect("more requests than that", rest, "")
