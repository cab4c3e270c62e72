# SPDX-License-Identifier: MIT
"""What stands for a socket of the program's ends when that does, not before."""

import subprocess
import time

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, test

OPEN_SOCKETS = f"""
import json, socket, sys
socks = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(50)]
def ask():
    right = 0
    for s in socks:
        s.settimeout(20)
        s.sendto(b'x', ('10.0.20.5', {plan.UDP_PEER}))
        right += json.loads(s.recv(500))['peer']['port'] == s.getsockname()[1]
    return right
print(ask(), flush=True); sys.stdin.readline()
print(ask(), flush=True); sys.stdin.readline()
for s in socks: s.close()
print('closed', flush=True); sys.stdin.readline()
"""


def ports(lab):
    """UDP ports in use in the target. (A lent socket that waits for its use has none.)"""
    return len(lab.cluster.pod.run(["ss", "-Huan"]).splitlines())


def start(lab):
    before = ports(lab)
    p = lab.start_mirrord([*PYTHON, "-c", OPEN_SOCKETS], stdin=subprocess.PIPE)
    expect("answers to the same ports", p.stdout.readline(), "50\n", lab.log())
    expect("ports in use", ports(lab) - before, 50)
    return p, before


def step(p):
    p.stdin.write("\n")
    p.stdin.flush()
    return p.stdout.readline()


@test("mappings.end_with_their_sockets")
def with_sockets(lab):
    p, before = start(lab)
    expect("second answers", step(p), "50\n", lab.log())
    expect("then", step(p), "closed\n", lab.log())
    lab.wait_for("no port in use", lambda: ports(lab) == before)
    step(p)
    p.communicate(timeout=PROMPT)


@test("mappings.stay_with_open_sockets", long=True)
def stay(lab):
    """A socket that is open and quiet keeps its port, as it would in the target."""
    p, before = start(lab)
    time.sleep(45)
    expect("answers to the same ports", step(p), "50\n", lab.log())
    expect("ports in use", ports(lab) - before, 50)
    step(p)
    step(p)
    p.communicate(timeout=PROMPT)


QUIET = f"""
import socket, sys
socks = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(10)]
for i, s in enumerate(socks):
    s.settimeout(60)
    for _ in range(3 if i == 0 else 1):
        s.sendto(b'x', ('10.0.20.5', {plan.UDP_PEER}))
        s.recv(500)
print('asked', flush=True); sys.stdin.read()
"""


@test("mappings.end_when_idle")
def idle(lab):
    """Where no more than one question was asked, after 30 seconds; else much later. (That of a socket that is there is made anew when it is needed.)"""
    before, began = ports(lab), time.monotonic()
    p = lab.start_mirrord([*PYTHON, "-c", QUIET], stdin=subprocess.PIPE)
    expect("the program", p.stdout.readline(), "asked\n", lab.log())
    expect("ports in use", ports(lab) - before, 10)
    lab.wait_for("one port in use", lambda: ports(lab) - before <= 1, 2 * PROMPT)
    expect("seconds", time.monotonic() - began, lambda s: s >= 30)
    expect("ports in use", ports(lab) - before, 1)
    p.communicate("", timeout=PROMPT)


GIVE_UP = """
import socket, sys
for line in sys.stdin:
    for _ in range(50):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(('10.0.20.5', 7))
        s.close()
    print('closed', flush=True)
"""


@test("mappings.untaken_connections_end_with_their_sockets")
def untaken(lab):
    """The remote has accepted by the time that the program has closed its socket, which says nothing. Without being looked for, such a
    connection would be there for the five seconds of an offer, and the session with it. (Where the session gets the processor at each
    connect(), all are connected before they are closed: another fifty, then.)"""
    p = lab.start_mirrord([*PYTHON, "-c", GIVE_UP], stdin=subprocess.PIPE)

    def given_up():
        expect("the program", step(p), "closed\n", lab.log())
        time.sleep(0.3)
        return "nobody is there to take the connection to 10.0.20.5:7" in lab.log(10000)
    lab.wait_for("given up", given_up)
    p.communicate(timeout=PROMPT)
