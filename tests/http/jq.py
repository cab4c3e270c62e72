#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""jq.py DIVERT -- filters with a jq program: who is asked waits for the answer, and nobody else does. A program's process that is stopped is one
that doesn't come to an end."""
import contextlib
import json
import os
import signal
import subprocess
import sys

from kit import GET, PATIENCE, Server, expect, main, naming, reply, scene, test, text, wait_for
from real import run, servers

JQ = {"query": 'startswith("x-jq: mine")'}
FILTER = {"all_of": [{"header": "^x-jq:"}, JQ]}
BODY = {"body": "json", "query": "$.user", "matches": "^alice$"}
ASK = b"GET /%d HTTP/1.1\r\nHost: a\r\nX-Jq: %s\r\n\r\n"


def runners(d):
    """The processes of jq programs."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
            name, rest = f.read().split("(")[1].rsplit(")", 1)
            if name == "mirrord-jq" and rest.split()[1] == str(d.process.pid):
                found.append(int(pid))
    return found


@contextlib.contextmanager
def stopped(d):
    """Its one jq program doesn't answer meanwhile."""
    pid, = runners(d)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def ask(d, header=b"mine"):
    """A connection that has asked, and has its answer."""
    c = d.connect()
    c.send(ASK % (0, header))
    return c, text(c.answer()).split()[0]


def nobodys(d):
    """Who answers a request, on a connection of its own, about which jq isn't asked."""
    c = d.connect()
    c.send(GET % 0)
    return text(c.answer()).split()[0]


@test
def who_gets_what():
    with scene(filter=FILTER) as (d, app, program):
        c = d.connect()
        c.send(ASK % (1, b"mine") + GET % 2 + ASK % (3, b"other") + ASK % (4, b"mine") + ASK % (5, b"mine"))
        for n, name in enumerate((b"program", b"app", b"app", b"program", b"program"), 1):
            expect(n, text(c.answer()), b"%s GET /%d HTTP/1.1" % (name, n))
        expect("all was taken as it came", (program.received, app.received),
               ([b"".join(ASK % (n, b"mine") for n in (1, 4, 5))], [GET % 2 + ASK % (3, b"other")]))


@test
def a_stuck_program_holds_up_nobody_else():
    with scene(filter=FILTER) as (d, app, program):
        expect("it runs", ask(d)[1], b"program")
        with stopped(d):
            stuck, gone = d.connect(), d.connect()
            for c in stuck, gone:
                c.send(ASK % (1, b"mine") + GET % 2)
            gone.reset()
            for _ in range(3):
                expect("another connection", nobodys(d), b"app")
            expect("who asked waits", stuck.quiet(0), True)
        expect("the answer", text(stuck.answer()), b"program GET /1 HTTP/1.1")
        expect("the next request", text(stuck.answer()), b"app GET /2 HTTP/1.1")
        expect("nothing was given up", d.counters()["trouble"], 0)


@test
def an_endless_program_is_no_match():
    filter = {"header_filter_jq": 'if . == "x-jq: loop" then (def f: f; f) else . == "x-jq: mine" end'}
    with scene(filter=filter) as (d, app, program):
        c = d.connect()
        c.send(ASK % (1, b"mine") + ASK % (2, b"loop") + ASK % (3, b"mine"))
        for n, name in ((1, b"program"), (2, b"app"), (3, b"program")):
            expect(n, text(c.answer()).split()[0], name)
        expect("counted once", d.counters()["trouble"], 1)


@test
def a_program_that_is_killed_is_started_again():
    with scene(filter=FILTER) as (d, app, program):
        for _ in range(3):
            expect("it runs", ask(d)[1], b"program")
            pid, = runners(d)
            os.kill(pid, signal.SIGKILL)
            wait_for("it is gone", lambda: pid not in runners(d))


@test
def a_session_that_goes_meanwhile():
    other = Server(naming("other"))
    with scene(filter=FILTER, more=(({"header_filter": "^x-jq:"}, other),)) as (d, app, program):
        expect("it runs", ask(d)[1], b"program")
        with stopped(d):
            c = d.connect()
            c.send(ASK % (1, b"mine"))
            expect("another connection", nobodys(d), b"app")
            d.process.send_signal(signal.SIGUSR1)
            expect("who wants it, too", text(c.answer()), b"other GET /1 HTTP/1.1")
        d.process.stdout.readline()
        d.process.stdout.readline()
        expect("its process", runners(d), [])
    other.close()


