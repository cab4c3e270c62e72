# SPDX-License-Identifier: MIT
"""How stealing ends: no new connection is taken, those in flight finish, and then nothing is left in the target."""

import os
import signal
import time

from labkit.incoming import FIRST, Program, Real, Waiting, client, taken
from labkit.lab import PYTHON
from labkit.registry import PATIENCE, Failure, expect, expect_in, test
from tests.steal import AGENTS, Stealing, left_alone_by_nobody, pids, rules, with_input

PORT = FIRST
DRAIN_SECONDS = 10  # src/agent/client.h


def hold_one(lab, program, port=PORT):
    """A client that the program has accepted and not answered: c, of which d has come."""
    program.do(f"l = bound('0.0.0.0', {port})", "l.listen(9)")
    waiting = Waiting(lab, port)
    program.do("c, _ = l.accept()", "d = c.recv(99)")
    return waiting


def tell(lab):
    (agent,) = pids(lab, "mirrord-agent")
    os.kill(agent, signal.SIGTERM)
    return agent


def wait_for_real(lab, port=PORT):
    lab.wait_for("new connections go to the target's own", lambda: client(lab, port)[0].get("answer", "").startswith("real:"))


def answer_late(program, began):
    """What hold_one() holds is answered. False when that was hardly in time, on a busy machine: program and session may be ending by then."""
    try:
        program.do("c.sendall(b'late:' + d)", "c.close()")
    except (Failure, OSError):
        if time.monotonic() - began < DRAIN_SECONDS / 2:
            raise
    return time.monotonic() - began < DRAIN_SECONDS / 2


def nothing_left(lab):
    lab.wait_for("no process is left", lambda: not pids(lab, *AGENTS))
    text = rules(lab)
    expect("rules that are left", [word for word in ("mirrord", "12397") if word in text], [], text)


@test("steal.agent_told_to_end")
def told(lab):
    """SIGTERM: who is being served is served to the end, and everybody else by the target's own program; then all of it goes."""
    with Real(lab):
        in_time = False
        while not in_time:
            program = Program(lab, "--steal")
            waiting = hold_one(lab, program)
            began = time.monotonic()
            tell(lab)
            wait_for_real(lab)
            in_time = answer_late(program, began)
            answer = waiting.result().get("answer")
            expect_in("why, in the log", lab.log(), "told to end (SIGTERM)")
            nothing_left(lab)
            Stealing.bury(program)
        expect("the answer of the one in flight", answer, "late:" + waiting.data, lab.log())


@test("steal.agent_told_to_end_waits_no_longer")
def impatient(lab):
    """What isn't over in ten seconds is reset. A session that comes meanwhile waits for its own agent, and has one."""
    with Real(lab):
        program = Program(lab, "--steal", "--no-publish")
        waiting = hold_one(lab, program)
        first, began = tell(lab), time.monotonic()
        wait_for_real(lab)
        with Program(lab, "--steal") as other:
            other.do(f"s = listen('0.0.0.0', {PORT + 1})")
            taken(lab, other, PORT + 1)
            expect("its agent is another one", first in pids(lab, "mirrord-agent"), False, lab.log())
            seconds = time.monotonic() - began
            expect("the one in flight", waiting.result().get("error"), "ECONNRESET", lab.log())
            expect("seconds", seconds, lambda s: DRAIN_SECONDS - 1 < s < (DRAIN_SECONDS + 50) * PATIENCE)
            Stealing.bury(program)
        nothing_left(lab)


@test("steal.attached_session_told_to_end")
def attached_told(lab):
    """A session came to the agent through a process that is told to end, as its container is: who is being served by that one's program is served to
    the end, everybody else by the target's own; that session goes then, and the first one's doesn't notice."""
    def agents(n):
        """The watchdog has that name, too, for a moment."""
        lab.wait_for(f"{n} agents", lambda: len(pids(lab, "mirrord-agent")) == n)
        return set(pids(lab, "mirrord-agent"))

    with Real(lab), Program(lab, "--steal") as first:
        first.do(f"s = listen('0.0.0.0', {PORT + 1})")
        (agent,), in_time = agents(1), False
        while not in_time:
            program = Program(lab, "--steal", "--no-publish")
            waiting = hold_one(lab, program)
            (attached,) = agents(2) - {agent}
            began = time.monotonic()
            os.kill(attached, signal.SIGTERM)
            wait_for_real(lab)
            taken(lab, first, PORT + 1)
            in_time = answer_late(program, began)
            answer = waiting.result().get("answer")
            Stealing.bury(program)
            expect("whose process is left", agents(1), {agent}, lab.log())
            taken(lab, first, PORT + 1)
        expect("the answer of the one in flight", answer, "late:" + waiting.data, lab.log())
        expect_in("why, in the log", lab.log(), "told to end (SIGTERM)")


READER = f"""
import socket, sys
s = socket.create_connection(("10.244.1.7", {PORT}))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
s.sendall(b"all of it"); n = len(s.recv(1))
print("begun", flush=True)
sys.stdin.readline()
while data := s.recv(65536): n += len(data)
print(n)
"""


@test("steal.session_ends_while_it_serves")
def session_ends(lab):
    """The program ends with an answer on its way to a slow client: all of it arrives, and who comes meanwhile is answered by the target's own."""
    size = 8 << 20
    with Real(lab):
        program = Program(lab, "--steal")
        program.do(f"l = bound('0.0.0.0', {PORT})", "l.listen(9)")
        reader = with_input(lab.cluster.services, [*PYTHON, "-c", READER])
        program.do("c, _ = l.accept()", "c.recv(99)", f"threading.Thread(target=lambda: (c.sendall(bytes({size})), c.close(), os._exit(0))).start()")
        expect("the client", reader.stdout.readline(), "begun\n", lab.log())
        time.sleep(0.5)
        reader.stdin.write("\n")
        reader.stdin.flush()
        expect("what it got", reader.stdout.readline(), f"{size}\n", lab.log())
        Stealing.bury(program)
        left_alone_by_nobody(lab, PORT)
        reader.communicate()
        nothing_left(lab)
