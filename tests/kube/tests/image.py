# SPDX-License-Identifier: MIT
"""The agent's image."""

import hashlib
import os
import subprocess

from labkit.registry import expect, test

from kubekit.cluster import HERE

MOST = 15 << 20
ROOT = os.path.join(HERE, "..", "..")


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


@test("image.same_bytes")
def same_bytes(kit):
    """Packed again, at another time and with another umask, it is the same to the byte."""
    again = f"{kit.cluster.state}/again.tar"
    subprocess.run(["sh", "-c", 'umask 027; exec "$@"', "sh", f"{ROOT}/packaging/image", os.path.dirname(kit.image), again],
                   check=True, stdout=subprocess.DEVNULL, env=os.environ | {"TZ": "Pacific/Chatham"})
    expect("sha256", sha256(again), sha256(kit.image))
    expect("size", os.path.getsize(again), lambda n: 0 < n <= MOST)


@test("image.nothing_else")
def nothing_else(kit):
    """The program and libraries; no shell."""
    listing = subprocess.run(["sh", "-c", 'tar -xOf "$1" manifest.json | grep -o "blobs[^\\"]*" | tail -n 1 | xargs tar -xOf "$1" | tar -t', "sh", kit.image],
                             check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    files = [f for f in listing if not f.endswith("/") and f not in ("./bin", "./lib", "./lib64")]
    expect("files", files, lambda all_: all(f == "./usr/bin/mirrord-agent" or ".so" in f for f in all_))


@test("image.runs")
def runs(kit):
    """In a pod without any privilege, whose root is read-only: the agent starts (and says how it is to be called)."""
    version = kit.version()
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "image", "namespace": "guarded"}, "spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "main", "image": f"localhost/mirrord-agent:{version}", "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}}]}}
    kit.cluster.apply(pod)
    try:
        kit.wait_condition("jsonpath={.status.phase}=Failed", "pod/image", namespace="guarded")
        kit.wait_for("how it is to be called", lambda: "usage: mirrord-agent" in kit.kubectl("-n", "guarded", "logs", "image"))
    finally:
        kit.kubectl("-n", "guarded", "delete", "pod", "image", "--now")
