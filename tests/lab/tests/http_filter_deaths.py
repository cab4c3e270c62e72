# SPDX-License-Identifier: MIT
"""Whoever dies in the middle of requests: each has one answer, from where it belongs, or its client is told; the target's own stay the target's."""

import json
import os
import signal
import subprocess
import threading

from labkit import plan
from labkit.lab import PYTHON
from labkit.registry import PROMPT, expect, test

from tests.http_filter import ALICE, PORT, Pair, Second, ask

DONE = "/tmp/lab/home/done"

# Threads that ask for both servers in turn, or for the target's own alone, until the file is there; then some requests more. What each got.
CROWD = """
import http.client, json, os, sys, threading, time
ip, port, alice, file = json.loads(sys.argv[1])
out, go, lock = [], threading.Event(), threading.Lock()
def client(n):
    c, k, more = None, 0, 20
    while more:
        more -= go.is_set()
        k += 1
        mine = n % 2 and k % 2
        body = "x" * (1000 * (k % 50))
        row = {"mine": bool(mine), "both": bool(n % 2)}
        try:
            c = c or http.client.HTTPConnection(ip, port, timeout=20)
            c.request("POST", f"/{n}-{k}", body, alice if mine else {})
            r = c.getresponse()
            text = r.read().decode()
            seen = json.loads(text) if text[:1] == "{" else {}
            row.update(status=r.status, name=seen.get("name"), right=seen.get("path") == f"/{n}-{k}" and seen.get("length") == len(body))
        except Exception as e:
            row.update(error=type(e).__name__)
            c = c and c.close()
        with lock: out.append(row)
        if k == 5 and n == 0: print("begun", flush=True)
threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
for t in threads: t.start()
while not os.path.exists(file): time.sleep(0.005)
go.set()
for t in threads: t.join()
print(json.dumps(out))
"""


def requests_while(lab, act):
    """The rows of a crowd in the midst of which act() is called."""
    argv = [*PYTHON, "-c", CROWD, json.dumps([plan.HOSTS["pod"][0], PORT, ALICE, DONE])]
    crowd = lab.cluster.nodes["services"].start(argv, stdout=subprocess.PIPE, text=True)
    expect("the crowd's first word", crowd.stdout.readline(), "begun\n", lab.log())
    act()
    open(DONE, "w").close()
    out = crowd.communicate(timeout=4 * PROMPT)[0]
    os.unlink(DONE)
    return json.loads(out)


def expect_right(lab, rows, after, gently=True):
    """@after: who gets alice's requests then. @gently: who asks on is served on; one whose machine keeps it from asking for long may meet the close."""
    answered = [r for r in rows if r.get("status") == 200]
    expect("whole answers to what was asked", [r for r in answered if not r["right"]], [], lab.log())
    expect("the target's own requests at the program", [r for r in answered if not r["mine"] and r["name"] != "real"], [], lab.log())
    expect("alice's before", "here" in {r["name"] for r in answered if r["mine"]}, True, lab.log())
    failed = [r for r in rows if r.get("status", 200) != 200]
    expect("other statuses than 502, which is for alice's alone", [r for r in failed if r["status"] != 502 or not r["mine"]], [])
    errors = [r for r in rows if r.get("error")]
    ends = {"RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "IncompleteRead"}
    expect("how connections ended", {r["error"] for r in errors}, lambda e: e <= ends, str(errors))
    expect("connections that ended: each client's, and some twice", len(errors), lambda n: n <= 24, str(errors))
    others = [r for r in errors if not r["both"]]
    expect("clients of the target's own, of six, that met the close", len(others), lambda n: n < 6 or not gently, str(others))
    expect("alice's afterwards", ask(lab, ("GET", "/", ALICE))[0].get("name"), after, lab.log())


@test("http_filter_deaths.program", timeout=120)
def program(lab):
    with Pair(lab, {"header_filter": "^x-user: alice$"}) as pair:
        def act():
            pair.here.kill()
            pair.here.communicate(timeout=PROMPT)
            lab.wait_for("the session's end", lambda: not lab.processes("mirrord-session"))
        expect_right(lab, requests_while(lab, act), "real")


def killed(lab, name):
    with Pair(lab, {"header_filter": "^x-user: alice$"}) as pair:
        def act():
            for pid in lab.processes(name):
                os.kill(pid, signal.SIGKILL)
            lab.wait_for("its end", lambda: not lab.processes(name))
            pair.here.communicate(timeout=PROMPT)
        expect_right(lab, requests_while(lab, act), "real", name != "mirrord-agent")


@test("http_filter_deaths.session", timeout=120)
def session(lab):
    killed(lab, "mirrord-session")


@test("http_filter_deaths.two_at_once", timeout=120)
def two_at_once(lab):
    """Both sessions of a port end in one moment, in order or killed."""
    for how in signal.SIGTERM, signal.SIGKILL:
        with Pair(lab, {"header_filter": "^x-user: alice$"}) as pair, Second(lab, {"mode": "steal", "http_filter": {"header_filter": "^x-user:"}}) as second:
            def act():
                for pid in lab.processes("mirrord-session") if how == signal.SIGKILL else [pair.here.pid, second.process.pid]:
                    os.kill(pid, how)
                for program in pair.here, second.process:
                    program.communicate(timeout=PROMPT)
                lab.wait_for("the sessions' end", lambda: not lab.processes("mirrord-session"))
            expect_right(lab, requests_while(lab, act), "real")


@test("http_filter_deaths.session_with_a_request", timeout=120)
def session_with_a_request(lab):
    """The one who has asked hears of it, though the agent lives on with another session, which nobody disturbs."""
    bob, got = {"X-User": "bob"}, []
    with Pair(lab, {"header_filter": "^x-user: alice$"}) as pair:
        (first,) = lab.processes("mirrord-session")
        with Second(lab, {"mode": "steal", "http_filter": {"header_filter": "^x-user: bob$"}}):
            client = threading.Thread(target=lambda: got.extend(ask(lab, ("GET", "/1", bob), ("GET", "/wait", ALICE))))
            client.start()
            expect("the program has it", pair.here.stdout.readline(), "waits\n", lab.log())
            os.kill(first, signal.SIGKILL)
            client.join()
            expect("what the client got", [g.get("status") for g in got], [200, 502], str(got) + lab.log())
            expect("why", got[1]["why"], "the local program ended without an answer", lab.log())
            pair.here.communicate(timeout=PROMPT)
            then = ask(lab, ("GET", "/2", bob), ("GET", "/3", ALICE), ("GET", "/4"))
            expect("who answers then", [g.get("name") for g in then], ["second", "real", "real"], str(then) + lab.log())


@test("http_filter_deaths.agent", timeout=120)
def agent(lab):
    killed(lab, "mirrord-agent")
