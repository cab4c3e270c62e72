# SPDX-License-Identifier: MIT
"""Naming a target: processes and network namespaces, those that are not there, and those that only root may enter."""

import contextlib
import os
import shutil
import signal

from labkit import linux, plan
from labkit.lab import PYTHON
from labkit.registry import expect, expect_in, test

# What a connection's address is, and what the resolver's files say
LOOK = [*PYTHON, "-c", "import socket; s = socket.create_connection(('%s', %d)); print(s.getsockname()[0]); print(s.recv(99).decode().strip())\n"
        "print(open('/etc/resolv.conf').read(), open('/etc/hosts').read())" % (plan.HOSTS["payment"][0], plan.HELLO)]
OUTSIDE = [*PYTHON, "-c", "import socket; print(socket.create_connection(('%s', %d)).getsockname()[0])" % (plan.HOSTS["outside"][0], plan.PEER)]


@contextlib.contextmanager
def named(lab, name, pid):
    """The network namespace of process @pid gets a name, as `ip netns attach` gives it."""
    path = "/run/netns/" + name
    with open(path, "x"):
        pass
    linux.mount(f"/proc/{pid}/ns/net", path, None, linux.MS_BIND)
    try:
        yield path
    finally:
        linux.umount(path)
        os.unlink(path)


@contextlib.contextmanager
def process(lab, where=None):
    """A process of the product's user's."""
    p = lab.start(["sleep", "1000"], where)
    try:
        yield p
    finally:
        p.kill()
        p.communicate()


def roots_network():
    """preexec_fn: a network namespace of the host's root."""
    linux.keep_capabilities_over_exec()
    linux.unshare(linux.NEWNET)


def expect_refused(lab, target, *parts):
    done = lab.mirrord(["echo", "ran"], target)
    expect(f"{target}: status and stdout", (done.status, done.out), (1, ""), str(done))
    for part in parts:
        expect_in(f"{target}: message", done.err, part)
    expect(f"{target}: lines of the message", len(done.err.strip().splitlines()), lambda n: n <= 2, done.err)


@test("target.netns")
def netns(lab):
    """A name; the resolver's files are the machine's but for those in /etc/netns/NAME."""
    directory = "/etc/netns/lab-shop"
    os.makedirs(directory)
    try:
        with open(directory + "/resolv.conf", "w") as f:
            f.write("nameserver 10.96.0.10\nsearch of-the-name\n")
        with named(lab, "lab-shop", lab.cluster.pod.pid):
            done = lab.mirrord(LOOK, "netns/lab-shop")
        expect("status", done.status, 0, str(done))
        expect("source address", done.out.splitlines()[0], plan.HOSTS["pod"][0], str(done))
        expect_in("resolv.conf", done.out, "search of-the-name")
        expect_in("hosts", done.out, "from-the-hosts-own-file")
    finally:
        shutil.rmtree(directory)


@test("target.own_network")
def own_network(lab):
    """A process of one's own on the host's network needs no right."""
    with process(lab) as p:
        done = lab.mirrord(OUTSIDE, f"pid/{p.pid}")
    expect("status and source address", (done.status, done.out), (0, plan.HOSTS["host"][0] + "\n"), str(done))


@test("target.needs_root", modes=("user",))
def needs_root(lab):
    with process(lab, roots_network) as p, named(lab, "roots", p.pid):
        expect_refused(lab, "netns/roots", "Operation not permitted", "sudo mirrord exec -t netns/roots -- ")
        if lab.sandbox.real_root:
            expect_refused(lab, f"pid/{p.pid}", "belongs to user root (uid 0)", f"sudo mirrord exec -t pid/{p.pid} -- ")


@test("target.not_there")
def not_there(lab):
    with process(lab) as p:
        gone = p.pid
    expect_refused(lab, f"pid/{gone}", f"there is no process {gone}")
    with process(lab) as p:
        os.kill(p.pid, signal.SIGKILL)
        lab.wait_for("a zombie", lambda: linux.process_state(p.pid) == "Z")
        expect_refused(lab, f"pid/{p.pid}", "has ended")
    expect_refused(lab, "pid/x", '"x" is not a process id')
    with named(lab, "shop", lab.cluster.pod.pid):
        expect_refused(lab, "netns/shpo", 'no network namespace called "shpo"', "there are: shop")
    expect_refused(lab, "netns/shpo", 'no network namespace called "shpo"', "there are none")
    expect_refused(lab, "podmna/shop", 'no kind of target called "podmna"', "did you mean podman/shop?")
    expect_refused(lab, "pod/shop", "there is no kubeconfig", "KUBECONFIG")
    expect_refused(lab, "shop", "a target is a kind, a slash and a name")
    expect_refused(lab, "docker/shop", "docker does not answer", "systemctl")
