# SPDX-License-Identifier: MIT
"""Deaths: whoever of us dies, the program's connections end with an error, new ones fail at once, and nothing is left."""

import contextlib
import json
import os
import signal
import subprocess
import time

from labkit.lab import PYTHON
from labkit.registry import PATIENCE, PROMPT, Failure, Skip, expect, test

OURS = ("mirrord-agent", "mirrord-session", "mirrord-keeper", "mirrord-guard")


def start_victim(lab, family, patience=60, **more):
    """@patience: seconds that it waits for SIGTERM."""
    p = lab.start_mirrord([*PYTHON, "/tmp/lab/tests/programs/victim.py", str(family), str(patience)], **more)
    line = p.stdout.readline()
    if '"ready": true' not in line:
        p.kill()
        raise Failure("a ready victim", line + p.stderr.read(), lab.log())
    expect("first connection", json.loads(line)["before"], "ok")
    return p


def kill(lab, names):
    """All at once: none of them acts on another's death."""
    pids = []
    for name in names:
        lab.wait_for(f"a process named {name}", lambda name=name: lab.processes(name))
        pids += lab.processes(name)
    for s in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, s)


def check_victim(lab, p, told=True):
    """What is the same after every death. @told: somebody is left who says why and sends SIGTERM."""
    try:
        out, err = p.communicate(timeout=3 * PROMPT)
    except subprocess.TimeoutExpired:
        p.kill()
        raise Failure("the program's end", "none", lab.log()) from None
    try:
        ends, tries, last = (json.loads(line) for line in out.splitlines())
    except ValueError:
        raise Failure("three lines", f"status {p.returncode}: {out}{err}", lab.log()) from None
    detail = f"{out}\nstderr: {err}\n{lab.log()}"
    expect("connections still pending", ends["pending"], [], detail)
    for name, how in ends["ends"].items():
        expect(f"the end of {name}", how, lambda h: h in ("ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "ECONNABORTED"), detail)
    # The first may meet the cut in its middle: tcp_connect() says EHOSTUNREACH when the route has gone since it was looked up
    expect("new connect", tries["connect"][0], lambda how: how in ("ENETUNREACH", "EHOSTUNREACH"), detail)
    expect("again", {how for how, _ in tries["again"]}, {"ENETUNREACH"}, detail)
    expect("least seconds of some", min(seconds for _, seconds in tries["again"]), lambda s: s < 0.5 * PATIENCE, detail)
    expect("a datagram", tries["datagram"][0], lambda how: how == "ENETUNREACH" or (not told and how == "timed out"), detail)
    if not told:
        return
    expect("SIGTERM came", last["terminated"], True, detail)
    lines = err.splitlines()
    expect("lines on stderr", len(lines), 1, detail)
    expect("the line", lines[0], lambda line: line.startswith("mirrord: "), detail)


def death_test(name, victims, family):
    told = set(victims) != set(OURS)

    @test(f"faults.{name}_killed" + f"[v{family}]")
    def run(lab):
        p = start_victim(lab, family, 60 if told else 1)
        kill(lab, victims)
        check_victim(lab, p, told)


AGENT, SESSION, KEEPER, GUARD = OURS
for _family in (4, 6):
    for _name in (AGENT, SESSION, KEEPER):
        death_test(_name.partition("-")[2], [_name], _family)
    death_test("session_and_keeper", [SESSION, KEEPER], _family)
    death_test("all_but_guard", [AGENT, SESSION, KEEPER], _family)
    death_test("all_but_keeper", [AGENT, SESSION, GUARD], _family)
death_test("all", OURS, 4)


@test("faults.keeper_then_session")
def keeper_then_session(lab):
    """The session dies while it deals with the keeper's death, sooner or later in that: nothing is left, whoever says why."""
    for pause in (0, 0.002, 0.02):
        p = start_victim(lab, 4, 1)
        kill(lab, [KEEPER])
        time.sleep(pause)
        for pid in lab.processes(SESSION):
            os.kill(pid, signal.SIGKILL)
        try:
            out, err = p.communicate(timeout=3 * PROMPT)
        except subprocess.TimeoutExpired:
            p.kill()
            raise Failure(f"the program's end, {pause} s between", "none", lab.log()) from None
        ends = json.loads(out.splitlines()[0])
        expect(f"connections still pending, {pause} s between", ends["pending"], [], out + err + lab.log())
        lab.wait_for("none of ours is left", lambda: not any(lab.processes(name) for name in OURS))


@test("faults.nobody_reads_stderr")
def nobody_reads_stderr(lab):
    """A reader that has stopped (less, Ctrl-S) doesn't stop us: the program gets its SIGTERM."""
    for victims in ([AGENT], [SESSION], [KEEPER], [SESSION, KEEPER]):
        reader, stderr = os.pipe()
        p = start_victim(lab, 4, stderr=stderr)
        os.set_blocking(stderr, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(stderr, bytes(4096))
        os.set_blocking(stderr, True)
        os.close(stderr)
        kill(lab, victims)
        try:
            out, _ = p.communicate(timeout=3 * PROMPT)
        except subprocess.TimeoutExpired:
            p.kill()
            raise Failure(f"the program's end after {victims} were killed", "none", lab.log()) from None
        finally:
            os.close(reader)
        expect("SIGTERM came", json.loads(out.splitlines()[-1])["terminated"], True, out)


@test("faults.guard_killed")
def guard_killed(lab):
    """Only the others' deaths take anything away from the program."""
    p = lab.start_mirrord(["/bin/sh", "-c", "echo begun; read x; exec /tmp/lab/bin/tcpget 10.0.20.5 13"], stdin=subprocess.PIPE)
    expect("the program", p.stdout.readline(), "begun\n", lab.log())
    kill(lab, [GUARD])
    out, err = p.communicate("\n", timeout=PROMPT)
    expect("status, stdout, stderr", (p.returncode, out, err), (0, "hello\n", ""), lab.log())


@test("faults.under_sudo", modes=("root",))
def under_sudo(lab):
    """The session is an ordinary user's then."""
    if not lab.sandbox.real_root:
        raise Skip("needs more than one user")
    env = lab.environment(SUDO_UID="1000", SUDO_GID="1000", SUDO_USER="labuser")
    for family in (4, 6):
        for victims in ([AGENT], [SESSION], [KEEPER], [SESSION, KEEPER]):
            p = start_victim(lab, family, env=env)
            kill(lab, victims)
            check_victim(lab, p)


@test("faults.program_killed")
def program_killed(lab):
    """kill -9 of the program: everything of ours goes by itself."""
    p = start_victim(lab, 4)
    p.kill()
    p.wait(PROMPT)
    lab.wait_for("no process of ours", lambda: not any(lab.processes(n) for n in OURS))


@test("faults.launcher_interrupted")
def launcher_interrupted(lab):
    """SIGINT or SIGTERM while the twin is being built leave nothing behind."""
    for delay in (0.0, 0.005, 0.01, 0.02, 0.03, 0.05):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            p = lab.start_mirrord(["/bin/sleep", "20"])
            time.sleep(delay)
            p.send_signal(s)
            try:
                p.wait(PROMPT)
            except subprocess.TimeoutExpired:
                p.kill()
                raise Failure("an end", f"none after {s.name} at {delay} s", lab.log()) from None
            p.communicate()
        lab.wait_clean()


@test("faults.target_process_ends")
def target_process_ends(lab):
    """The process that stood for the target ends; its network is there as long as others use it, and so is ours."""
    target = lab.cluster.pod.start(["sleep", "infinity"])
    p = lab.start(lab.command([*PYTHON, "-c", "import socket, sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
                               "print(socket.create_connection(('10.0.20.5', 13), 20).recv(10))"], target=f"pid/{target.pid}"), stdin=subprocess.PIPE)
    line = p.stdout.readline()
    target.kill()
    target.wait()
    out, err = p.communicate("\n", timeout=PROMPT)
    expect("output", (line, out, err), ("ready\n", "b'hello\\n'\n", ""), lab.log())


@test("faults.many_connections_when_agent_dies")
def many_connections(lab):
    code = """
import errno, select, socket, sys, time
socks = []
for i in range(300):
    s = socket.create_connection(('10.0.20.5', 8092), 20); s.setblocking(False); socks.append(s)
import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
end = time.monotonic() + 60
left = set(socks)
while left and time.monotonic() < end:
    r, _, _ = select.select(list(left), [], [], 0.2)
    left -= set(r)
codes = [s.getsockopt(1, 4) for s in socks]
print(len(left), sorted({errno.errorcode.get(c, c) for c in codes}))
"""
    for who in ("mirrord-agent", "mirrord-session"):
        p = lab.start_mirrord([*PYTHON, "-c", code])
        expect("first line", p.stdout.readline(), "ready\n", lab.log())
        kill(lab, [who])
        out, err = p.communicate(timeout=PROMPT)
        expect(f"ends after {who}", out.strip(), "0 ['ECONNRESET']", err + lab.log())


@test("faults.works_again_after_deaths")
def works_again(lab):
    for who in OURS[:3]:
        p = start_victim(lab, 4)
        kill(lab, [who])
        p.communicate(timeout=3 * PROMPT)
        done = lab.mirrord(["/tmp/lab/bin/tcpget", "10.0.20.5", "13"])
        expect("the next one", (done.status, done.out), (0, "hello\n"), lab.log())
