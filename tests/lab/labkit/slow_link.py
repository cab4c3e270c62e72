# SPDX-License-Identifier: MIT
"""A cable with a delay: frames from one interface come out of another some time later. (netem is missing in many kernels.)

The packet sockets carry the virtio header along, so that checksums and sizes that the senders left to "hardware" stay valid.
"""

import contextlib
import itertools
import random
import select
import socket
import threading
import time
from collections import deque

SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
ROOM = 64 << 20  # what comes while we have no processor isn't to be lost


def _open(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    with contextlib.suppress(PermissionError):  # in a user namespace; there nobody sends so much
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    s.bind((interface, ETH_P_ALL))
    return s


def start(a, b, delay, loss=0):
    """Delays what passes between the interfaces @a and @b by @delay seconds each way; that part of the frames that @loss is gets lost: of each
    hundred one that chance chooses, where it is 0.01, so that figures differ by where they are lost and not by how many."""
    socks = (_open(a), _open(b))
    threading.Thread(target=_run, args=(socks, delay, loss), daemon=True).start()


def _fates(loss):
    """Whether each frame of a direction is lost."""
    if not loss:
        yield from itertools.repeat(False)
    while True:
        block = round(1 / loss)
        lost = random.randrange(block)
        yield from (i == lost for i in range(block))


def _run(socks, delay, loss):
    fates = [_fates(loss) for _ in socks]
    waiting = deque()  # (due, socket, frame), in order: the delay is the same for all
    while True:
        wait = None if not waiting else max(0, waiting[0][0] - time.monotonic())
        ready, _, _ = select.select(socks, [], [], wait)
        for s in ready:
            try:
                frame, sender = s.recvfrom(70000)
            except OSError:  # the interface is gone
                return
            i = socks.index(s)
            if sender[2] != PACKET_OUTGOING and not next(fates[i]):
                waiting.append((time.monotonic() + delay, socks[1 - i], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, out, frame = waiting.popleft()
            try:
                out.send(frame)
            except OSError:
                pass
