#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whatever ends the bench ends all that it has started. Its output is a pipe that all of them hold: it ends with the last one."""
import os
import select
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
from runner import box  # noqa: E402

IS_ROOT = os.geteuid() == 0
WAIT = 60  # seconds


def inside():
    box.enter()
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print("ready", flush=True)
    signal.pause()


def ends_by(number):
    """None, or what is wrong."""
    argv = [*([] if IS_ROOT else ["unshare", "--user", "--map-root-user"]), sys.executable, __file__, "inside"]
    bench = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if bench.stdout.readline() != b"ready\n":
        return "it didn't start"
    bench.send_signal(number)
    bench.wait(WAIT)
    over = select.select([bench.stdout], [], [], WAIT)[0] and bench.stdout.read() == b""
    return None if over else "what it started is still there"


def main():
    if sys.argv[1:] == ["inside"]:
        inside()
    if not shutil.which("mount"):
        print("1..0 # SKIP there is no mount(8) here: ./dev bench needs it")
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)
    print(f"1..{len(numbers)}")
    failed = 0
    for i, number in enumerate(numbers, 1):
        wrong = ends_by(number)
        failed += wrong is not None
        print(f"{'not ' if wrong else ''}ok {i} - {number.name}{f': {wrong}' if wrong else ''}", flush=True)
    sys.exit(failed > 0)


main()
