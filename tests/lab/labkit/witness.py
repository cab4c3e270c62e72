# SPDX-License-Identifier: MIT
"""What the servers of a node saw: one entry per connection or datagram, collected per run of a probe.

A server's view is half of each comparison: the peer's address, the bytes, and how the connection ended. `dump` waits a moment for
connections to end, since their ends (a reset, say) arrive after the program has gone.
"""

import hashlib
import threading
import time


class Witness:
    def __init__(self):
        self._lock = threading.Lock()
        self._entries = []
        self._open = 0

    def connection(self, label, local, peer):
        entry = {"server": label, "local": address(local), "peer": address(peer), "events": []}
        with self._lock:
            self._entries.append(entry)
            self._open += 1
        return entry

    def closed(self):
        with self._lock:
            self._open -= 1

    def datagram(self, label, local, peer, data, **more):
        entry = {"server": label, "local": address(local), "peer": address(peer), "bytes": len(data),
                 "hash": digest(data), **more}
        with self._lock:
            self._entries.append(entry)

    def reset(self):
        with self._lock:
            self._entries = []

    def dump(self, wait):
        end = time.monotonic() + wait
        while self._open > 0 and time.monotonic() < end:
            time.sleep(0.005)
        with self._lock:
            return list(self._entries)


def address(sockaddr):
    if not isinstance(sockaddr, tuple):
        return {"path": repr(sockaddr)}
    found = {"ip": sockaddr[0].partition("%")[0], "port": sockaddr[1]}
    return found


def digest(data):
    return hashlib.sha1(data).hexdigest()[:12]
