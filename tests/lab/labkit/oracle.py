# SPDX-License-Identifier: MIT
"""The oracle: a program in the twin behaves as it would in the target.

Each probe runs twice, once directly in the target and once under `mirrord exec`, and the two records are compared: what the program
saw (its own steps, its exit status, its stderr) and what the servers saw. What may differ is in differences.py, with the reason.
"""

import json
import time

import differences as known
from . import record
from .lab import PYTHON
from .registry import PATIENCE, Failure, Skip, TESTS, Test

SETTLE_SECONDS = 1.5 * PATIENCE
TARGET_RECORDS = 4
TWIN_RECORDS = 5
SLOWER = 3  # than its own timeout says a probe may be on a busy machine


def run_once(lab, probe, family, way):
    """@way: "target", "twin" or "host"."""
    argv = [*PYTHON, "/tmp/lab/tests/probes/main.py", probe.name, str(family)]
    cluster = lab.cluster
    cluster.witness_reset()
    if probe.fresh:
        cluster.nodes[probe.pod].run(["sh", "-c", "ip route flush cache; ip -6 route flush cache"])
    if way == "twin":
        done = lab.mirrord(argv, target=lab.target_of(probe.pod), options=probe.options, timeout=SLOWER * probe.timeout)
    else:
        where = (lambda: lab.in_target(probe.pod)) if way == "target" else lab.plainly
        done = lab.run(argv, where, timeout=SLOWER * probe.timeout)
    try:
        steps = json.loads(done.out)
    except ValueError:
        raise Failure(f"a record from the probe ({way})", str(done), lab.log() if way == "twin" else "") from None
    if steps and steps[-1][0] == "skip":
        raise Skip(steps[-1][1])
    time.sleep(probe.settle * PATIENCE)
    servers = _servers(cluster.witness_dump(SETTLE_SECONDS), probe.servers)
    return {"program": steps, "status": done.status, "stderr": done.err, "servers": servers}


def _servers(entries, order):
    if order == "ignored":
        return []
    if order == "unordered":
        for e in entries:
            if e["peer"].get("port", 0) >= record.FIRST_EPHEMERAL:
                e["peer"]["port"] = "E"
        return sorted(entries, key=lambda e: json.dumps(e, sort_keys=True))
    return sorted(entries, key=lambda e: (e["node"], e["server"], e["local"].get("ip", ""), e["local"].get("port", 0)))


def _unexpected(expected, seen, probe):
    return [d for d in record.differences(expected, seen) if not known.is_known(probe.name, d)]


def compare(lab, probe, family, way="twin", run=run_once):
    """Returns what was seen once and not again: on a busy machine any single step may be late, and the steps behind it differ. What the twin does
    otherwise each time it is asked is the product's."""
    way = probe.oracle if way == "target" else way
    expected = record.normalise(run(lab, probe, family, probe.oracle))
    notes = []
    for left in reversed(range(TWIN_RECORDS)):
        seen = record.normalise(run(lab, probe, family, way))
        found = _unless_the_targets(_unexpected(expected, seen, probe), seen, lambda: run(lab, probe, family, probe.oracle), probe)
        if not found:
            return "\n".join(notes)
        lines = "\n".join(f"{where}: in the target {_short(a)}, in the {way} {_short(b)}" for where, a, b in found)
        if not left or way != "twin":
            raise Failure(_short(found[0][1]) + " at " + found[0][0], _short(found[0][2]), lines + ("\n" + lab.log() if way == "twin" else ""))
        notes.append(lines)


def _unless_the_targets(found, seen, run, probe):
    """Where the kernel's own answer depends on a race (an ICMP error that finds the socket locked, data that crosses a close), the target has more
    than one record. That of the twin has to be one of them."""
    for _ in range(TARGET_RECORDS - 1):
        if not found or not _unexpected(record.normalise(run()), seen, probe):
            return []
    return found


def _short(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 600 else text[:600] + "…"


def add_tests(probes, way, once=run_once):
    """@once: runs a probe, as run_once()."""
    for probe in probes:
        for family in probe.families:
            name = f"{probe.area}.{probe.name}" + (f"[v{family}]" if len(probe.families) > 1 else "")

            def run(lab, probe=probe, family=family):
                return compare(lab, probe, family, way, once)
            TESTS.append(Test(name, run, modes=probe.modes, long=probe.long, needs=probe.needs, timeout=(1 + TWIN_RECORDS * TARGET_RECORDS) * probe.timeout + 10))
