#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""relay.py DIVERT -- HTTP/1 through the filter: which server gets what, that it is byte for byte what was sent, and what happens when
somebody ends in the middle."""
import hashlib
import os
import sys
import threading
import time

from kit import Divert, GET, MINE, PATIENCE, Server, expect, main, naming, nobody, nobody_at, reply, scene, test, text, wait_for

@test
def each_request_goes_where_it_belongs():
    with scene() as (d, app, program):
        c = d.connect()
        for n in range(50):
            mine = n % 3 == 0 or n % 7 == 0
            c.send((MINE if mine else GET) % n)
            expect(f"answer {n}", text(c.answer()), b"%s GET /%d HTTP/1.1" % (b"program" if mine else b"app", n))
        expect("connections to the app", app.connections, 1)
        expect("connections to the program", program.connections, 1)
        counters = d.counters()
        expect("counted", (counters["stolen"], counters["passed"]), (22, 28))


@test
def pipelined_answers_come_in_order():
    """All at once, to two servers, of which one is slow."""

    def slow(c, number):
        while True:
            line = c.message().split(b"\r\n")[0]
            time.sleep(0.01)
            c.send(reply(b"slow " + line))

    with scene(program=slow) as (d, app, program):
        c = d.connect()
        c.send(b"".join((MINE if n % 4 < 2 else GET) % n for n in range(40)))
        for n in range(40):
            expect(f"answer {n}", text(c.answer()), b"%s GET /%d HTTP/1.1" % (b"slow" if n % 4 < 2 else b"app", n))


@test
def a_request_for_the_other_waits_for_the_answers_before_it():
    got = threading.Event()

    def app(c, number):
        c.message()
        time.sleep(0.2)
        expect("the program was asked already", got.is_set(), False)
        c.send(reply("app"))
        c.message()

    def program(c, number):
        c.message()
        got.set()
        c.send(reply("program"))
        c.message()

    with scene(app, program) as (d, a, p):
        c = d.connect()
        c.send(GET % 1 + MINE % 2)
        expect("first", text(c.answer()), b"app")
        expect("second", text(c.answer()), b"program")


# What a server is sent is what the client has sent: odd spelling and all.
ODD = [
    b"GET / HTTP/1.1\r\nHOST:a\r\nx-Odd:   spaces around   \r\nX-Empty:\r\nX-Twice: 1\r\nx-twice: 2\r\nAccept-Encoding: gzip\r\n\r\n",
    b"GET   /spaces   HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\n\r\nGET /after-empty-lines HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/absolute?x=%20 HTTP/1.1\r\nHost: b\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PROPFIND /dav HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\x00\x01\r\n",
    b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 0012\r\n\r\nhello\r\n\r\nGET",
    b"POST /chunked HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n5;name=\"v;x\"\r\nhello\r\n00A\r\n0123456789\r\n"
    b"0;last\r\nX-Sum: 1\r\nX-Other:\r\n\r\n",
    b"GET /utf\xc3\xa9?caf\xe9 HTTP/1.1\r\nHost: a\r\nX-Latin: \xe9\xff\tz\r\n\r\n",
    b"GET /http10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /many HTTP/1.1\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(300)) + b"\r\n",
    b"GET /long HTTP/1.1\r\nX-Long: " + b"y" * 60000 + b"\r\n\r\n",
]


def with_user(request):
    line_end = request.index(b"HTTP/1.") + 10
    return request[:line_end] + b"x-user: alice\r\n" + request[line_end:]


def send_odd(piece, mine):
    requests = [with_user(r) if mine else r for r in ODD]

    def quiet(c, number):
        for r in requests:
            head = c.message()
            c.send(reply("", fields="X-Kept: yes\r\n") if not head.startswith(b"HEAD") else b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        c.rest()

    with scene(quiet, quiet) as (d, app, program):
        c = d.connect()
        for r in requests:
            for at in range(0, len(r), piece):
                c.send(r[at : at + piece])
            status, answer = c.answer(head_only=r.startswith(b"HEAD"))
            expect("status", status, 200)
        c.end()
        c.rest()
        other = app if mine else program
        expect("bytes that arrived", (program if mine else app).received, [b"".join(requests)])
        expect("bytes at the other", [r for r in other.received if r], [])
        expect("taken for unsafe", d.counters()["unsafe"], 0)


@test
def the_app_gets_the_bytes_as_they_were_sent():
    send_odd(1 << 20, False)


@test
def so_does_the_program():
    send_odd(1 << 20, True)


@test
def also_in_pieces():
    send_odd(1000, False)
    send_odd(999, True)


@test
def also_byte_by_byte():
    long = ODD.pop()
    many = ODD.pop(-1)
    try:
        send_odd(1, False)
        send_odd(1, True)
    finally:
        ODD.extend((many, long))


@test
def answers_arrive_as_they_were_sent():
    answers = [
        b"HTTP/1.1 200 Fine With Me\r\ncontent-LENGTH:3\r\nSet-Cookie: a\r\nset-cookie: b\r\nX:\r\n\r\nabc",
        b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer-Field: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 204 No Content\r\nDate: x\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: \"x\"\r\n\r\n",
        b"HTTP/1.1 404 \xe9\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 70000\r\n\r\n" + b"z" * 70000,
    ]

    def handler(c, number):
        for a in answers:
            c.message()
            c.send(a)
        c.rest()

    for request in (GET, MINE):
        with scene(handler, handler) as (d, app, program):
            c = d.connect()
            for n, a in enumerate(answers):
                c.send(request % n)
                expect(f"answer {n}", c.exactly(len(a)), a)


@test
def answers_byte_by_byte():
    def handler(c, number):
        while True:
            c.message()
            for byte in reply(b"0123456789", fields="X-A: b\r\n"):
                c.send(bytes([byte]))

    with scene(handler, handler) as (d, app, program):
        c = d.connect()
        for n in range(6):
            c.send((MINE if n % 2 else GET) % n)
            expect("answer", text(c.answer()), b"0123456789")


def transfer(request, upload, download, mine):
    """@upload and @download bytes of noise, checked by their sums at the other end."""
    up, down = os.urandom(1 << 20), os.urandom(1 << 20)
    seen = []

    def handler(c, number):
        c.until(b"\r\n\r\n")
        total = hashlib.sha256()
        left = upload
        c.server = None
        while left:
            if not c.buffer:
                c.fill()
            total.update(c.buffer)
            left -= len(c.buffer)
            c.buffer = b""
        seen.append(total.hexdigest())
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % download)
        for _ in range(download >> 20):
            c.send(down)
        c.rest()

    with scene(handler, handler) as (d, app, program):
        c = d.connect()
        c.send(b"PUT / HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n" % (b"X-User: alice\r\n" if mine else b"", upload))
        sent = hashlib.sha256()
        for _ in range(upload >> 20):
            c.send(up)
            sent.update(up)
        c.until(b"\r\n\r\n")
        got, expected, left = hashlib.sha256(), hashlib.sha256(), download
        for _ in range(download >> 20):
            expected.update(down)
        while left:
            if not c.buffer:
                c.fill()
            got.update(c.buffer)
            left -= len(c.buffer)
            c.buffer = b""
        expect("the upload's sum", seen, [sent.hexdigest()])
        expect("the download's sum", got.hexdigest(), expected.hexdigest())
        with open(f"/proc/{d.process.pid}/status") as f:
            peak = int(f.read().split("VmHWM:")[1].split()[0])
        expect("memory stays flat", peak < 24 << 10 or "ASAN_OPTIONS" in os.environ, True)


@test
def large_bodies():
    transfer(b"", 32 << 20, 32 << 20, False)
    transfer(b"", 32 << 20, 32 << 20, True)


@test
def a_slow_reader_stops_the_sender():
    """The kernel's buffers and ours take some; the rest waits at the sender's."""
    sent = [0]

    def handler(c, number):
        c.message()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        c.socket.settimeout(1)
        try:
            while True:
                sent[0] += c.socket.send(bytes(65536))
        except TimeoutError:
            pass

    with scene(handler) as (d, app, program):
        c = d.connect()
        c.send(GET % 1)
        c.until(b"\r\n\r\n")
        time.sleep(2)
        expect("the sender was stopped", sent[0] < 512 << 20, True)


@test
def expect_continue_reaches_the_server():
    for request in (b"", b"X-User: alice\r\n"):

        def handler(c, number):
            c.until(b"\r\n\r\n")
            c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            c.send(reply(b"got " + c.exactly(5)))
            c.message()

        with scene(handler, handler) as (d, app, program):
            c = d.connect()
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n" + request + b"\r\n")
            expect("interim", c.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
            c.send(b"hello")
            expect("answer", text(c.answer()), b"got hello")


@test
def an_early_answer_passes_a_body_on_its_way():
    def handler(c, number):
        c.until(b"\r\n\r\n")
        c.send(reply("too large", "413 Content Too Large"))
        c.rest()

    with scene(handler, handler) as (d, app, program):
        for request in (b"", b"X-User: alice\r\n"):
            c = d.connect()
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + request + b"Content-Length: 1000000\r\n\r\n" + bytes(1000))
            expect("status", c.answer()[0], 413)


@test
def head_has_no_body():
    def handler(c, number):
        while True:
            head = c.message().startswith(b"HEAD")
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + (b"" if head else b"body"))

    with scene(handler, handler) as (d, app, program):
        c = d.connect()
        for mine in (b"", b"X-User: alice\r\n", b"", b"X-User: alice\r\n"):
            c.send(b"HEAD / HTTP/1.1\r\n" + mine + b"\r\nGET / HTTP/1.1\r\n" + mine + b"\r\n")
            c.answer(head_only=True)
            expect("GET behind HEAD", text(c.answer()), b"body")


@test
def an_upgrade_moves_the_connection():
    """A WebSocket's way: matching to the program, others to the app; then bytes are bytes."""

    def echo(name):
        def handler(c, number):
            c.message()
            c.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + name)
            while True:
                c.send(c.exactly(1))

        return handler

    with scene(echo(b"A"), echo(b"P")) as (d, app, program):
        for mine, name in ((b"", b"A"), (b"X-User: alice\r\n", b"P")):
            c = d.connect()
            c.send(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + mine + b"\r\n")
            c.until(b"\r\n\r\n")
            expect("the server speaks", c.exactly(1), name)
            noise = bytes(range(256)) + b"GET / HTTP/1.1\r\n\n\nX-User: alice\r\n\r\n"
            c.send(noise)
            expect("echo", c.exactly(len(noise)), noise)
            c.close()
        d.wait_closed()


