# SPDX-License-Identifier: MIT
"""What `mirrord diagnose` and the way to a cluster do without one (tests/kube has the rest)."""

import json
import os
import shutil

from labkit.lab import MIRRORD
from labkit.registry import Skip, expect, expect_in, test


def run(lab, *options, **more):
    return lab.run([MIRRORD, "diagnose", *options], env={**lab.quiet_environment(), "KUBECONFIG": "/none", **more})


@test("diagnose.local_target")
def local_target(lab):
    """This machine's part and the target's; nothing of the cluster's."""
    done = run(lab, "-t", lab.target)
    expect("status", done.status, 0, str(done))
    for line in ("ok      this machine can make a network for a program: Linux ", "ok      the agent answers after ", "ok      a round trip through the tunnel"):
        expect_in("a line", done.out, line, str(done))
    expect("lines", len(done.out.splitlines()), 3, str(done))


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
