# SPDX-License-Identifier: MIT
"""feature.env: the program gets the target's variables on top of its own, as the configuration says; feature.hostname."""

import contextlib
import json

from labkit import plan
from labkit.registry import expect, expect_in, test

CONFIG = "/tmp/lab/home/environment.json"
TARGETS = {"PATH": "/the/target's", "HOME": "/nowhere", "LD_PRELOAD": "/nowhere.so", "DATABASE_URL": "postgres://db", "A_TIMEOUT": "5", "SECRET": "x",
           "MULTI": "a\nb=c", "UMLAUT": "ä"}


@contextlib.contextmanager
def target(lab):
    """A process in the pod with an environment of its own."""
    process = lab.cluster.nodes["pod"].start(["/usr/bin/sleep", "infinity"], env={k: v for k, v in TARGETS.items() if k != "LD_PRELOAD"} | {"LD_PRELOAD": ""})
    try:
        yield f"pid/{process.pid}"
    finally:
        process.kill()
        process.wait()


def seen(lab, feature, options=(), command=("env", "-0"), **environment):
    with open(CONFIG, "w") as f:
        json.dump({"feature": feature}, f)
    with target(lab) as name:
        done = lab.mirrord(list(command), target=name, options=["-f", CONFIG, *options], env=lab.environment(**environment))
    expect("status", done.status, 0, str(done) + lab.log())
    return dict(line.split("=", 1) for line in done.out.split("\0") if line) if command[0] == "env" else done.out


@test("environment.target")
def of_target(lab):
    """All of the target's variables, but for those that say where things are on a machine."""
    own = lab.environment(MINE="1", DATABASE_URL="local")
    env = seen(lab, {}, MINE="1", DATABASE_URL="local")
    got = {k: env.get(k) for k in ("DATABASE_URL", "MINE", "MULTI", "PATH", "HOME", "LD_PRELOAD", "SECRET")}
    expect("variables", got, {"DATABASE_URL": "postgres://db", "MINE": "1", "MULTI": "a\nb=c", "PATH": own.get("PATH"), "HOME": own.get("HOME"),
                              "LD_PRELOAD": None, "SECRET": "x"})


@test("environment.none")
def none(lab):
    env = seen(lab, {"env": False}, MINE="1")
    expect("variables", [env.get("DATABASE_URL"), env.get("MINE")], [None, "1"])


@test("environment.rules")
def rules(lab):
    with open("/tmp/lab/home/vars.env", "w") as f:
        f.write("FROM_FILE=yes\nDATABASE_URL=file\n")
    env = seen(lab, {"env": {"exclude": "SECRET", "override": {"EXTRA": "o"}, "unset": "mine", "mapping": {".+_TIMEOUT": "1000"},
                             "env_file": "/tmp/lab/home/vars.env"}}, MINE="1")
    got = {k: env.get(k) for k in ("SECRET", "EXTRA", "MINE", "A_TIMEOUT", "FROM_FILE", "DATABASE_URL")}
    expect("variables", got, {"SECRET": None, "EXTRA": "o", "MINE": None, "A_TIMEOUT": "1000", "FROM_FILE": "yes", "DATABASE_URL": "file"})


@test("environment.options")
def options(lab):
    env = seen(lab, {}, options=["--override-env-vars-include", "SECRET;PATH"])
    expect("variables", [env.get("SECRET"), env.get("PATH"), env.get("DATABASE_URL")], ["x", TARGETS["PATH"], None])


@test("environment.bad_file")
def bad_file(lab):
    """Said before anything is set up."""
    done = lab.run([*lab.command(["true"], options=["--env-file", "/no/such/file"], log=False)], env=lab.quiet_environment())
    expect("status", done.status, 2, str(done))
    expect_in("the message", done.err, "--env-file: feature.env.env_file: read /no/such/file: No such file or directory", str(done))
    with open("/tmp/lab/home/vars.env", "w") as f:
        f.write("A=1\nNO VARIABLE\nB='\n")
    done = lab.run([*lab.command(["true"], options=["--env-file", "/tmp/lab/home/vars.env"], log=False)], env=lab.quiet_environment())
    expect("status", done.status, 2, str(done))
    for message in ("/tmp/lab/home/vars.env:2:4: expected NAME=value", "/tmp/lab/home/vars.env:3:3: this quote has no end"):
        expect_in("the message", done.err, message, str(done))


@test("environment.hostname")
def hostname(lab):
    expect("the target's", seen(lab, {"hostname": True}, command=["uname", "-n"]), plan.POD_HOSTNAME + "\n")
    expect("this machine's", seen(lab, {"hostname": False}, command=["uname", "-n"]), "workstation\n")
    expect("its file", seen(lab, {"hostname": False}, command=["cat", "/etc/hostname"]), "workstation\n")
