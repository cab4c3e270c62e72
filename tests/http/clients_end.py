#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clients_end.py DIVERT -- a client ends its connection, in the middle of something or at its end, or says nothing."""
import signal
import sys
import threading
import time

from kit import GET, MINE, PATIENCE, expect, main, reply, scene, test, text, wait_for


@test
def a_half_close_is_passed_on():
    """The client ends its side behind the request, and gets its answer all the same."""

    def handler(c, number):
        request = c.rest()
        if request:
            c.send(reply(request.split()[1]))

    with scene(handler, handler) as (d, app, program):
        for request in (GET, MINE):
            c = d.connect()
            c.send(request % 7)
            c.end()
            expect("answer", text(c.answer()), b"/7")
            expect("then the end", c.rest(), b"")
        d.wait_closed()


@test
def a_client_that_goes_is_missed():
    """An endless answer: its server hears that nobody listens any more."""
    for way in ("close", "reset"):
        gone = threading.Event()

        def handler(c, number):
            c.message()
            c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    c.send(b"1\r\nx\r\n")
                    time.sleep(0.01)
            except OSError:
                gone.set()

        for request in (GET, MINE):
            gone.clear()
            with scene(handler, handler) as (d, app, program):
                c = d.connect()
                c.send(request % 1)
                c.until(b"x")
                getattr(c, way)()
                expect("the server hears of it", gone.wait(PATIENCE), True)
                d.wait_closed()


@test
def a_client_that_goes_before_the_answer():
    gone = threading.Event()

    def handler(c, number):
        c.message()
        try:
            c.fill()
        except (EOFError, OSError):
            gone.set()

    for way in ("close", "reset"):
        for request in (GET, MINE):
            gone.clear()
            with scene(handler, handler) as (d, app, program):
                c = d.connect()
                c.send(request % 1)
                time.sleep(0.05)
                getattr(c, way)()
                expect("the server hears of it", gone.wait(PATIENCE), True)
                d.wait_closed()


@test
def a_client_that_says_nothing():
    with scene(lambda c, number: c.rest()) as (d, app, program):
        c = d.connect()
        expect("nothing happens", c.quiet(), True)
        c.close()
        d.wait_closed()


@test
def a_client_that_ends_before_it_is_known_what_it_speaks():
    """Its few bytes and its end are there at once, as the agent sees them when it is busy."""
    with scene(lambda c, number: c.rest()) as (d, app, program):
        for said in b"G", b"PRI * HTT", b"\x16\x03\x01\x02\x00\x01":
            for end in "end", "reset":
                d.process.send_signal(signal.SIGSTOP)
                c = d.connect()
                c.send(said)
                getattr(c, end)()
                d.process.send_signal(signal.SIGCONT)
                if end == "end":
                    expect("the app's end", c.rest(), b"")
                    expect("what the app got", said in app.received, True)
        d.wait_closed()


def frames(data):
    """The types of HTTP/2's frames."""
    types = []
    while len(data) >= 9:
        types.append(data[3])
        data = data[9 + int.from_bytes(data[:3], "big"):]
    return types


@test
def a_client_of_http2_that_ends_before_its_server_has_said_a_word():
    """What it said goes to the server nevertheless, and nothing is left of it."""
    preface, settings, get = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0", b"\0\0\6\1\5\0\0\0\1\x82\x84\x86\x41\1a"

    with scene(lambda c, number: c.rest()) as (d, app, program):
        for at_once in True, False:
            c = d.connect()
            if at_once:
                d.process.send_signal(signal.SIGSTOP)
            c.send(preface + settings + get)
            if not at_once:
                wait_for("how HTTP/2 begins", lambda: app.received[1:] and len(app.received[1]) > len(preface))
                expect("the app got nothing else", 1 in frames(app.received[1][len(preface):]), False)
            c.end()
            d.process.send_signal(signal.SIGCONT)
            c.rest()
            d.wait_closed()
        wait_for("both requests at the app", lambda: [1 in frames(r[len(preface):]) for r in app.received] == [True, True])


@test
def the_last_request_of_a_client():
    with scene() as (d, app, program):
        for version, fields in ((b"1.1", b"Connection: close\r\n"), (b"1.0", b"")):
            for mine, name in ((b"", b"app"), (b"X-User: alice\r\n", b"program")):
                c = d.connect()
                c.send(b"GET / HTTP/%s\r\n" % version + fields + mine + b"\r\n")
                expect("answer", text(c.answer()), b"%s GET / HTTP/%s" % (name, version))


if __name__ == "__main__":
    sys.exit(main())
