# SPDX-License-Identifier: MIT
"""Runs one role of a pair in this process: main.py NAME FAMILY server|client. Prints its notes as JSON; a server says "ready" before."""

import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from serving import kit  # noqa: E402


def main():
    name, family, role = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    kit.load()
    p = kit.Role(family)
    server, client = kit.PAIRS[name].roles()
    try:
        (server if role == "server" else client)(p)
    except OSError as e:
        p.note("ended by", kit.Probe.plain(p, type(e).__name__))
    print(json.dumps(p.steps), flush=True)


main()
