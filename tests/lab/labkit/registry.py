# SPDX-License-Identifier: MIT
"""The list of tests. A test is a function that takes a Lab and raises Failure, or Skip. What it returns, if anything, is printed."""

import os


# How much longer than on a machine of its own everything may take: in an emulated one, more. A wait for what comes in the end is PROMPT
# seconds at least, since a busy machine may be slow at any moment and who waits for a condition loses nothing by patience; only where
# the promise itself is a time is there a smaller number.
PATIENCE = float(os.environ.get("LAB_PATIENCE", "1"))
PROMPT = 60 * PATIENCE


class Failure(Exception):
    """@detail: lines that help, beyond expected and seen."""

    def __init__(self, expected, seen, detail=""):
        super().__init__(f"expected {expected}, seen {seen}")
        self.expected, self.seen, self.detail = expected, seen, detail


class Skip(Exception):
    pass


class Test:
    def __init__(self, name, run, modes=("root", "user"), long=False, needs=(), timeout=300):
        self.name, self.run, self.modes, self.long, self.needs, self.timeout = name, run, modes, long, needs, timeout


TESTS = []


def test(name, **more):
    """Decorator. @modes: in which sandboxes; @needs: programs; @long: only with --long; @timeout: seconds for all of it."""
    def add(function):
        TESTS.append(Test(name, function, **more))
        return function
    return add


def expect(what, seen, expected, detail=""):
    """@expected: a value, or a predicate with a docstring or name that says what it asks."""
    if callable(expected):
        if not expected(seen):
            raise Failure(f"{what}: {expected.__doc__ or expected.__name__}", repr(seen), detail)
    elif seen != expected:
        raise Failure(f"{what}: {expected!r}", repr(seen), detail)


def expect_in(what, seen, part, detail=""):
    if part not in seen:
        raise Failure(f"{what} with {part!r} in it", repr(seen), detail)
