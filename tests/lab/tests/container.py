# SPDX-License-Identifier: MIT
"""mirrord container: containers of a real podman, of an image that was built from nothing, in the twin."""

import json
import os

from labkit import plan
from labkit.lab import MIRRORD, PYTHON
from labkit.podman import ROOT, engine
from labkit.registry import PROMPT, expect, expect_in, test
from tests.engine import MODES, NEEDS

POD4 = plan.HOSTS["pod"][0]
IMAGE = "localhost/mirrord-test:1"


def build(p):
    """A busybox without a distribution; what its ENV says shows which variables win."""
    with open(ROOT + "/Containerfile", "w") as f:
        f.write("FROM scratch\nCOPY bin /bin\nENV SHOP_COLOUR=image SHOP_SIZE=image\nCMD [\"/bin/sh\"]\n")
    p.podman("build", "--isolation", "chroot", "-q", "-t", IMAGE, "-f", ROOT + "/Containerfile", ROOT)


def command(p, *words, options=(), target=None):
    return [MIRRORD, "container", "-t", target or p.lab.target, *options, "--", *p.base, "run", "--rm", "--cgroups", "disabled", "--ulimit", "host", *words]


def run(p, *words, text=None, env=None, **more):
    return p.lab.run(command(p, *words, **more), env={**p.env, **(env or {})}, text=text)


LOOK_AROUND = (f"/bin/busybox ip -o -4 addr show dev eth0 && /bin/busybox hostname && /bin/busybox cat /etc/resolv.conf && "
               f"/bin/busybox nc payment {plan.PEER} </dev/null; /bin/busybox nc 127.0.0.1 {plan.POD_LOOPBACK} </dev/null; /bin/busybox cat; exit 7")


def expect_look(done):
    """What a container saw that ran LOOK_AROUND, with "typed" as its input."""
    expect("status", done.status, 7, str(done))
    lines = done.out.splitlines()
    expect_in("address", lines[0], POD4, str(done))
    expect("host name", lines[1], plan.POD_HOSTNAME, str(done))
    expect_in("resolv.conf", done.out, plan.HOSTS["dns"][0], str(done))
    peers = [json.loads(line) for line in lines if line.startswith("{")]
    expect("who answered", [x["server"] for x in peers], ["payment", "loopback"], str(done))
    expect("the client that the service saw", peers[0]["peer"]["ip"] in plan.HOSTS["pod"], True, str(done))
    expect("input", lines[-1], "typed", str(done))


def expect_stolen(lab, command_of, env):
    """A container that serves one client of the target's."""
    c = lab.start(command_of("/bin/busybox nc -l -p 7811 -e /bin/busybox echo from the container"), env=env)
    ask = [*PYTHON, "-c", f"import socket; s = socket.create_connection(('{POD4}', 7811), 20); print(s.recv(100).decode(), end='')"]
    try:
        lab.wait_for("an answer", lambda: lab.run(ask, lab.cluster.services.enter_as_root).out == "from the container\n")
        c.wait(PROMPT)
    finally:
        if c.poll() is None:
            c.kill()
        out, err = c.communicate()
    expect("status", c.returncode, 0, out + err)


@test("container.network", modes=MODES, needs=NEEDS)
def network(lab):
    """Addresses, names, host name, the target's services; exit status and input."""
    with engine(lab) as p:
        build(p)
        expect_look(run(p, "-i", IMAGE, "/bin/sh", "-c", LOOK_AROUND, text="typed\n"))


@test("container.incoming", modes=MODES, needs=NEEDS)
def incoming(lab):
    """What the container listens on is stolen from the target, from before the answer that it listens; and given back with its end."""
    with engine(lab) as p:
        build(p)
        expect_stolen(lab, lambda script: command(p, IMAGE, "/bin/sh", "-c", script, options=("--steal",)), p.env)


@test("container.detached", modes=MODES, needs=NEEDS)
def detached(lab):
    """With -d podman ends, and the container keeps its network until it is stopped."""
    with engine(lab) as p:
        build(p)
        done = lab.run([w for w in command(p, "-d", "--name", "shop", IMAGE, "/bin/busybox", "sleep", "1000") if w != "--rm"], env=p.env)
        expect("status", done.status, 0, str(done))
        expect("sessions", len(lab.processes("mirrord-session")), 1)
        script = f"/bin/busybox nc payment {plan.PEER} </dev/null"
        for _ in range(2):
            done = p.podman("exec", "shop", "/bin/sh", "-c", script)
            expect("the client that the service saw", json.loads(done.out)["peer"]["ip"] in plan.HOSTS["pod"], True, str(done))
        p.podman("stop", "--time", "0", "shop")
        lab.wait_for("no session is left", lambda: not lab.processes("mirrord-session"))


def expect_variables(lab, image, run_with):
    """@run_with: runs words in a container with options of mirrord's and variables of this machine's, and the user's --env of SHOP_SIZE."""
    config = "/tmp/lab/home/container.json"
    with open(config, "w") as f:
        json.dump({"feature": {"env": {"override": {"SHOP_COLOUR": "two\nlines = \"x\" $y", "SHOP_SIZE": "configuration"}}}}, f)
    try:
        done = run_with("--env", "SHOP_SIZE=user", image, "/bin/sh", "-c", 'echo "$SHOP_COLOUR"; echo "$SHOP_SIZE"; echo "$SHOP_LOCAL."', options=("-f", config),
                        env={"SHOP_LOCAL": "this machine's"})
        expect("variables", done.out, 'two\nlines = "x" $y\nuser\n.\n', str(done) + lab.log())
    finally:
        os.unlink(config)


@test("container.environment", modes=MODES, needs=NEEDS)
def environment(lab):
    """The configuration's and the target's variables are the container's, before the image's; the user's --env is before all."""
    with engine(lab) as p:
        build(p)
        expect_variables(lab, IMAGE, lambda *words, **more: run(p, *words, **more))


@test("container.mistakes", needs=("podman",))
def mistakes(lab):
    """Each is told before anything is set up."""
    def refused(words, *parts, status=1):
        done = lab.run([MIRRORD, "container", "-t", lab.target, "--", *words], env=lab.quiet_environment())
        expect(f"status of {words}", done.status, status, str(done))
        for part in parts:
            expect_in(f"message of {words}", done.err, part, str(done))
    refused([], "the command to run is missing", status=2)
    refused(["sh", "-c", "true"], "sh is no container engine", "podman run")
    refused(["podman", "ps"], 'there is no "run"', "podman run IMAGE")
    refused(["podman", "run", "--network=bridge", "x"], "--network=bridge", "the container's network is the target's")
    refused(["podman", "run", "--pod", "p", "x"], "--pod", "leave it out")
