#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tally.py DIRECTORY -- counts the results in it, TAP (*.tap) and Meson's logs of tests (*.json), lists what failed or was skipped, prints
`N passed, N failed, N skipped`. Exit status 1 when something failed, or nothing was run at all, or CI=true and something
was skipped. A program that ends badly counts as failed even if it printed no `not ok`."""
import json
import os
import pathlib
import re
import sys

POINT = re.compile(r"(not )?ok\b\s*\d*\s*-?\s*(.*)")
PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*(skip)\S*\s*(.*))?", re.I)


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def program(self, name, text, ended_well):
        """One program's TAP: every point counts, a wrong plan or a bad end as one failure more."""
        points, plan, failed_before = 0, None, len(self.failed)
        for line in text.splitlines():
            if match := PLAN.fullmatch(line):
                plan = int(match[1])
                if match[2]:
                    self.skipped.append(f"{name}: {match[3]}")
            elif match := POINT.fullmatch(line):
                points += 1
                self.point(name, bool(match[1]), match[2])
        if plan is None:
            self.failed.append(f"{name}: ended without a plan, after {points} checks")
        elif plan != points:
            self.failed.append(f"{name}: {points} checks, {plan} were planned")
        elif not ended_well and len(self.failed) == failed_before:
            self.failed.append(f"{name}: all checks passed, but its exit status says failure")

    def point(self, name, bad, text):
        what, _, directive = text.partition("#")
        if directive.strip().lower().startswith("skip"):
            self.skipped.append(f"{name}: {text.strip()}")
        elif bad:
            self.failed.append(f"{name}: {what.strip()}")
        else:
            self.passed += 1

    def plain(self, name, result):
        """A program without TAP: its exit status is its one check."""
        if result == "OK":
            self.passed += 1
        elif result == "SKIP":
            self.skipped.append(name)
        else:
            self.failed.append(f"{name}: {result.lower()}")


def read(tally, path):
    if path.suffix == ".json":
        for line in path.open():
            test = json.loads(line)
            text = test.get("stdout") or ""
            if any(PLAN.fullmatch(line) or POINT.fullmatch(line) for line in text.splitlines()):
                tally.program(test["name"], text, test["returncode"] == 0 and test["result"] != "TIMEOUT")
            else:
                tally.plain(test["name"], test["result"])
    else:
        *lines, status = path.read_text(errors="replace").splitlines() or ["1"]
        tally.program(path.stem, "\n".join(lines), status == "exit 0")


def main():
    tally = Tally()
    for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        read(tally, path)
    for title, names in (("skipped", tally.skipped), ("failed", tally.failed)):
        for name in names:
            print(f"{title}: {name}")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    if not (tally.passed or tally.failed or tally.skipped):
        print("no test was run", file=sys.stderr)
        return 1
    return bool(tally.failed or (tally.skipped and os.environ.get("CI") == "true"))


sys.exit(main())
