# SPDX-License-Identifier: MIT
"""Memory of our processes in the course of many flows, and what happens at the limit of descriptors. Taken once, with mirrord only."""
import os
import time

from .process import Problem, Run, descriptor_limit, named
from .servers import BASE

SETTLE = 1.0  # seconds after a step before memory is read
GIVEN_BACK = 7.0  # after the flows were closed: free memory is given back to the kernel on a timer
FIELDS = {"Rss": "rss", "Pss": "pss", "Private_Dirty": "dirty"}


def role(comm):
    """agent, session, keeper, guard …; the program under test and its like are None."""
    name, _, role = comm.partition("-")
    return role if name == "mirrord" and role else None


def read(pid):
    """KiB: {'rss', 'pss', 'dirty', 'fds'}."""
    m = {}
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            name, _, rest = line.partition(":")
            if name in FIELDS:
                m[FIELDS[name]] = int(rest.split()[0])
    m["fds"] = len(os.listdir(f"/proc/{pid}/fd"))
    return m


def snapshot(wait=SETTLE):
    """By role; several processes of one role are added up."""
    time.sleep(wait)
    roles = {}
    for pid, comm in named("mirrord").items():
        r = role(comm)
        if not r:
            continue
        try:
            m = read(pid)
        except OSError:
            continue
        old = roles.setdefault(r, dict.fromkeys([*FIELDS.values(), "fds", "processes"], 0))
        for k, v in {**m, "processes": 1}.items():
            old[k] += v
    return roles


def flows(context, way, count, soft=None, hard=None):
    """All stages of `count` flows: [{'stage', 'open', 'alive', 'errors', 'ms', 'memory'}]. @soft, @hard: limits of descriptors."""
    argv = way.command([context.programs["bench-driver"], "flows", "-H", way.host, "-p", str(BASE), "-n", str(count)])
    if soft:
        # For mirrord alone; the driver gets its own back.
        argv = ["prlimit", f"--nofile={soft}:{hard}", "--", *argv]
    run = Run(argv, way.env, False, 180)
    stages = []
    try:
        while not stages or stages[-1]["stage"] != "closed":
            s = run.stage()
            s["memory"] = snapshot(GIVEN_BACK if s["stage"] == "closed" else SETTLE)
            stages.append(s)
            run.go_on()
        run.finish()
    except Problem:
        run.abandon()
        raise
    return stages


def per_flow(stages, name):
    """KiB of their own (private and written to) that each open flow costs at a stage, all our processes together; over what was there
    before. Pss would also move when another process maps or unmaps the same libraries."""
    at = {s["stage"]: s for s in stages}
    total = lambda s: sum(m["dirty"] for m in s["memory"].values())
    n = at["open"]["open"]
    return (total(at[name]) - total(at["ready"])) / n if n else None


def report(context, way, counts):
    """Text lines and data of all memory figures for one way."""
    lines, data = [], {}
    for n in counts:
        try:
            stages = flows(context, way, n)
        except Problem as p:
            lines.append(f"{n} flows: {p}")
            data[str(n)] = {"problem": str(p)}
            continue
        data[str(n)] = stages
        if n == counts[0]:
            idle = stages[0]["memory"]
            lines.append("idle: " + ", ".join(f"{r} RSS {m['rss'] / 1024:.1f} MiB (Pss {m['pss'] / 1024:.1f})" for r, m in sorted(idle.items())))
        opened = stages[1]
        lines.append(f"{n} flows, {opened['open']} open in {opened['ms'] / 1000:.2f} s" +
                     (f" (failed: {opened['errors']})" if opened["errors"] else "") + ": per flow " +
                     ", ".join(f"{name} {per_flow(stages, name):.1f} KiB" for name in ("open", "carried 64 B", "carried 64 KiB", "closed")))
    return lines, data


def limits(context, way, count):
    most, lines, data = descriptor_limit(), [], {}
    count = min(count, most - 64)  # the driver needs them, too
    for soft, hard, text in ((1024, most, f"{count} connections, limit soft 1024, hard {most}"),
                             (1024, 4096, f"{count} connections, limit soft 1024, hard 4096")):
        try:
            stages = flows(context, way, count, soft, hard)
            opened, carried = stages[1], stages[2]
            later = f" (then: {carried['errors']})" if carried["errors"] != opened["errors"] else ""
            lines.append(f"{text}: {opened['open']} open in {opened['ms'] / 1000:.1f} s, {opened['wanted'] - opened['open']} not" +
                         (f" ({opened['errors']})" if opened["errors"] else "") + f"; {carried['alive']} of {opened['open']} carry data{later}")
            data[text] = stages
        except Problem as p:
            lines.append(f"{text}: {p}")
            data[text] = {"problem": str(p)}
    return lines, data