@test
def who_has_lost_is_not_asked():
    """A request that an earlier session's filter wants isn't kept waiting by a later one's program."""
    other = Server(naming("other"))
    with scene(filter={"header_filter": "^x-first:"}, more=(({"header_filter_jq": JQ["query"]}, other),)) as (d, app, program):
        expect("it runs", ask(d)[1], b"other")
        before = runners(d)
        with stopped(d):
            c = d.connect()
            c.send(b"GET /1 HTTP/1.1\r\nHost: a\r\nX-First: 1\r\nX-Jq: mine\r\n\r\n")
            expect("who answers", text(c.answer()).split()[0], b"program")
        expect("the next one", ask(d)[1], b"other")
        expect("its process, which was not given up", runners(d), before)
    other.close()


@test
def a_body_behind_the_question():
    """The filter looks at the body when jq has agreed, however much of that is there then, and the client has ended."""
    def program(c, number):
        c.send(reply(b"program %d" % len(c.message())))
        c.rest()

    with scene(filter={"all_of": [{"header": "^x-jq:"}, JQ, BODY]}, program=program) as (d, app, p):
        body = b'{"user": "alice", "x": "' + b"x" * 50000 + b'"}'
        head = b"POST / HTTP/1.1\r\nHost: a\r\nX-Jq: mine\r\nContent-Length: %d\r\n\r\n" % len(body)
        for first in (len(head), len(head) + 10, len(head) + len(body)):
            expect("it runs", ask(d, b"other")[1], b"app")
            c = d.connect()
            with stopped(d):
                c.send((head + body)[:first])
                expect("another connection", nobodys(d), b"app")
                c.send((head + body)[first:])
                c.end()
            expect("whose", text(c.answer()), b"program %d" % len(head + body))


STREAMS = r"""
const c = require('http2').connect('http://127.0.0.1:' + process.argv[1]);
const ask = (name, fields, body) => {
  const s = c.request({':path': '/', ':method': body ? 'POST' : 'GET', ...fields}, {endStream: !body});
  let t = '';
  s.setEncoding('utf8');
  s.on('data', d => t += d);
  s.on('end', () => { if (!t) return; const a = JSON.parse(t); console.log(name, a.name, a.length); });
  if (body) s.end(body);
  return s;
};
ask('large', {'x-jq': 'mine'}, 'y'.repeat(900000)); ask('small', {'x-jq': 'mine'}); ask('none', {});
ask('gone', {'x-jq': 'mine'}).close(8);
process.stdin.on('data', () => c.close());
"""


@test
def streams_wait_for_themselves():
    with servers(filter=FILTER) as (d, app, program):
        expect("it runs", json.loads(run("nghttp", "-Hx-jq: mine", f"http://127.0.0.1:{d.port}/"))["name"], "program")
        with stopped(d):
            node = subprocess.Popen(["node", "-e", STREAMS, str(d.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            expect("who hasn't asked", node.stdout.readline(), "none app 0\n")
        expect("who has", sorted(node.stdout.readline() for _ in range(2)), ["large program 900000\n", "small program 0\n"])
        node.communicate("x", PATIENCE)
        expect("nothing was given up", d.counters()["trouble"], 0)


@test
def bodies_of_streams_behind_the_question():
    """Beyond the window of a stream, and what a filter looks at, too; with a trailer, which isn't one of the head's fields."""
    with servers(filter={"all_of": [JQ, BODY]}) as (d, app, program):
        for size, name in ((0, "program"), (60000, "program"), (400000, "app")):
            body = json.dumps({"user": "alice", "x": "x" * size})
            path = f"/proc/{os.getpid()}/fd/{memory(body)}"
            got = json.loads(run("nghttp", "-Hx-jq: mine", "--trailer=x-sum: 7", "-d", path, f"http://127.0.0.1:{d.port}/"))
            expect(size, (got["name"], got["length"], got["trailers"], "7" in got["fields"]), (name, len(body), {"x-sum": "7"}, False))


def memory(text):
    fd = os.memfd_create("body")
    os.write(fd, text.encode())
    return fd


if __name__ == "__main__":
    sys.exit(main())
