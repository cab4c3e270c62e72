# SPDX-License-Identifier: MIT
"""mirrord diagnose, as far as it needs no cluster (tests/kube has the rest)."""

from labkit.lab import MIRRORD
from labkit.registry import expect, expect_in, test


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
