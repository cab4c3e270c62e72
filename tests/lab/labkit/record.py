# SPDX-License-Identifier: MIT
"""Comparing two records of a probe: what may differ between two runs of the same thing is taken out first.

Ephemeral ports become E1, E2 … in the order in which they appear, program's view first; so a port that the program saw and a port
that a server saw are still the same or not the same. Durations are compared with a tolerance, not by buckets with an edge.
"""

FIRST_EPHEMERAL = 32768  # no server of the lab listens above
TOLERANCE_SECONDS, TOLERANCE_SHARE = 0.25, 0.2


def normalise(value, names=None):
    names = {} if names is None else names
    if isinstance(value, dict):
        out = {}
        for k, v in value.items():
            if k == "port" and isinstance(v, int) and v >= FIRST_EPHEMERAL:
                out[k] = names.setdefault(v, f"E{len(names) + 1}")
            else:
                out[k] = normalise(v, names)
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
