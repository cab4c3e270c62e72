# SPDX-License-Identifier: MIT
"""Bytes that prove their own place: a pattern that repeats only after 1 MiB + 7 bytes, so that a lost, doubled or swapped piece shows."""

import hashlib

_PERIOD = (1 << 20) + 7


def _make():
    out = bytearray()
    block = b"mirrord"
    while len(out) < _PERIOD:
        block = hashlib.sha512(block).digest()
        out += block
    return bytes(out[:_PERIOD])


_BLOCK = None


def _block():
    global _BLOCK
    if _BLOCK is None:
        one = _make()
        _BLOCK = one + one
    return _BLOCK


def piece(offset, size):
    """Bytes [offset, offset + size) of the pattern; @size up to 1 MiB."""
    start = offset % _PERIOD
    return _block()[start:start + size]


class Checker:
    """Takes a stream in pieces and says where it first differs from the pattern."""

    def __init__(self):
        self.offset = 0
        self.wrong_at = None

    def feed(self, data):
        at = 0
        while at < len(data):
            part = data[at:at + (1 << 20)]
            if self.wrong_at is None and part != piece(self.offset, len(part)):
                self.wrong_at = self.offset
            self.offset += len(part)
            at += len(part)

    def result(self):
        return {"bytes": self.offset, "wrong_at": self.wrong_at}
