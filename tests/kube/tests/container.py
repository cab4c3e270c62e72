# SPDX-License-Identifier: MIT
"""mirrord container with a target in the cluster: a real podman's container, of busybox alone, is the pod's neighbour, and follows it."""

import contextlib
import os
import shutil
import subprocess

from labkit.registry import PROMPT, expect, expect_in, test

from .follow import deployed
from .incoming import ends
from .replicas import answers
from .targets import beside, objects

# In a mount namespace of its own: crun refuses a mix of cgroup versions, as some machines have, and podman keeps locks in /dev/shm.
PRIVATE = 'mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup && mount -t tmpfs tmpfs /dev/shm && exec "$@"'
LOOK = "busybox hostname; busybox cat /etc/resolv.conf; echo $WHO; busybox wget -qO- http://web/; exit 7"
SERVE = ("printf 'HTTP/1.0 200 OK\\r\\n\\r\\n{\"pod\": \"local\"}' >/tmp/answer; trap 'kill $!; exit' TERM; "
         "while :; do busybox nc -l -p 8080 </tmp/answer >/dev/null & wait $!; done")


@contextlib.contextmanager
def podman(kit):
    """Its command up to the container's own; all that it keeps goes afterwards."""
    home = f"{kit.cluster.state}/podman"
    root = f"{home}/rootfs"
    for directory in ("run", *(f"rootfs/{d}" for d in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"))):
        os.makedirs(f"{home}/{directory}")
    shutil.copy(shutil.which("busybox"), f"{root}/bin/busybox")
    os.symlink("busybox", f"{root}/bin/sh")
    yield ["podman", "--root", f"{home}/storage", "--runroot", f"{home}/runroot", "--tmpdir", f"{home}/tmp", "--storage-driver", "vfs", "--cgroup-manager",
           "cgroupfs", "--events-backend", "none", "run", "--rm", "--cgroups", "disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096",
           "--rootfs", root, "/bin/sh", "-c"]
    shutil.rmtree(home, ignore_errors=True)


def start(kit, target, options, words):
    command = ["unshare", "-m", "sh", "-c", PRIVATE, "sh", kit.program, "container", "-t", target, "--log-file", kit.log, *options, "--", *words]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                            env=kit.environment(), cwd=kit.cluster.state)


@test("container.network", timeout=180)
def network(kit):
    """Host name, names, variables and address are the pod's; the exit status is the container's."""
    with podman(kit) as words, objects(kit, beside("two")):
        kit.wait_ready("pod/two")
        for options in ((), ("-e",)):
            p = start(kit, "pod/two", options, [*words, LOOK])
            out, err = p.communicate(timeout=2 * PROMPT)
            expect(f"{options}: status", p.returncode, 7, f"{out}\n{err}\n{kit.session_log()}")
            lines = out.splitlines()
            expect("host name", lines[0], "two", out)
            expect_in("resolv.conf", out, kit.service_address("kube-dns", "kube-system"))
            expect_in("variable", lines, "the app")
            expect_in("whom the service saw", lines[-1], f'"peer": "{kit.pod_address("two")}"')


@test("container.follows", timeout=240)
def follows(kit):
    """What it listens on is stolen, before and after a rollout, and given back."""
    def local():
        asked = answers(kit)
        return len(asked) == 1 and all(a.get("pod") == "local" for a in asked.values())

    with podman(kit) as words, deployed(kit, 1):
        p = start(kit, "deployment/shop", ("--steal",), [*words, SERVE])
        try:
            kit.wait_for("an answer of the container's", lambda: local() or p.poll() is not None)
            before = set(answers(kit))
            kit.kubectl("rollout", "restart", "deployment/shop")
            kit.wait_for("one at another pod", lambda: (not before & set(answers(kit)) and local()) or p.poll() is not None)
            expect("the container", p.poll(), None, kit.session_log())
        finally:
            ends(p)
        kit.wait_for("the pod's own answers", lambda: all(a.get("pod") == name for name, a in answers(kit).items()))
