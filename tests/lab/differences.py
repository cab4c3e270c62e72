# SPDX-License-Identifier: MIT
"""The one list of what a program in the twin sees otherwise than in the target, with the reason.

A row: probe (a glob), where in its record (a glob), why. Nothing else is forgiven.
"""

from fnmatch import fnmatchcase

KNOWN = [
]


def is_known(probe, difference):
    where = difference[0].replace("[", "(").replace("]", ")")
    return any(fnmatchcase(probe, row[0]) and fnmatchcase(where, row[1].replace("[", "(").replace("]", ")")) for row in KNOWN)
