# SPDX-License-Identifier: MIT
"""A cable that loses, doubles, swaps and breaks frames: `bad_link.py A B SEED [BROKEN]` passes what comes out of interface A to B and
back, until it is killed; BROKEN is the part that gets a wrong bit. (netem is missing in many kernels.) A seed makes one sequence of misdeeds, whatever they happen to.
"""

import collections
import random
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING, ETH_P_ALL = 263, 15, 4, 3
LOSS, TWICE, LATE = 0.03, 0.03, 0.10
DELAY, MORE = 0.002, 0.006  # seconds; of one that others overtake


def open_interface(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.bind((name, ETH_P_ALL))
    return s


def broken(frame):
    """One bit of its last byte is another, and the card says nothing of the checksum."""
    return bytes(10) + frame[10:-1] + bytes([frame[-1] ^ 1])


def main():
    socks = [open_interface(name) for name in sys.argv[1:3]]
    chance = random.Random(int(sys.argv[3]))
    wrong = float(sys.argv[4]) if len(sys.argv) > 4 else 0
    waiting = collections.deque()
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        due = min((w[0] for w in waiting), default=None)
        ready, _, _ = select.select(socks, [], [], None if due is None else max(0, due - now))
        for s in ready:
            frame, sender = s.recvfrom(70000)
            if sender[2] == PACKET_OUTGOING:
                continue
            out, now = socks[1 - socks.index(s)], time.monotonic()
            if chance.random() < LOSS:
                continue
            for _ in range(2 if chance.random() < TWICE else 1):
                late = DELAY + (MORE if chance.random() < LATE else 0)
                waiting.append((now + late, out, broken(frame) if chance.random() < wrong else frame))
        now = time.monotonic()
        for w in sorted((w for w in waiting if w[0] <= now), key=lambda w: w[0]):
            waiting.remove(w)
            try:
                w[1].send(w[2])
            except OSError:
                pass


if __name__ == "__main__":
    main()
