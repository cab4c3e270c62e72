# SPDX-License-Identifier: MIT
"""What the configuration costs: reading a long file, and an outgoing filter with many entries at each connect."""
import json
import resource
import subprocess
from statistics import median

from . import figures, ways
from .box import RUN
from .process import Problem
from .servers import write

GOAL = "goal: a file of 10,000 lines is read in ≤ 20 ms; a filter with 1,000 entries costs no measurable time per connect"
LINES, ENTRIES, REPEATS = 10000, 1000, 11


def entries(n):
    """Prefixes, names and ports, none of which the benchmark's server matches."""
    kinds = ("198.18.{a}.{b}/31", "*.service-{n}.example.com:443", "tcp://[2001:db8:{n:x}::]/48", "192.0.2.{b}:{port}")
    return [kinds[i % len(kinds)].format(n=i, a=i // 256 % 256, b=i % 256, port=8000 + i % 1000) for i in range(n)]


def file_with(name, n):
    return write(f"{RUN}/{name}.json", json.dumps({"feature": {"network": {"outgoing": {"filter": {"local": entries(n)}}}}}, indent=0))


def seconds_of(argv):
    """Of the processor, by a whole process that waits for nothing; the shortest of some."""
    def once():
        def spent():
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime
        before = spent()
        subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
        return spent() - before
    return min(once() for _ in range(REPEATS))


def loading(mirrord):
    path = file_with("long", LINES)
    with open(path) as f:
        lines = sum(1 for _ in f)
    spent = seconds_of([mirrord, "verify-config", "--file-alone", path]) - seconds_of([mirrord, "--version"])
    return f"a file of {lines} lines: {spent * 1e3:.1f} ms", {"lines": lines, "seconds": spent}


class Filtered(ways.Mirrord):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def wrapped(self, argv):
        return [self.program, "exec", "-q", "-f", self.path, "-t", f"pid/{self.t.target.pid}", "--", *argv]


def connects(o, t, programs):
    """Both ways take turns, so that a busy machine is as busy for both."""
    both = [Filtered(file_with("none", 1)), Filtered(file_with("many", ENTRIES))]
    context = figures.Context(programs, o.seconds, {})
    rates = [[], []]
    for w in both:
        w.start(t, programs)
    for _ in range(o.rounds):
        for w, seen in zip(both, rates):
            seen.append(context.drive(w, True, "connect-rate")["per_s"])
    few, many = (median(r) for r in rates)
    return (f"connects: {few:.0f}/s with an entry, {many:.0f}/s with {ENTRIES} ({many / few:.2f} ×, {1e6 / many - 1e6 / few:+.1f} µs each)",
            {"one": rates[0], "many": rates[1]})


def report(o, t, programs):
    """Prints; returns the data."""
    print(f"\n{GOAL}")
    data = {}
    for name, measure in (("loading", lambda: loading(programs["mirrord"])), ("connects", lambda: connects(o, t, programs))):
        try:
            line, data[name] = measure()
        except (Problem, OSError, subprocess.CalledProcessError) as why:
            line = f"{name}: {why}"
        print(line)
    return {"config": data}
