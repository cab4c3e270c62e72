#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tally.py DIRECTORY -- counts the results in it, TAP (*.tap) and Meson's logs of tests (*.json), lists what was skipped, and what failed with
its explanation indented below (Meson shows none of what a TAP program says), prints `N passed, N failed, N skipped`. Exit status 1
when something failed, or nothing was run at all, or CI=true and something was skipped. A program that ends badly counts as failed
even if it printed no `not ok`."""
import itertools
import json
import os
import pathlib
import re
import sys

POINT = re.compile(r"(not )?ok\b\s*\d*\s*-?\s*(.*)")
PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*(skip)\S*\s*(.*))?", re.I)


EXPLANATION_LINES = 24


def shortened(lines):
    """Both ends of it: the first lines say what is wrong, the last ones are a log's."""
    if len(lines) <= EXPLANATION_LINES:
        return lines
    half = EXPLANATION_LINES // 2
    return [*lines[:half], f"[{len(lines) - 2 * half} lines]", *lines[-half:]]


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def fail(self, what, lines=()):
        self.failed.append("\n    ".join((f"failed: {what}", *shortened(list(lines)))))

    def program(self, name, text, bad_end, complaints):
        """One program's TAP: every point counts, a wrong plan or a bad end as one failure more. @bad_end: how, or nothing; @complaints:
        its stderr."""
        points, plan, failed_before = 0, None, len(self.failed)
        lines = text.splitlines()
        for i, line in enumerate(lines):
            if match := PLAN.fullmatch(line):
                plan = int(match[1])
                if match[2]:
                    self.skipped.append(f"{name}: {match[3]}")
            elif match := POINT.fullmatch(line):
                points += 1
                self.point(name, bool(match[1]), match[2], itertools.takewhile(lambda s: s.startswith("#"), lines[i + 1:]))
        if plan is None:
            self.fail(f"{name}: ended without a plan, after {points} checks ({bad_end or 'exit status 0'})", lines[-3:] + complaints)
        elif plan != points:
            self.fail(f"{name}: {points} checks, {plan} were planned ({bad_end or 'exit status 0'})", lines[-3:] + complaints)
        elif bad_end and len(self.failed) == failed_before:
            self.fail(f"{name}: all checks passed, but it ended badly ({bad_end})", lines[-3:] + complaints)

    def point(self, name, bad, text, explanation):
        what, _, directive = text.partition("#")
        if directive.strip().lower().startswith("skip"):
            self.skipped.append(f"{name}: {text.strip()}")
        elif bad:
            self.fail(f"{name}: {what.strip()}", explanation)
        else:
            self.passed += 1

    def plain(self, name, result, lines):
        """A program without TAP: its exit status is its one check."""
        if result == "OK":
            self.passed += 1
        elif result == "SKIP":
            self.skipped.append(name)
        else:
            self.fail(f"{name}: {result.lower()}", lines)


def read(tally, path):
    if path.suffix == ".json":
        for line in path.open():
            test = json.loads(line)
            text, complaints = test.get("stdout") or "", (test.get("stderr") or "").splitlines()
            if any(PLAN.fullmatch(line) or POINT.fullmatch(line) for line in text.splitlines()):
                timed_out = test["result"] == "TIMEOUT" and f"no end within {test['duration']:.0f} s"
                tally.program(test["name"], text, timed_out or (test["returncode"] and f"exit status {test['returncode']}"), complaints)
            else:
                tally.plain(test["name"], test["result"], text.splitlines()[-5:] + complaints)
    else:
        *lines, status = path.read_text(errors="replace").splitlines() or ["exit 1"]
        tally.program(path.stem, "\n".join(lines), "" if status == "exit 0" else status, [])


def main():
    tally = Tally()
    for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        read(tally, path)
    for name in tally.skipped:
        print(f"skipped: {name}")
    for text in tally.failed:
        print(text)
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    if not (tally.passed or tally.failed or tally.skipped):
        print("no test was run", file=sys.stderr)
        return 1
    return bool(tally.failed or (tally.skipped and os.environ.get("CI") == "true"))


sys.exit(main())
