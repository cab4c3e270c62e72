# SPDX-License-Identifier: MIT
"""Runs one probe in this process: main.py NAME FAMILY. Prints its notes as JSON."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from probes import kit  # noqa: E402


def main():
    name, family = sys.argv[1], int(sys.argv[2])
    kit.load()
    p = kit.Probe(family)
    try:
        kit.PROBES[name].run(p)
    except SystemExit:
        pass
    print(json.dumps(p.steps))


main()
