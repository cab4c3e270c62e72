#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""choices.py DIVERT -- HTTP/1 through the filter: bodies that decide, several sessions, TLS by its server name, many connections."""
import sys
import threading
import time

from kit import Divert, GET, MINE, PATIENCE, Server, expect, main, naming, nobody, one_at_a_time, reply, scene, test, text, wait_for

BODY = {"body_filter": {"body": "json", "query": "$.user", "matches": "^alice$"}}


def post(body, chunked=False, fields=b""):
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + fields
    if chunked:
        parts = b"".join(b"%x\r\n%s\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@test
def bodies_decide():
    with scene(filter=BODY) as (d, app, program):
        c = d.connect()
        sent = {b"app": b"", b"program": b""}
        for body, name in ((b'{"user": "alice"}', b"program"), (b'{"user": "bob"}', b"app"), (b"no JSON", b"app"), (b"", b"app"),
                           (b'{"x": "' + b"x" * 60000 + b'", "user": "alice"}', b"program"), (b'{"x": "' + b"x" * 70000 + b'", "user": "alice"}', b"app")):
            for chunked in (False, True):
                request = post(body, chunked)
                if len(request) > 65536 and chunked:
                    continue
                for piece in (1 << 20, 4000):
                    for at in range(0, len(request), piece):
                        c.send(request[at : at + piece])
                    expect(f"{body[:20]}", text(c.answer()), name + b" POST / HTTP/1.1")
                    sent[name] += request
        expect("the program's bytes", program.received, [sent[b"program"]])
        expect("the app's bytes", app.received, [sent[b"app"]])


@test
def filters_are_asked_twice_about_a_body():
    """However it comes. A search that takes too long is counted each time."""
    slow = {"any_of": [{"header": "^x: (a+)+$"}, {"body": "json", "query": "$.user", "matches": "^alice$"}]}
    with scene(filter=slow) as (d, app, program):
        c = d.connect()
        request = post(b'{"user": "alice"}', True, b"X: " + b"a" * 50 + b"!\r\n")
        head = request.index(b"\r\n\r\n") + 4
        for begin, end in ((0, head), *((at, at + 8) for at in range(head, len(request), 8))):
            c.send(request[begin:end])
            time.sleep(0.001)  # a read for each
        expect("who", text(c.answer()), b"program POST / HTTP/1.1")
        expect("searches", d.counters()["trouble"], 2)
        expect("the program's bytes", program.received, [request])


@test
def a_body_that_does_not_come_is_not_waited_for():
    with scene(filter=BODY, app=naming("app")) as (d, app, program):
        c = d.connect()
        request = post(b'{"user": "alice"}')
        c.send(request[:-5])
        wait_for("what came is at the app", lambda: app.received == [request[:-5]])
        c.send(request[-5:])
        expect("answer", text(c.answer()), b"app POST / HTTP/1.1")


@test
def a_filter_on_bodies_says_continue_itself():
    def program(c, number):
        head = c.until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        c.send(reply(b"got " + c.body(head)))
        c.message()

    with scene(filter=BODY, program=program) as (d, app, p):
        c = d.connect()
        request = post(b'{"user": "alice"}', fields=b"Expect: 100-continue\r\n")
        head, body = request.split(b"\r\n\r\n")
        c.send(head + b"\r\n\r\n")
        expect("interim", c.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
        c.send(body)
        expect("one interim answer, one final", c.until(b"}"), b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\ngot " + body)


@test
def and_says_it_behind_the_answers_before():
    """However long those take."""

    def app(c, number):
        c.message()
        time.sleep(1.5)
        c.send(reply("late"))
        c.rest()

    with scene(app, filter=BODY) as (d, a, program):
        c = d.connect()
        head, body = post(b'{"user": "alice"}', fields=b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
        c.send(GET % 1 + head + b"\r\n\r\n")
        expect("the first", text(c.answer()), b"late")
        expect("interim", c.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
        c.send(body)
        expect("the second", text(c.answer()), b"program POST / HTTP/1.1")


@test
def several_sessions():
    """The first that wants a request gets it; the others are told."""
    second, third = Server(naming("second")), Server(naming("third"))
    filters = (({"header_filter": "^x-user: (alice|bob)"}, second), ({"path_filter": "^/3"}, third))
    with scene(more=filters) as (d, app, program):
        c = d.connect()
        for path, user, name in ((1, b"alice", b"program"), (2, b"bob", b"second"), (3, b"carl", b"third"), (3, b"bob", b"second"), (4, b"carl", b"app")):
            c.send(b"GET /%d HTTP/1.1\r\nX-User: %s\r\n\r\n" % (path, user))
            expect(f"{path} {user}", text(c.answer()).split()[0], name)
        d.counters()
        expect("stolen", [s["stolen"] for s in d.all], [1, 2, 1])
        expect("lost", [s["lost"] for s in d.all], [0, 1, 1])
    second.close()
    third.close()


@test
def a_session_that_takes_the_rest():
    rest = Server(naming("rest"))
    with scene(more=((True, rest),)) as (d, app, program):
        c = d.connect()
        c.send(GET % 1)
        expect("no filter's", text(c.answer()), b"rest GET /1 HTTP/1.1")
        c.send(MINE % 2)
        expect("the filter's", text(c.answer()), b"program GET /2 HTTP/1.1")
        expect("the app", app.connections, 0)
    rest.close()


@test
def a_program_that_refuses_the_rest():
    """What would have been all that no filter wants is the app's then, HTTP or not; a request that a filter wants is answered 502."""
    with nobody() as dead:
        app = Server(naming("app"))
        d = Divert(app, dead, more=((True, dead),))
        c = d.connect()
        for n in range(3):
            c.send(GET % n)
            expect("no filter's", text(c.answer()), b"app GET /%d HTTP/1.1" % n)
        c.send(MINE % 4)
        expect("the filter's", c.answer()[0], 502)
        c = d.connect()
        c.send(b"no HTTP\r\n\r\n")
        expect("no HTTP", text(c.answer()), b"app no HTTP")
        d.counters()
        expect("told", [s["refused"] for s in d.all], [0, 2])
        d.close()
        app.close()


@test
def a_session_that_goes():
    """What it has got it keeps; what comes then is the app's."""
    release = threading.Event()

    def program(c, number):
        c.message()
        release.wait(PATIENCE)
        c.send(reply("late"))
        c.rest()

    with scene(program=program) as (d, app, p):
        c = d.connect()
        c.send(MINE % 1)
        d.counters(("stolen", 1))
        d.end_first()
        release.set()
        expect("its answer", text(c.answer()), b"late")
        expect("then an end, as of an idle connection", c.rest(), b"")
        c = d.connect()
        c.send(MINE % 2)
        expect("the app's", text(c.answer()), b"app GET /2 HTTP/1.1")
    other = Server(naming("other"))
    with scene(more=(({"header_filter": "^x-user:"}, other),)) as (d, app, p):
        c = d.connect()
        c.send(MINE % 1)
        expect("the first", text(c.answer()), b"program GET /1 HTTP/1.1")
        d.end_first()
        c.send(MINE % 2)
        expect("the second, on the same connection", text(c.answer()), b"other GET /2 HTTP/1.1")
    other.close()


@test
def tls_goes_by_its_server_name_and_protocols():
    import ssl

    def hello(name, *protocols):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        if protocols:
            context.set_alpn_protocols(protocols)
        o = context.wrap_bio(incoming, outgoing, server_hostname=name)
        try:
            o.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return outgoing.read()

    def handler(name):
        def run(c, number):
            c.fill()
            c.send(name)
            c.rest()

        return run

    with scene(handler(b"A"), handler(b"P"), filter={"sni": "^mine\\."}) as (d, app, program):
        for name, who in (("mine.test", b"P"), ("other.test", b"A")):
            c = d.connect()
            bytes_ = hello(name)
            c.send(bytes_[:50])
            time.sleep(0.02)
            c.send(bytes_[50:])
            expect(name, c.exactly(1), who)
    with scene(handler(b"A"), handler(b"P"), filter={"alpn": "^h2$"}) as (d, app, program):
        for protocols, who in ((("http/1.1", "h2"), b"P"), (("http/1.1",), b"A"), ((), b"A")):
            c = d.connect()
            c.send(hello("any.test", *protocols))
            expect(protocols, c.exactly(1), who)
    with scene(handler(b"A"), handler(b"P"), filter={"not": {"header": "x"}}) as (d, app, program):
        c = d.connect()
        c.send(hello("mine.test"))
        expect("a filter that can't see isn't asked", c.exactly(1), b"A")


@test
def a_program_that_serves_one_connection_at_a_time():
    """A client that keeps its connection doesn't keep others from the program for good; nobody is told that connections come and go."""
    with one_at_a_time() as program:
        app = Server(naming("app"))
        d = Divert(app, program)
        first, second = d.connect(), d.connect()
        for c in first, second:
            c.send(MINE % 1)
            expect("answer of the program", text(c.answer()), b"mine")
        second.send(GET % 2)
        expect("of the app", text(second.answer()), b"app GET /2 HTTP/1.1")
        first.close()
        second.close()
        d.wait_closed()
        d.close()
        app.close()


@test
def many_connections_at_once():
    def client(d, n, failures):
        try:
            c = d.connect()
            for k in range(20):
                mine = (n + k) % 2
                c.send((MINE if mine else GET) % k)
                got = text(c.answer())
                if got != b"%s GET /%d HTTP/1.1" % (b"program" if mine else b"app", k):
                    failures.append(got)
            c.close()
        except Exception as e:
            failures.append(repr(e))

    with scene() as (d, app, program):
        failures = []
        threads = [threading.Thread(target=client, args=(d, n, failures)) for n in range(60)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect("failures", failures, [])
        d.wait_closed()


if __name__ == "__main__":
    sys.exit(main())
