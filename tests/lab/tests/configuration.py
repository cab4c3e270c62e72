# SPDX-License-Identifier: MIT
"""Where the configuration comes from: files, variables, options, and which of them counts."""

import json
import os

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import expect, test
from tests.filters import ASK, OUTSIDE4, SIDES, T4, T6, U4

HOME = "/tmp/lab/home"


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(data if isinstance(data, str) else json.dumps(data))
    for name in (path, os.path.dirname(path)):
        os.chmod(name, 0o755)


def ask(lab, questions, options=(), **variables):
    done = lab.mirrord([*PYTHON, "-c", ASK, *questions], options=options, env=lab.environment(**variables), cwd=HOME)
    expect("status", done.status, 0, str(done) + lab.log())
    return [SIDES.get(line, line) for line in done.out.splitlines()], str(done) + lab.log()


@test("config.variables")
def variables(lab):
    """Those of the networking part, each alone."""
    unreachable = "failed: Network is unreachable"
    for name, value, questions in (
            ("MIRRORD_TCP_OUTGOING", "false", {T4: "here", U4: "target"}),
            ("MIRRORD_UDP_OUTGOING", "false", {T4: "target", U4: "here"}),
            ("MIRRORD_OUTGOING_IGNORE_LOCALHOST", "true", {f"tcp 127.0.0.1 {plan.POD_LOOPBACK}": "failed: Connection refused"}),
            ("MIRRORD_REMOTE_DNS", "false", {"name from-the-hosts-own-file": "203.0.113.1"}),
            ("MIRRORD_ENABLE_IPV6", "false", {T6: unreachable, T4: "target"})):
        seen, detail = ask(lab, list(questions), **{name: value})
        expect(name, dict(zip(questions, seen)), questions, detail)


@test("config.variable_for_the_target")
def the_target(lab):
    done = lab.run([*lab.command([*PYTHON, "-c", ASK, T4])[:2], "--", *PYTHON, "-c", ASK, T4], env=lab.environment(MIRRORD_IMPERSONATED_TARGET=lab.target))
    expect("seen", SIDES.get(done.out.strip()), "target", str(done))


@test("config.sources")
def sources(lab):
    """The command line over variables over the file over defaults; and which file."""
    local = {"feature": {"network": {"outgoing": {"filter": {"local": OUTSIDE4}, "tcp": True}}}}
    write(HOME + "/named.yaml", "feature:\n  network:\n    outgoing: {filter: {local: ['{{ get_env(name=\"LOCAL\", default=\"nothing.test\") }}']}}\n")
    write(HOME + "/off.toml", "[feature.network.outgoing]\ntcp = false\n")
    write(HOME + "/project/.mirrord/mirrord.json", local)
    for what, options, variables, cwd, wanted in (
            ("no file", (), {}, HOME, "target"),
            ("found in the working directory", (), {}, HOME + "/project", "here"),
            ("the variable's file before it", (), {"MIRRORD_CONFIG_FILE": HOME + "/named.yaml"}, HOME + "/project", "target"),
            ("a template", (), {"MIRRORD_CONFIG_FILE": HOME + "/named.yaml", "LOCAL": OUTSIDE4}, HOME, "here"),
            ("-f before it", ("-f", HOME + "/off.toml"), {"MIRRORD_CONFIG_FILE": HOME + "/named.yaml"}, HOME, "here"),
            ("a variable over the file", ("-f", HOME + "/off.toml"), {"MIRRORD_TCP_OUTGOING": "true"}, HOME, "target"),
            ("an option over the variable", ("-f", HOME + "/off.toml", "--no-tcp-outgoing"), {"MIRRORD_TCP_OUTGOING": "true"}, HOME, "here")):
        done = lab.mirrord([*PYTHON, "-c", ASK, T4], options=options, env=lab.environment(**variables), cwd=cwd)
        expect(what, SIDES.get(done.out.strip(), done.out), wanted, str(done) + lab.log())
