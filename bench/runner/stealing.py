# SPDX-License-Identifier: MIT
"""Stealing beside a bare proxy, and what a subscription costs.

    direct     bench-server in the target
    steal      the same program under `mirrord exec --steal`, on the client's machine; tunnel: every byte as frames
    haproxy    TCP mode, in the target, with the same program on the client's machine behind it

Clients are on the client's machine, and so is the program that answers: both ways cross the link twice.
"""
import statistics
import subprocess
import sys
import time

from . import memory, ways
from .box import CLIENT, RUN, TARGET
from .figures import ALL, Context
from .process import Problem, Service, cpus_of, named, need, pin, pin_services
from .servers import BASE, write

GOAL = "goal: round trip ≤ haproxy's, connects and bulk ≥ haproxy's; listen() returns, subscribed, within 5 ms; 5,000 mirrored connections take ≤ 16 KiB each"
ORIGINAL = "the original: 80 to 140 ms from listen() to subscribed"
HOST, PEER = TARGET["dante"], TARGET["sshd"]  # whose ports of bench-server's nobody else has
KEYS = ("rr", "rr99", "crr1", "crr1-fin", "crr16", "up", "down")
FIGURES = [f for f in ALL if f.key in KEYS]
MIRRORED, LISTENS = 5000, 20

# listen() returns when its port is subscribed.
LISTENING = f"""
import json, socket, time
took = []
for i in range({LISTENS} + 1):
    s = socket.socket(); s.bind(("0.0.0.0", 7200 + i)); began = time.perf_counter(); s.listen(); took.append(time.perf_counter() - began)
print(json.dumps(took), flush=True)
"""


class Client(ways.Way):
    """Who asks a port of the target's from outside."""
    def __init__(self, t, key, host, env=None):
        self.t, self.key, self.host, self.env = t, key, host, env or {}


class Program:
    """bench-server under mirrord."""

    def __init__(self, t, programs, options, env=None):
        argv = [programs["mirrord"], "exec", "-q", "--no-publish", *options, "-t", f"pid/{t.target.pid}", "--", programs["bench-server"], "0.0.0.0", str(BASE)]
        self.service = Service("stealing", t.client, argv, "client", env)
        self.service.wait_for(self._listens, 20)
        pin(named("mirrord"), cpus_of("client", True))
        pin(named("mirrord-agent"), cpus_of("server", True))

    def _listens(self):
        """Read from the twin: its last port is there when listen() has returned."""
        pid = self.service.process.pid
        with open(f"/proc/{pid}/net/tcp") as f:
            return any(line.split()[1].endswith(f":{BASE + 4:04X}") and line.split()[3] == "0A" for line in f.readlines()[1:])

    def close(self):
        self.service.process.terminate()
        self.service.process.wait(10)
        Service.all.remove(self.service)
        end = time.monotonic() + 15  # the agent lets go of the target
        while named("mirrord") and time.monotonic() < end:
            time.sleep(0.05)


def haproxy():
    conf = ["global", " nbthread 1", " maxconn 4000", "defaults", " mode tcp", " timeout connect 10s", " timeout client 1h", " timeout server 1h"]
    for p in range(BASE, BASE + 5):
        conf += [f"listen p{p}", f" bind {PEER}:{p}", f" server s {CLIENT}:{p}"]
    return ["haproxy", "-db", "-f", write(f"{RUN}/steal.haproxy", "\n".join(conf) + "\n")]


def start(name, node, argv, side, address):
    """Others have the same port at other addresses."""
    there = ["ss", "-Hltn", f"src {address}:{BASE + 4}"]
    return Service(name, node, argv, side).wait_for(lambda: subprocess.run(node.within(there), capture_output=True).stdout)


def services(t, programs):
    server = programs["bench-server"]
    return [start("steal-target", t.target, [server, HOST, str(BASE)], "server", HOST),
            start("steal-local", t.client, [server, CLIENT, str(BASE)], "client", CLIENT),
            start("steal-haproxy", t.target, haproxy(), "server", PEER)]


