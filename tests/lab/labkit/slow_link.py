# SPDX-License-Identifier: MIT
"""A cable with a delay: frames from one interface come out of another some time later. (netem is missing in many kernels.)

The packet sockets carry the virtio header along, so that checksums and sizes that the senders left to "hardware" stay valid.
"""

import random
import select
import socket
import threading
import time
from collections import deque

SOL_PACKET, PACKET_VNET_HDR, PACKET_OUTGOING = 263, 15, 4
ETH_P_ALL = 3


def _open(interface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.bind((interface, ETH_P_ALL))
    return s


def start(a, b, delay, loss=0):
    """Delays what passes between the interfaces @a and @b by @delay seconds each way; that part of the frames that @loss is gets lost."""
    socks = (_open(a), _open(b))
    threading.Thread(target=_run, args=(socks, delay, loss), daemon=True).start()


def _run(socks, delay, loss):
    waiting = deque()  # (due, socket, frame), in order: the delay is the same for all
    while True:
        wait = None if not waiting else max(0, waiting[0][0] - time.monotonic())
        ready, _, _ = select.select(socks, [], [], wait)
        for s in ready:
            try:
                frame, sender = s.recvfrom(70000)
            except OSError:  # the interface is gone
                return
            if sender[2] != PACKET_OUTGOING and random.random() >= loss:
                waiting.append((time.monotonic() + delay, socks[1 - socks.index(s)], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, out, frame = waiting.popleft()
            try:
                out.send(frame)
            except OSError:
                pass
