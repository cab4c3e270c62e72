# SPDX-License-Identifier: MIT
"""Comparing two records of a probe: what may differ between two runs of the same thing is taken out first.

Ephemeral ports become E1, E2 … (by address and port) in the order in which they appear, program's view first; so a port that the program saw and a port
that a server saw are still the same or not the same. Durations are compared with a tolerance, not by buckets with an edge.
"""

from .registry import PATIENCE

FIRST_EPHEMERAL = 32768  # no server of the lab listens above
TOLERANCE_SECONDS, TOLERANCE_SHARE = 0.25 * PATIENCE, 0.2


ANY = ("", "0.0.0.0", "::")


class _Names:
    """An endpoint keeps its name; a socket that is bound to any address and later has one is the same."""

    def __init__(self):
        self.known = []  # (address, port, name)

    def name(self, ip, port):
        ip = ip.replace("::ffff:", "")
        for known_ip, known_port, name in self.known:
            if port == known_port and (ip == known_ip or ip in ANY or known_ip in ANY):
                return name
        self.known.append((ip, port, f"E{len(self.known) + 1}"))
        return self.known[-1][2]


def normalise(value, names=None):
    names = _Names() if names is None else names
    if isinstance(value, dict):
        out = {k: normalise(v, names) for k, v in value.items() if k != "port"}
        if "port" in value:
            port = value["port"]
            out["port"] = names.name(value.get("ip", ""), port) if isinstance(port, int) and port >= FIRST_EPHEMERAL else port
        return out
    if isinstance(value, list):
        return [normalise(v, names) for v in value]
    return value


def _is_seconds(value):
    return isinstance(value, dict) and set(value) == {"seconds"}


def differences(a, b, path="", out=None):
    """A list of (where, in a, in b)."""
    out = [] if out is None else out
    if _is_seconds(a) and _is_seconds(b):
        x, y = a["seconds"], b["seconds"]
        if abs(x - y) > TOLERANCE_SECONDS + TOLERANCE_SHARE * min(x, y):
            out.append((path, f"{x:.2f} s", f"{y:.2f} s"))
    elif isinstance(a, dict) and isinstance(b, dict):
        for key in list(a) + [k for k in b if k not in a]:
            differences(a.get(key, "(nothing)"), b.get(key, "(nothing)"), f"{path}.{key}" if path else key, out)
    elif isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            left, right = (x[i] if i < len(x) else "(nothing)" for x in (a, b))
            label = f"[{i}]"
            for side in (left, right):  # a step of the program's record: name it
                if isinstance(side, list) and len(side) == 2 and isinstance(side[0], str):
                    label = f"[{i}: {side[0]}]"
                    break
            differences(left, right, path + label, out)
    elif a != b:
        out.append((path, a, b))
    return out