@test
def a_refused_upgrade_stays_http():
    with scene() as (d, app, program):
        c = d.connect()
        c.send(b"GET /1 HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + MINE % 2 + GET % 3)
        expect("the upgrade", text(c.answer()), b"app GET /1 HTTP/1.1")
        expect("the next", text(c.answer()), b"program GET /2 HTTP/1.1")
        expect("and the next", text(c.answer()), b"app GET /3 HTTP/1.1")


@test
def an_upgrade_that_was_refused_before_its_body_came_stays_http():
    """As Java's client asks for HTTP/2 with its first request, a POST too."""
    for answer in (reply("early"), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"):

        def handler(c, number):
            c.until(b"\r\n\r\n")
            c.send(answer)
            c.exactly(5)
            if b"chunked" in answer:
                c.send(b"5\r\nearly\r\n0\r\n\r\n")
            while True:
                c.send(reply(c.message().split(b"\r\n")[0]))

        with scene(handler, handler) as (d, app, program):
            for mine in (b"", b"X-User: alice\r\n"):
                c = d.connect()
                c.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + mine + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n")
                early = c.until(b"\r\n\r\n")
                c.send(b"hello")
                expect("the answer", b"early" in c.body(early), True)
                c.send(b"GET /2 HTTP/1.1\r\nHost: a\r\n" + mine + b"\r\n")
                expect("the next", text(c.answer()), b"GET /2 HTTP/1.1")


@test
def connect_makes_a_tunnel():
    def handler(c, number):
        c.message()
        c.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        while True:
            c.send(c.exactly(1))

    with scene(handler, handler) as (d, app, program):
        c = d.connect()
        c.send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nX-User: alice\r\n\r\n")
        c.until(b"\r\n\r\n")
        c.send(b"\x16\x03\x01hello")
        expect("echo", c.exactly(8), b"\x16\x03\x01hello")
        expect("at the program", (program.connections, [r for r in app.received if r]), (1, []))


@test
def what_is_no_http_passes():
    def handler(c, number):
        while True:
            c.send(c.exactly(1).upper())

    for hello in (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"hello", b"THIS IS NOT HTTP!\n", b"short.\n", b"*1\r\n$4\r\nPING\r\n", b"GET /\r\n",
                  b"GET / HTTP/1.1\nX-User: alice\n\n", b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00\x01\x02"):
        with scene(handler) as (d, app, program):
            c = d.connect()
            c.send(hello)
            expect("echo", c.exactly(len(hello)), hello.upper())
            c.send(MINE % 1)
            expect("for good", c.exactly(len(MINE % 1)), (MINE % 1).upper())
            expect("the program", program.connections, 0)


@test
def a_server_that_speaks_first_is_heard_at_once():
    def smtp(c, number):
        c.send(b"220 mail ESMTP\r\n")
        expect("the client", c.until(b"\r\n"), b"EHLO me\r\n")
        c.send(b"250 fine\r\n")
        c.rest()

    with scene(smtp) as (d, app, program):
        began = time.monotonic()
        c = d.connect()
        expect("banner", c.until(b"\r\n"), b"220 mail ESMTP\r\n")
        c.send(b"EHLO me\r\n")
        expect("answer", c.until(b"\r\n"), b"250 fine\r\n")
        expect("in no time", time.monotonic() - began < PATIENCE / 4, True)
        expect("its connections", app.connections, 1)


@test
def a_server_that_ends_before_its_client_says_a_word():
    """By an end or by a reset, which the client hears; the server isn't connected to once more."""
    with scene(lambda c, number: c.reset() if number else None) as (d, app, program):
        c = d.connect()
        expect("the end", c.rest(), b"")
        c = d.connect()
        try:
            expect("instead of a reset", c.rest(), None)
        except ConnectionResetError:
            pass
        expect("connections", app.connections, 2)


SMUGGLED = [
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\nX: bare\r\n\r\n",
]


@test
def ambiguous_messages_go_to_the_app_untouched():
    def app(c, number):
        while True:
            c.fill()
            c.send(b"saw %d\n" % len(c.buffer))

    for bad in SMUGGLED:
        with scene(app) as (d, a, program):
            c = d.connect()
            c.send(MINE % 1)
            expect("first", text(c.answer()), b"program GET /1 HTTP/1.1")
            hidden = b"GET /admin HTTP/1.1\r\nX-User: alice\r\n\r\n"
            c.send(bad + hidden)
            c.until(b"saw ")
            c.send(MINE % 2)
            while b"/2" not in a.received[0]:
                c.until(b"\n")
            expect("all of it", a.received[0], bad + hidden + MINE % 2)
            expect("the program's", program.received, [MINE % 1])
            expect("counted", d.counters()["unsafe"], 1)


@test
def an_ambiguous_body_stays_where_it_began():
    def handler(c, number):
        c.until(b"\r\n\r\n")
        c.send(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")
        c.rest()

    for mine in (False, True):
        with scene(handler, handler) as (d, app, program):
            bad = (b"POST / HTTP/1.1\r\nHost: a\r\n" + (b"X-User: alice\r\n" if mine else b"") +
                   b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n" + GET % 2 + MINE % 3)
            c = d.connect()
            c.send(bad)
            c.until(b"\r\n\r\n")
            c.end()
            c.rest()
            expect("bytes", (program if mine else app).received, [bad])


@test
def a_program_that_is_not_there():
    server = Server(naming("app"))
    with nobody() as dead:
        d = Divert(server, dead)
        c = d.connect()
        c.send(GET % 1)
        expect("the app answers", text(c.answer()), b"app GET /1 HTTP/1.1")
        c.send(MINE % 2)
        status, answer = c.answer()
        expect("status", status, 502)
        expect("why", b"Mirrord-Error: the local program can't be connected to: Connection refused\r\n" in answer, True)
        expect("then the end", c.rest(), b"")
        expect("counted", d.counters()["failed"], 1)
        d.close()


@test
def nothing_is_sent_twice():
    """A program that takes a request and ends gets it once, and the client hears 502."""
    for way in ("close", "reset"):

        def program(c, number):
            c.message()
            getattr(c, way)()

        with scene(program=program) as (d, app, p):
            c = d.connect()
            c.send(b"POST /pay HTTP/1.1\r\nX-User: alice\r\nContent-Length: 2\r\n\r\n{}")
            status, answer = c.answer()
            expect("status", status, 502)
            expect("why", b"Mirrord-Error: the local program ended without an answer" in answer, True)
            c.rest()
            expect("requests", (p.connections, [r for r in app.received if r]), (1, []))


@test
def an_answer_cut_off_is_no_whole_one():
    """The client sees a reset, not a shorter answer."""

    def program(c, number):
        c.message()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(0.1)

    with scene(program=program) as (d, app, p):
        c = d.connect()
        c.send(MINE % 1)
        c.until(b"hello")
        try:
            c.rest()
            raise AssertionError("it ended as if it were whole")
        except ConnectionResetError:
            pass


@test
def a_program_that_closed_its_idle_connection_is_connected_again():
    def program(c, number):
        c.send(reply(f"{number} " + c.message().split()[1].decode()))

    with scene(program=program) as (d, app, p):
        c = d.connect()
        for n in range(5):
            c.send(MINE % n)
            expect("answer", text(c.answer()), b"%d /%d" % (n, n))
            wait_for("its end", lambda: nobody_at(p))
            c.send(GET % n)
            expect("the app's", text(c.answer()), b"app GET /%d HTTP/1.1" % n)
        expect("one after the other", p.connections, 5)


@test
def a_program_that_says_close():
    def program(c, number):
        c.message()
        c.send(reply("bye", fields="Connection: close\r\n"))

    with scene(program=program) as (d, app, p):
        c = d.connect()
        c.send(MINE % 1)
        expect("answer", text(c.answer()), b"bye")
        expect("then the end", c.rest(), b"")


@test
def what_comes_behind_a_programs_last_answer_is_not_for_it():
    """A request that its filter doesn't want, sent while the answer was on its way. The client hears the whole answer and an end, and asks anew."""
    for answer in (reply("bye", fields="Connection: close\r\n"), b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nbye", b"HTTP/1.1 200 OK\r\n\r\nbye"):

        def program(c, number):
            c.message()
            c.send(answer)
            asked.wait(PATIENCE)

        for at_once in (False, True):
            asked = threading.Event()
            with scene(program=program) as (d, app, p):
                c = d.connect()
                c.send(MINE % 1 + (GET % 2 if at_once else b""))
                expect("the answer", c.until(b"bye"), answer)
                if not at_once:
                    c.send(GET % 2)
                expect("nothing more yet", c.quiet(), True)
                asked.set()
                expect("then the end", c.rest(), b"")
                expect("what the program got", p.received, [MINE % 1])
                expect("nor has the app", b"".join(app.received), b"")
                d.wait_closed()


@test
def an_ambiguous_answer_of_the_programs_gives_it_nothing_more():
    """Only the client knows where it ends. What it asks then is for whoever it concerns, on a new connection."""
    answers = (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\n0\r\n\r\n", b"no HTTP\r\n\r\n")
    for answer in answers:

        def program(c, number):
            c.message()
            c.send(answer)
            c.rest()

        with scene(program=program) as (d, app, p):
            for end in (False, True):
                c = d.connect()
                c.send(MINE % 1)
                expect("as it came", c.exactly(len(answer)), answer)
                if end:
                    c.end()
                else:
                    c.send(GET % 2)
                expect("the end", c.rest(), b"")
            expect("what the program got", p.received, [MINE % 1] * 2)
            expect("counted", d.counters()["unsafe"], 2)
            d.wait_closed()


@test
def more_than_was_asked_for_answers_nobody():
    """An answer too many of the program's would be taken for the app's."""

    def program(c, number):
        c.message()
        c.send(reply("one") + reply("too many"))
        c.rest()

    with scene(program=program) as (d, app, p):
        c = d.connect()
        for n in range(2):
            c.send(MINE % n)
            expect("the program's", text(c.answer()), b"one")
            c.send(GET % n)
            expect("the app's", text(c.answer()), b"app GET /%d HTTP/1.1" % n)


@test
def an_answer_until_the_end():
    def handler(c, number):
        c.message()
        c.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100000))

    with scene(handler, handler) as (d, app, program):
        for request in (GET, MINE):
            c = d.connect()
            c.send(request % 1)
            expect("all of it", len(c.rest()), 100019)


@test
def the_app_closes_its_idle_connection():
    def app(c, number):
        c.send(reply(str(number)) if c.message() else b"")

    with scene(app) as (d, a, program):
        c = d.connect()
        c.send(GET % 1)
        expect("answer", text(c.answer()), b"0")
        expect("then the end", c.rest(), b"")
    with scene(app) as (d, a, program):
        c = d.connect()
        c.send(MINE % 1)
        c.answer()
        c.send(GET % 2)
        expect("answer", text(c.answer()), b"0")


if __name__ == "__main__":
    sys.exit(main())
