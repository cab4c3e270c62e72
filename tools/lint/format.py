#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""format.py FILE… -- says where a C file is laid out otherwise than .clang-format says.

Where a line is broken is the author's business, up to 150 columns: clang-format knows one answer only, and often not the most legible one.
So a file is compared with what clang-format makes of it gap by gap: what stands before each character that is no white space, nothing, space
or a line break. A break on either side is right; space on one and nothing on the other is not. Left out is what clang-format misreads:
casts in macros, `a < b, c > d` as a C++ template."""
import concurrent.futures
import re
import subprocess
import sys

COLUMNS = 150
MACRO = re.compile(r"^[ \t]*#(?:.*\\\n)*.*$", re.M)


def gaps(text):
    """Of each character that is no white space, (the white space before it, itself, where it stands)."""
    return [(m[1], m[2], m.start(2)) for m in re.finditer(r"(\s*)(\S)", text)]


def misplaced(text, made):
    """Where the spacing of the two is at odds."""
    macro = bytearray(len(text) + 1)
    for m in MACRO.finditer(text):
        macro[m.start() : m.end()] = b"\1" * (m.end() - m.start())
    before = ""
    for (ours, char, at), (theirs, other, _) in zip(gaps(text), gaps(made)):
        if char != other:
            yield at, "clang-format changes more than the layout here"
            return
        if not macro[at] and not {before, char} & set("<>") and "\n" not in ours + theirs and bool(ours) != bool(theirs):
            yield at, "a space is missing" if theirs else "a space too many"
        before = char


def check(path):
    text = open(path).read()
    made = subprocess.run(["clang-format", path], check=True, capture_output=True, text=True).stdout
    for at, what in misplaced(text, made):
        yield text.count("\n", 0, at) + 1, f"{what} before `{text[at:at + 20].splitlines()[0]}`"
    for number, line in enumerate(text.splitlines(), 1):
        if len(line.expandtabs(8)) > COLUMNS:
            yield number, f"longer than {COLUMNS} columns"
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if re.match(r"\t* {8}", line):
            yield number, "indented with spaces"
    if "\n\n\n" in text:
        yield text.count("\n", 0, text.index("\n\n\n")) + 2, "two empty lines"


def complaints(path):
    return [f"{path}:{number}: {what}\n" for number, what in check(path)]


with concurrent.futures.ProcessPoolExecutor() as pool:
    found = "".join(line for lines in pool.map(complaints, sys.argv[1:], chunksize=4) for line in lines)
sys.stdout.write(found)
sys.exit(bool(found))
