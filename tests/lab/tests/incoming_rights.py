# SPDX-License-Identifier: MIT
"""An agent that lacks a right over the target: what needs it is refused, with its name and with what still works; and that does work."""

import contextlib
import os
import shutil

import labkit.lab
from labkit.incoming import FIRST, Program, Real, errno_name, taken
from labkit.registry import expect, expect_in, test

PORT = FIRST


@contextlib.contextmanager
def agent_without(capability):
    """mirrord, whose agent's @capability is nowhere to be had."""
    directory, whole = "/tmp/lab/limited", labkit.lab.MIRRORD
    os.makedirs(directory)
    shutil.copy(whole, directory)
    path = directory + "/mirrord-agent"
    with open(path, "w") as f:
        f.write(f"#!/bin/sh\nexec setpriv --inh-caps=-{capability} --bounding-set=-{capability} /tmp/lab/bin/mirrord-agent \"$@\"\n")
    os.chmod(path, 0o755)
    labkit.lab.MIRRORD = directory + "/mirrord"
    try:
        yield
    finally:
        labkit.lab.MIRRORD = whole
        shutil.rmtree(directory)


def quiet(lab, *options):
    return Program(lab, "--no-publish", *options, env=lab.quiet_environment())


@test("incoming.without_net_admin", modes=("root",), needs=("setpriv",))
def net_admin(lab):
    with Real(lab), agent_without("net_admin"):
        program = quiet(lab, "--steal")
        expect("its listen()", errno_name(program.tell(f"s = listen('0.0.0.0', {PORT})")), "EADDRINUSE", lab.log())
        text = program.end()
        for part in (f"port {PORT} of the target", "stealing needs the capability NET_ADMIN", "mirroring and what leaves the program work without it"):
            expect_in("what is said", text, part, lab.log())
        with quiet(lab) as program:
            program.do(f"s = listen('0.0.0.0', {PORT})")
            taken(lab, program, PORT, True)


@test("incoming.without_net_raw", modes=("root",), needs=("setpriv",))
def net_raw(lab):
    with Real(lab), agent_without("net_raw"):
        program = quiet(lab)
        program.do(f"s = listen('0.0.0.0', {PORT})")
        text = program.end()
        for part in (f"port {PORT} of the target", "mirroring needs the capability NET_RAW", "stealing TCP and what leaves the program work without it"):
            expect_in("what is said", text, part, lab.log())
        program = quiet(lab, "--steal")
        program.do(f"s = listen('0.0.0.0', {PORT})")
        taken(lab, program, PORT)
        program.do(f"u = udp('0.0.0.0', {PORT})")
        text = program.end()
        expect_in("what is said", text, "stealing UDP needs the capability NET_RAW", lab.log())
        expect_in("what works", text, "stealing TCP works without it", lab.log())
