# SPDX-License-Identifier: MIT
"""Targets of a container engine: real containers, asked for over the engine's real API."""

import os

from labkit.lab import PYTHON
from labkit.podman import MARK, WEB_PORT, engine
from labkit.registry import expect, expect_in, test

NEEDS = ("podman", "crun", "busybox")
# An ordinary user's lab has one user id: too few for rootless containers, and for a second user in one
RICH = os.geteuid() == 0
MODES = ("root", "user") if RICH else ("root",)
GET = [*PYTHON, "-c", "import socket, urllib.request as r; print(r.urlopen('http://localhost:%d/').read().decode(), end=''); "
       "print(socket.gethostname())" % WEB_PORT]


def expect_container(lab, target, host, env, where):
    done = lab.mirrord(GET, target, env=env)
    expect(f"{where}: status", done.status, 0, str(done))
    expect(f"{where}: what localhost and host name are", done.out, f"{MARK}{host}\n", str(done))


def expect_refused(lab, target, env, *parts):
    done = lab.mirrord(["true"], target, env=env)
    expect(f"{target}: status", done.status, 1, str(done))
    for part in parts:
        expect_in(f"{target}: message", done.err, part)


def environment(lab, p, **more):
    return {**lab.environment(), "XDG_RUNTIME_DIR": p.env["XDG_RUNTIME_DIR"], **more}


@test("engine.podman", modes=MODES, needs=NEEDS)
def podman(lab):
    with engine(lab) as p:
        env = environment(lab, p)
        expect_refused(lab, "podman/shop", env, "podman does not answer on its API socket", "podman.socket")
        p.start("shop", "--hostname", "shop-7d9f4c")
        p.start("stopped")
        p.podman("stop", "--time", "0", "stopped")
        p.serve(p.env["XDG_RUNTIME_DIR"] + "/podman/podman.sock")
        expect_container(lab, "podman/shop", "shop-7d9f4c", env, "by name")
        identity = p.podman("inspect", "--format", "{{.Id}}", "shop").out.strip()
        expect_container(lab, "podman/" + identity[:12], "shop-7d9f4c", env, "by the beginning of the id")
        expect_refused(lab, "podman/shpo", env, 'podman has no container "shpo"', "running are: shop")
        expect_refused(lab, "podman/stopped", env, 'container "stopped" is not running (exited)', "podman start stopped")


@test("engine.podman_other_user", modes=MODES if RICH else (), needs=NEEDS)
def other_user(lab):
    """The container's process is not its root."""
    with engine(lab) as p:
        p.start("shop", "--hostname", "shop-7d9f4c", "--user", "33:33")
        p.serve(p.env["XDG_RUNTIME_DIR"] + "/podman/podman.sock")
        expect_container(lab, "podman/shop", "shop-7d9f4c", environment(lab, p), "as user 33")


@test("engine.docker", modes=MODES, needs=NEEDS)
def docker(lab):
    """Docker's API, which podman speaks as well."""
    with engine(lab) as p:
        p.start("shop", "--hostname", "shop-7d9f4c")
        socket = p.serve(p.env["XDG_RUNTIME_DIR"] + "/docker.sock")
        expect_container(lab, "docker/shop", "shop-7d9f4c", environment(lab, p), "in the user's runtime directory")
        elsewhere = environment(lab, p, DOCKER_HOST="unix://" + socket, XDG_RUNTIME_DIR="/nowhere")
        expect_container(lab, "docker/shop", "shop-7d9f4c", elsewhere, "by DOCKER_HOST")
        expect_refused(lab, "docker/shop", environment(lab, p, DOCKER_HOST="tcp://192.0.2.1:2375"), "a container of this machine",
                       "unset DOCKER_HOST")


@test("engine.forbidden", modes=("user",))
def forbidden(lab):
    """Root's engine: its socket's directory is closed to others."""
    os.makedirs("/run/podman", mode=0)
    try:
        expect_refused(lab, "podman/shop", lab.environment(), "podman may not be asked by you: /run/podman/podman.sock",
                       "sudo mirrord exec -t podman/shop -- ")
    finally:
        os.rmdir("/run/podman")
