#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sessions_end.py DIVERT -- a session ends, in order or by its death, while its program has requests."""
import signal
import sys
import threading
import time

from kit import Divert, GET, MINE, PATIENCE, Server, expect, full, main, naming, reply, scene, test, text, wait_for

DIES = signal.SIGHUP
OTHER = {"header_filter": "^x-user: bob$"}


def silent(said):
    """A handler that says @said when it has a request, and nothing more; and an event: it did."""
    asked = threading.Event()

    def handler(c, number):
        c.message()
        c.send(said)
        asked.set()
        c.rest()

    return handler, asked


def while_asked(said, request=MINE % 1, heard=b""):
    """The session dies when its program has said @said, of which the client has heard @heard. What the client gets then, on its own and with another
    session beside."""
    other = Server(naming("other"))
    for more in (), ((OTHER, other),):
        handler, asked = silent(said)
        with scene(program=handler, more=more) as (d, app, p):
            c = d.connect()
            c.send(request)
            expect("asked", asked.wait(PATIENCE), True)
            expect("what came", c.exactly(len(heard)), heard)
            d.end_first(DIES)
            yield c
            c = d.connect()
            c.send(MINE % 2)
            expect("the next one's", text(c.answer()), b"app GET /2 HTTP/1.1")
    other.close()


@test
def a_death_with_a_request_in_flight():
    for c in while_asked(b""):
        status, answer = c.answer()
        expect("status", status, 502)
        expect("why", b"Mirrord-Error: the local program ended without an answer\r\n" in answer, True)
        expect("then the end", c.rest(), b"")


def expect_reset(c):
    try:
        got = c.rest()
    except ConnectionResetError:
        return
    raise AssertionError(f"no reset: {got!r}")


@test
def a_death_in_the_middle_of_an_answer():
    for said in b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", b"HTTP/1.1 200 OK\r\n\r\nuntil the end":
        for c in while_asked(said, heard=said):
            expect_reset(c)


@test
def a_death_behind_an_upgrade():
    """Both sockets are a pump's by then."""
    said = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: mine\r\nConnection: upgrade\r\n\r\nhello"
    for c in while_asked(said, (MINE % 1)[:-2] + b"Upgrade: mine\r\nConnection: upgrade\r\n\r\n", said):
        expect_reset(c)


@test
def a_death_with_an_answer_unread():
    """It was there before, and arrives."""
    asked, go, gone = threading.Event(), threading.Event(), threading.Event()

    def handler(c, number):
        c.message()
        asked.set()
        go.wait(PATIENCE)
        c.send(reply("mine"))
        gone.set()
        c.rest()

    with scene(program=handler) as (d, app, p):
        c = d.connect()
        c.send(MINE % 1)
        expect("asked", asked.wait(PATIENCE), True)
        d.process.send_signal(signal.SIGSTOP)
        go.set()
        expect("answered", gone.wait(PATIENCE), True)
        d.process.send_signal(DIES)
        d.process.send_signal(signal.SIGCONT)
        expect("the answer", text(c.answer()), b"mine")


@test
def a_death_concerns_nobody_else():
    """The app and another session's program go on with what they have, on a connection that has a request's answer from the dead one, too."""
    other = Server(naming("other"))
    with scene(more=((OTHER, other),)) as (d, app, p):
        c = d.connect()
        for n in range(2):
            for request, name in (MINE, b"program" if n == 0 else b"app"), (GET, b"app"), (MINE.replace(b"alice", b"bob"), b"other"):
                c.send(request % n)
                expect("who answers", text(c.answer()), name + b" GET /%d HTTP/1.1" % n)
            if n == 0:
                d.end_first(DIES)
    other.close()


POST = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"


def asks(c, n):
    c.send(POST % n)
    return text(c.answer()) == b"app POST /%d HTTP/1.1" % n


@test
def a_client_that_asks_on_is_served_on():
    """The last filter goes: no request meets the close, however near they come, and the connection ends when it has been quiet."""
    with scene() as (d, app, p):
        busy, idle, half = (d.connect() for _ in range(3))
        for c in busy, idle:
            c.send(MINE % 1)
            expect("the program's", text(c.answer()), b"program GET /1 HTTP/1.1")
        half.send((POST % 1)[:-2])
        wait_for("half a request", lambda: any(r.endswith(b"hel") for r in app.received))
        d.end_first()
        began = time.monotonic()
        for n in range(100):
            expect("the app's", asks(busy, n), True)
            time.sleep(0.01)
        expect("one who is idle", idle.rest(), b"")
        expect("one in the middle of a request", half.quiet(), True)
        half.send(b"lo")
        expect("has its answer", text(half.answer()), b"app POST /1 HTTP/1.1")
        expect("and then the end, as the others", [half.rest(), busy.rest()], [b"", b""])
        expect("long before one that asks on for ever", time.monotonic() - began < 8, True)
        d.wait_closed()


@test
def a_client_that_asks_for_ever():
    """Its end comes right behind an answer."""
    with scene() as (d, app, p):
        c, n = d.connect(), 0
        expect("the app's", asks(c, n), True)
        d.end_first()
        began = time.monotonic()
        while c.quiet(0.02):
            n += 1
            expect("the app's", asks(c, n), True)
        expect("the end", c.rest(), b"")
        expect("after some seconds", time.monotonic() - began > 7.9, True)
        d.wait_closed()


@test
def a_session_that_goes_before_its_program_is_connected():
    with full() as nowhere:
        app, other = Server(naming("app")), Server(naming("other"))
        for more, name in ((), b"app"), ((({"header_filter": "^x-user:"}, other),), b"other"):
            d = Divert(app, nowhere, more=more)
            c = d.connect()
            c.send(MINE % 1)
            d.counters(("stolen", 1))
            expect("it waits", c.quiet(), True)
            d.end_first()
            expect("who answers", text(c.answer()), name + b" GET /1 HTTP/1.1")
            c.close()
            d.close()
        app.close()
        other.close()


if __name__ == "__main__":
    sys.exit(main())
