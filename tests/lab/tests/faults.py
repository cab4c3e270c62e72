# SPDX-License-Identifier: MIT
"""Deaths: whoever of us dies, the program's connections end with an error, new ones fail at once, and nothing is left."""

import json
import os
import signal
import subprocess
import time

from labkit.lab import PYTHON
from labkit.registry import Failure, expect, test

OURS = ("mirrord-agent", "mirrord-session", "mirrord-keeper")


def start_victim(lab, family):
    p = lab.start_mirrord([*PYTHON, "/tmp/lab/tests/programs/victim.py", str(family)])
    line = p.stdout.readline()
    if '"ready": true' not in line:
        p.kill()
        raise Failure("a ready victim", line + p.stderr.read(), lab.log())
    expect("first connection", json.loads(line)["before"], "ok")
    return p


def kill(lab, names):
    for name in names:
        pids = lab.processes(name)
        expect(f"processes named {name}", len(pids), lambda n: n >= 1, lab.log())
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def check_victim(lab, p, survivors):
    """What is the same after every death; with no survivors nobody is there to say why and to send SIGTERM."""
    try:
        out, err = p.communicate(timeout=25)
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
    for kind in ("connect", "again"):
        expect(f"new {kind}", tries[kind][0], "ENETUNREACH", detail)
        expect(f"seconds of {kind}", tries[kind][1], lambda s: s < 0.5, detail)
    # Without the keeper nobody can change the twin's routes, and of an ICMPv6 error "no route" Linux tells no UDP socket
    expect("a datagram", tries["datagram"][0], lambda how: how == "ENETUNREACH" or ("mirrord-keeper" not in survivors and how == "timed out"), detail)
    if not survivors:
        return
    expect("SIGTERM came", last["terminated"], True, detail)
    lines = err.splitlines()
    expect("lines on stderr", len(lines), 1, detail)
    expect("the line", lines[0], lambda line: line.startswith("mirrord: "), detail)


def death_test(name, victims, family):
    @test(f"faults.{name}_killed" + f"[v{family}]", timeout=60)
    def run(lab):
        p = start_victim(lab, family)
        kill(lab, victims)
        check_victim(lab, p, set(OURS) - set(victims))


for _family in (4, 6):
    for _name in OURS:
        death_test(_name.partition("-")[2], [_name], _family)
death_test("all", OURS, 4)


@test("faults.program_killed")
def program_killed(lab):
    """kill -9 of the program: everything of ours goes by itself."""
    p = start_victim(lab, 4)
    p.kill()
    p.wait(5)
    lab.wait_for("no process of ours", lambda: not any(lab.processes(n) for n in OURS), 3)


@test("faults.launcher_interrupted")
def launcher_interrupted(lab):
    """SIGINT or SIGTERM while the twin is being built leave nothing behind."""
    for delay in (0.0, 0.005, 0.01, 0.02, 0.03, 0.05):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            p = lab.start_mirrord(["/bin/sleep", "20"])
            time.sleep(delay)
            p.send_signal(s)
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                raise Failure("an end", f"none after {s.name} at {delay} s", lab.log()) from None
            p.communicate()
        lab.wait_clean()


@test("faults.target_process_ends")
def target_process_ends(lab):
    """The process that stood for the target ends; its network is there as long as others use it, and so is ours."""
    target = lab.cluster.pod.start(["sleep", "infinity"])
    time.sleep(0.1)
    p = lab.start(lab.command([*PYTHON, "-c", "import socket, sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
                               "print(socket.create_connection(('10.0.20.5', 13), 3).recv(10))"], target=f"pid/{target.pid}"), stdin=subprocess.PIPE)
    line = p.stdout.readline()
    target.kill()
    target.wait()
    out, err = p.communicate("\n", timeout=10)
    expect("output", (line, out, err), ("ready\n", "b'hello\\n'\n", ""), lab.log())


@test("faults.many_connections_when_agent_dies", timeout=60)
def many_connections(lab):
    code = """
import errno, select, socket, sys, time
socks = []
for i in range(300):
    s = socket.create_connection(('10.0.20.5', 8092), 5); s.setblocking(False); socks.append(s)
import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('ready', flush=True)
end = time.monotonic() + 8
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
        out, err = p.communicate(timeout=20)
        expect(f"ends after {who}", out.strip(), "0 ['ECONNRESET']", err + lab.log())


@test("faults.works_again_after_deaths", timeout=60)
def works_again(lab):
    for who in OURS:
        p = start_victim(lab, 4)
        kill(lab, [who])
        p.communicate(timeout=25)
        done = lab.mirrord(["/tmp/lab/bin/tcpget", "10.0.20.5", "13"])
        expect("the next one", (done.status, done.out), (0, "hello\n"), lab.log())