CASES = {"direct": (HOST, None), "steal": (HOST, {}), "tunnel": (HOST, {"MIRRORD_TUNNEL": "1"}), "haproxy": (PEER, None)}


def one_case(t, programs, case, seconds):
    host, env = CASES[case]
    program = None if env is None else Program(t, programs, ["--steal"], env)
    context, client = Context(programs, seconds, {}), Client(t, case, host)
    try:
        pin_services(True)
        return {f.key: f.sample(context, client, True) for f in FIGURES}
    finally:
        if program:
            program.close()


def lines_of(samples):
    middle = lambda case, key: statistics.median(v) if (v := [r[case][key] for r in samples if case in r]) else None
    for case in CASES:
        parts = []
        for f in FIGURES:
            value, direct = middle(case, f.key), middle("direct", f.key)
            if value is not None:
                parts.append(f"{f.key} {value:.3g} {f.unit}" + (f" ({value / direct:.2f} ×)" if direct and case != "direct" else ""))
        if parts:
            yield f"{case}: " + ", ".join(parts)


def listening(t, programs):
    """Milliseconds of the first call, which prepares the target, and of those after it."""
    data = {}
    for way, options in (("direct", None), ("steal", ["--steal"]), ("mirror", [])):
        argv = [sys.executable, "-c", LISTENING]
        if options is not None:
            argv = [programs["mirrord"], "exec", "-q", "--no-publish", *options, "-t", f"pid/{t.target.pid}", "--", *argv]
        done = subprocess.run((t.target if options is None else t.client).within(argv), capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Problem(f"listening, {way}: {done.stderr.strip().splitlines()[-1:]}")
        took = [float(x) * 1e3 for x in done.stdout.strip("[]\n").split(",")]
        data[way] = {"first": took[0], "p50": statistics.median(took[1:]), "most": max(took[1:])}
        yield f"listen(), {way}: the first {took[0]:.2f} ms, then {data[way]['p50']:.2f} (at most {data[way]['most']:.2f})"
    yield data


def mirrored(t, programs, count):
    """Memory of our processes while so many connections are mirrored."""
    program = Program(t, programs, [])
    try:
        stages = memory.flows(Context(programs, 1, {}), Client(t, "mirrored", HOST), count)
    finally:
        program.close()
    opened = next(s for s in stages if s["stage"] == "open")
    copies = opened["memory"].get("mirror", {}).get("fds", 0)
    roles = ", ".join(f"{r} RSS {m['rss'] / 1024:.1f} MiB" for r, m in sorted(opened["memory"].items()))
    yield (f"{opened['open']} connections, {copies} descriptors of the mirroring process: per connection " +
           ", ".join(f"{name} {memory.per_flow(stages, name):.1f} KiB" for name in ("open", "carried 64 B", "carried 64 KiB", "closed")) + f"; open: {roles}")
    yield stages


def report(o, t, programs):
    """Prints; returns the data."""
    print(f"\n{GOAL}\n{ORIGINAL}")
    samples, data = [], {"samples": []}
    try:
        need("haproxy")
        running = services(t, programs)
    except Problem as why:
        print(f"steal: {why}")
        return {}
    for _ in range(o.rounds):
        samples.append({})
        for case in CASES:
            try:
                samples[-1][case] = one_case(t, programs, case, o.seconds)
            except (Problem, subprocess.TimeoutExpired) as why:
                print(f"{case}: {why}")
    data["samples"] = samples
    print("\n".join(lines_of(samples)))
    for name, measure in (("listening", lambda: listening(t, programs)), ("mirrored", lambda: mirrored(t, programs, 1000 if o.quick else MIRRORED))):
        try:
            *lines, data[name] = measure()
            print("\n".join(lines))
        except (Problem, OSError, subprocess.TimeoutExpired) as why:
            print(f"{name}: {why}")
    for s in running:
        s.process.terminate()
        s.process.wait()
        Service.all.remove(s)
    return {"steal": data}
