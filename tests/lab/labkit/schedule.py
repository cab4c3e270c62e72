# SPDX-License-Identifier: MIT
"""Hands tests to workers, each with a cluster of its own, and reports what they say.

A worker is asked for one test at a time. One that does not answer in time is ended with all that it has, the test has failed, and another
takes its place.
"""

import contextlib
import faulthandler
import json
import os
import select
import signal
import socket
import sys
import time

from .registry import PATIENCE

GRACE_SECONDS = 60 * PATIENCE
START_SECONDS = 600 * PATIENCE  # clusters that start beside much else take minutes
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Slot:
    """A running worker: main(socket) in a process whose death takes along all that it has. What it leaves then is removed by @clean."""

    def __init__(self, mode, main, clean):
        self.mode, self.clean, self.test, self.began, self.limit = mode, clean, None, time.monotonic(), START_SECONDS
        self.ready = False
        self.sock, theirs = socket.socketpair()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self.sock.close()
            for s in ENDS:
                signal.signal(s, signal.SIG_DFL)
            os._exit(main(theirs))
        theirs.close()
        self.lines = self.sock.makefile("r")

    def give(self, test):
        self.test, self.began, self.limit = test, time.monotonic(), test.timeout * PATIENCE + GRACE_SECONDS
        self.sock.sendall(json.dumps(test.name).encode() + b"\n")

    def end(self, kill=False):
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        else:  # closing is not enough: later workers have inherited our end
            self.sock.sendall(b"null\n")
        self.sock.close()
        self.lines.close()
        os.waitpid(self.pid, 0)
        self.clean()


@contextlib.contextmanager
def starting():
    """For a worker, around what it does before it is ready: where it is when that takes too long is told."""
    faulthandler.dump_traceback_later(START_SECONDS * 0.9)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def serve(sock, perform):
    """A worker that is ready: perform(name of a test) returns what came of it."""
    sock.sendall(b"true\n")
    for line in sock.makefile("r"):
        name = json.loads(line)
        if name is None:
            break
        sock.sendall(json.dumps(perform(name)).encode() + b"\n")


class Report:
    """TAP lines and the closing count."""

    def __init__(self, total, no_skips):
        self.total, self.no_skips, self.failed = total, no_skips, []
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        print(f"1..{total}", flush=True)

    def add(self, mode, name, result):
        outcome = result["outcome"]
        if outcome == "skipped" and self.no_skips:
            outcome, result["detail"] = "failed", "skipped: " + result["detail"]
        self.count[outcome] += 1
        number = sum(self.count.values())
        label = f"{number} - {mode}/{name} ({result.get('seconds', 0):.1f} s)"
        if outcome == "failed":
            self.failed.append(f"{mode}/{name}")
            print("not ok " + label)
            for key in ("expected", "seen", "detail"):
                for line in str(result.get(key, "")).splitlines() or ():
                    print(f"# {key}: {line}" if key != "detail" else f"#   {line}")
        else:
            print("ok " + label + (f" # SKIP {result['detail']}" if outcome == "skipped" else ""))
            for line in result.get("note", "").splitlines():
                print(f"# seen once, and not again: {line}")
        sys.stdout.flush()

    def close(self):
        for name in self.failed:
            print(f"# failed: {name}")
        print("{passed} passed, {failed} failed, {skipped} skipped".format(**self.count), flush=True)
        return 1 if self.count["failed"] else 0


def run(work, jobs, begin, report):
    """Runs @work, pairs of a mode and a test, by so many workers at a time; begin(mode) makes one, a Slot."""
    queues = {}
    for mode, test in work:
        queues.setdefault(mode, []).append(test)
    slots = []
    before = {s: signal.getsignal(s) for s in ENDS}
    for s in ENDS:
        if before[s] != signal.SIG_IGN:
            signal.signal(s, lambda number, _: sys.exit(128 + number))
    try:
        while slots or any(queues.values()):
            _fill(slots, queues, jobs, begin)
            for slot in _ready(slots):
                _listen(slot, slots, queues, report)
    finally:
        for s in ENDS:
            signal.signal(s, signal.SIG_IGN)
        for slot in slots:
            slot.end(kill=True)
        for s in ENDS:
            signal.signal(s, before[s])


def _fill(slots, queues, jobs, begin):
    """Starts workers for the longest queue per worker while there is room."""
    while len(slots) < jobs:
        def share(mode):
            return len(queues[mode]) / (1 + sum(s.mode == mode for s in slots))
        mode = max(queues, key=share)
        if share(mode) < 1:
            return
        slots.append(begin(mode))


def _ready(slots):
    """Slots that have something to say or are out of time."""
    now = time.monotonic()
    wait = max(0, min(s.began + s.limit - now for s in slots))
    readable, _, _ = select.select([s.sock for s in slots], [], [], wait)
    now = time.monotonic()
    return [s for s in slots if s.sock in readable or now > s.began + s.limit]


def _listen(slot, slots, queues, report):
    readable, _, _ = select.select([slot.sock], [], [], 0)
    line = slot.lines.readline() if readable else ""
    if not line:
        why = "its worker died" if readable else f"no end within {slot.limit} s"
        lost = [slot.test] if slot.test else []
        if not slot.ready and any(s.ready and s.mode == slot.mode for s in slots):
            print("# a cluster didn't start: " + why, flush=True)  # others did
        elif not slot.ready:  # the next one wouldn't start either
            lost, queues[slot.mode], why = queues[slot.mode], [], "no cluster: " + why
        for test in lost:
            report.add(slot.mode, test.name, {"outcome": "failed", "expected": "an end", "seen": why})
        slots.remove(slot)
        slot.end(kill=True)
        return
    result = json.loads(line)
    slot.ready = True
    if slot.test:
        report.add(slot.mode, slot.test.name, result)
    if queues[slot.mode]:
        slot.give(queues[slot.mode].pop(0))
    else:
        slots.remove(slot)
        slot.end()
