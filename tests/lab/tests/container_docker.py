# SPDX-License-Identifier: MIT
"""mirrord container with a real Docker, whose daemon starts the containers: root's, so only the lab of a real root has one."""

import json

from labkit import plan
from labkit.docker import IMAGE, daemon
from labkit.lab import MIRRORD
from labkit.registry import expect, expect_in, test
from tests.container import LOOK_AROUND, expect_look, expect_stolen, expect_variables
from tests.engine import RICH

MODES = ("root",) if RICH else ()
NEEDS = ("docker", "dockerd", "busybox")


def command(d, *words, options=()):
    return [MIRRORD, "container", "-t", d.lab.target, *options, "--", "docker", "run", *words]


def run(d, *words, text=None, env=None, **more):
    return d.lab.run(command(d, *words, **more), env={**d.env, **(env or {})}, text=text)


def expect_nothing_left(d):
    """The container that held the network is gone with the user's, and so is the session."""
    d.lab.wait_for("no session is left", lambda: not d.lab.processes("mirrord-session"))
    d.lab.wait_for("no container is left", lambda: d.docker("ps", "--all", "--quiet").out == "")


@test("container.docker", modes=MODES, needs=NEEDS, timeout=600)
def docker(lab):
    """Addresses, names, host name, the target's services; exit status and input; variables; and a second time with the image that is there."""
    with daemon(lab) as d:
        for _ in range(2):
            done = run(d, "--rm", "-i", IMAGE, "/bin/sh", "-c", LOOK_AROUND, text="typed\n")
            expect_look(done)
            expect_nothing_left(d)


@test("container.docker_variables", modes=MODES, needs=NEEDS, timeout=600)
def variables(lab):
    """The configuration's come before the image's; the user's --env is before all; none of this machine's."""
    with daemon(lab) as d:
        expect_variables(lab, IMAGE, lambda *words, **more: run(d, "--rm", *words, **more))


@test("container.docker_incoming", modes=MODES, needs=NEEDS, timeout=600)
def incoming(lab):
    """What the container listens on is stolen from the target, and given back with its end."""
    with daemon(lab) as d:
        expect_stolen(lab, lambda script: command(d, "--rm", IMAGE, "/bin/sh", "-c", script, options=("--steal",)), d.env)
        expect_nothing_left(d)


@test("container.docker_detached", modes=MODES, needs=NEEDS, timeout=600)
def detached(lab):
    """With -d the command ends, and the container keeps its network until it is stopped; and so it does when the command is killed."""
    with daemon(lab) as d:
        shop = ("--name", "shop", "--rm", IMAGE, "/bin/busybox", "sleep", "1000")
        done = run(d, "-d", *shop)
        expect("status", done.status, 0, str(done) + lab.log())
        expect_network(d)
        d.docker("stop", "--time", "0", "shop")
        expect_nothing_left(d)

        c = lab.start(command(d, *shop), env=d.env)
        lab.wait_for("the container", lambda: d.docker("exec", "shop", "/bin/sh", "-c", "true", check=False).status == 0)
        c.kill()
        c.communicate()
        expect_network(d)
        d.docker("stop", "--time", "0", "shop")
        expect_nothing_left(d)


def expect_network(d):
    expect("sessions", len(d.lab.processes("mirrord-session")), 1)
    for _ in range(2):
        done = d.docker("exec", "shop", "/bin/sh", "-c", f"/bin/busybox nc payment {plan.PEER} </dev/null")
        expect("the client that the service saw", json.loads(done.out)["peer"]["ip"] in plan.HOSTS["pod"], True, str(done))


@test("container.docker_mistakes", modes=MODES, needs=NEEDS, timeout=600)
def mistakes(lab):
    """No daemon, and options that would take the network away: each is told before anything is set up."""
    def refused(words, env, *parts):
        done = lab.run([MIRRORD, "container", "-t", lab.target, "--", "docker", *words], env=env)
        expect(f"status of {words}", done.status, 1, str(done))
        for part in parts:
            expect_in(f"message of {words}", done.err, part, str(done))
    nowhere = lab.environment(DOCKER_HOST="unix:///run/nowhere.sock")
    refused(["run", "x"], nowhere, "docker import: ", "docker info")
    refused(["ps"], nowhere, 'there is no "run"', "docker run IMAGE")
    refused(["run", "--network=bridge", "x"], nowhere, "--network=bridge", "the container's network is the target's")
    with daemon(lab) as d:
        done = run(d, "--rm", IMAGE, "/no/such/command")
        expect("status of a command that isn't there", done.status, 127, str(done))
        expect_nothing_left(d)
