# SPDX-License-Identifier: MIT
"""The figures that are taken in rounds, each by every way that can. A sample is a number in the figure's unit; a Problem says why not.

What a figure needs of a way: 'tcp', 'udp', 'resolver' (names by the target's resolv.conf), 'exec' (the way starts a program).
What it needs of the far side: one of servers.REAL.
"""
import json
import re

from .box import DOMAIN, RUN
from .process import Problem, Run, need, result
from .servers import BASE, PORTS, pgbench_program, write

NAMES = 200000  # fresh names for dnsperf, more than a sample can ask for


class Context:
    """What a sample is taken with."""

    def __init__(self, programs, seconds, direct_rate):
        self.programs, self.seconds = programs, seconds
        self.direct_rate = direct_rate  # figure key → the direct way's rate so far, in this mode
        self.notes = {}  # what a sample showed beside its number

    def gated(self, way, argv, pinned, seconds=None):
        """Runs a program of others behind the driver's gate."""
        run = Run(way.command([self.programs["bench-driver"], "gate", "--", *argv]), way.env, pinned, seconds or self.seconds + 30)
        run.stage()
        run.go_on()
        return run.finish()

    def drive(self, way, pinned, figure, *options, host=True):
        where = ["-H", way.host, "-p", str(BASE)] if host else []
        argv = [self.programs["bench-driver"], figure, *where, "-t", str(self.seconds), *options]
        return result(Run(way.command(argv), way.env, pinned, self.seconds * 2 + 40))


class Figure:
    def __init__(self, key, title, unit, sample, needs=("tcp",), server=None, lower=False, absolute=False, modes=("pinned", "free")):
        self.key, self.title, self.unit, self.sample = key, title, unit, sample
        self.needs, self.server, self.modes = needs, server, modes
        self.lower = lower  # less is better
        self.absolute = absolute  # shown as it is, not against direct


def round_trip(field, *options):
    return lambda c, way, pinned: c.drive(way, pinned, "round-trip", *options)[field]


def connect_rate(*options):
    def sample(c, way, pinned):
        r = c.drive(way, pinned, "connect-rate", *options)
        if r["failed"]:
            c.notes["failed"] = f"{r['failed']} connections failed ({r['error']})"
        return r["per_s"]
    return sample


def bulk(*options):
    def sample(c, way, pinned):
        r = c.drive(way, pinned, "bulk", *options)
        if not r["right"]:
            raise Problem(f"the bytes are wrong from {r['wrong_at']} on")
        return r["gbit_s"]
    return sample


def unread(c, way, pinned):
    r = c.drive(way, pinned, "unread")
    c.notes["taken"] = f"{r['taken_mib']:.1f} MiB taken, longest wait {max(r['first_max_ms'], r['beside_max_ms']):.1f} ms"
    return r["beside_p50_us"] / r["alone_p50_us"]


def datagrams(c, way, pinned):
    r = c.drive(way, pinned, "datagrams")
    if r["wrong"]:
        raise Problem(f"{r['wrong']} datagrams arrived damaged")
    c.notes["sent"] = f"{r['sent_per_s']:.0f}/s sent"
    return r["arrived_per_s"]


def datagram_loss(c, way, pinned):
    rate = c.direct_rate.get("udp")
    if not rate:
        raise Problem("the direct rate is not known (figure udp)")
    r = c.drive(way, pinned, "datagrams", "-r", str(rate / 2))
    if r["wrong"]:
        raise Problem(f"{r['wrong']} datagrams arrived damaged")
    c.notes["sent"] = f"{r['sent_per_s']:.0f}/s sent"
    return r["lost_percent"]


def iperf(c, way, pinned):
    """Datagrams that arrived per second when iperf3 sends as fast as it can."""
    out = c.gated(way, ["iperf3", "-u", "-b", "0", "-l", "1400", "-t", str(max(1, round(c.seconds))), "-J", "-c", way.host], pinned)
    report = json.loads(out[out.index("{"):])
    if "error" in report:
        raise Problem(f"iperf3: {report['error']}")
    total = report["end"]["sum"]
    c.notes["sent"] = f"{total['packets'] / total['seconds']:.0f}/s sent"
    return (total["packets"] - total["lost_packets"]) / total["seconds"]


def dnsperf(c, way, pinned):
    need("dnsperf")
    names = f"{RUN}/names"
    write(names, "".join(f"d{i}.{DOMAIN} A\n" for i in range(NAMES)))
    out = c.gated(way, ["dnsperf", "-s", way.host, "-d", names, "-l", str(max(1, round(c.seconds))), "-c", "1", "-q", "32"], pinned)
    rate, lost = re.search(r"Queries per second:\s+([\d.]+)", out), re.search(r"Queries lost:\s+(\d+)", out)
    if not rate:
        raise Problem("dnsperf gave no figure")
    if int(lost.group(1)):
        c.notes["lost"] = f"{lost.group(1)} queries lost"
    return float(rate.group(1))


def lookups(*options):
    def sample(c, way, pinned):
        r = c.drive(way, pinned, "lookups", "-D", DOMAIN, *options, host=False)
        if r["failed"]:
            c.notes["failed"] = f"{r['failed']} lookups failed ({r['error']})"
        return r["per_s"]
    return sample


def start_up(c, way, pinned):
    """A whole `true` by that way; the table takes the direct one off."""
    runs = str(max(5, round(20 * c.seconds)))
    argv = [c.programs["bench-driver"], "spawn", "-n", runs, "--", *way.wrapped(["true"])]
    return result(Run(way.node().within(argv), way.env, pinned, 60))["p50_ms"]


def pgbench(c, way, pinned):
    out = c.gated(way, [pgbench_program(), "-h", way.host, "-U", "postgres", "-n", "-S", "-M", "prepared", "-c", "8",
                        "-T", str(max(1, round(c.seconds))), "postgres"], pinned)
    found = re.search(r"tps = ([\d.]+) \(without", out)
    if not found:
        raise Problem("pgbench gave no figure")
    return float(found.group(1))


def redis_get(c, way, pinned):
    need("redis-benchmark")
    runs = str(round(40000 * c.seconds))
    out = c.gated(way, ["redis-benchmark", "-h", way.host, "-p", str(PORTS["redis"]), "-t", "get", "-c", "50", "-n", runs, "--csv"], pinned)
    found = re.search(r'"GET","([\d.]+)"', out)
    if not found:
        raise Problem("redis-benchmark gave no figure")
    return float(found.group(1))


def wrk(c, way, pinned):
    need("wrk")
    out = c.gated(way, ["wrk", "-t1", "-c32", f"-d{max(1, round(c.seconds))}s", f"http://{way.host}:{PORTS['http']}/"], pinned)
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if not found:
        raise Problem("wrk gave no figure")
    errors = re.search(r"(Socket errors|Non-2xx).*", out)
    if errors:
        c.notes["errors"] = errors.group(0)
    return float(found.group(1))


UDP, NAMES_TOO = ("udp",), ("resolver",)
ALL = [
    Figure("rr", "64 B round trip, p50", "µs", round_trip("p50_us"), lower=True),
    Figure("rr99", "64 B round trip, p99", "µs", round_trip("p99_us"), lower=True),
    Figure("crr1", "connect + exchange + close, 1 in flight, RST", "/s", connect_rate("-n", "1")),
    Figure("crr1-fin", "connect + exchange + close, 1 in flight, FIN", "/s", connect_rate("-n", "1", "-f")),
    Figure("crr16", "connect + exchange + close, 16 in flight, RST", "/s", connect_rate("-n", "16")),
    Figure("crr16-fin", "connect + exchange + close, 16 in flight, FIN", "/s", connect_rate("-n", "16", "-f")),
    Figure("up", "bulk to the server, checked", "Gbit/s", bulk()),
    Figure("down", "bulk from the server, checked", "Gbit/s", bulk("-d")),
    Figure("unread", "round trip beside 1 GiB unread, × alone", "×", unread, lower=True, absolute=True),
    Figure("udp-rr", "UDP 64 B round trip, p50", "µs", round_trip("p50_us", "-u"), UDP, lower=True),
    Figure("udp", "UDP 1400 B arrived, sent flat out", "/s", datagrams, ("udp", "tcp")),
    Figure("udp-loss", "UDP 1400 B lost at half direct's rate", "%", datagram_loss, ("udp", "tcp"), lower=True, absolute=True),
    Figure("iperf3", "iperf3 -u 1400 B arrived, flat out", "/s", iperf, ("udp", "tcp"), "iperf"),
    Figure("dnsperf", "dnsperf, 32 outstanding", "/s", dnsperf, UDP, "dns"),
    Figure("gai1", "getaddrinfo (A + AAAA), 1 thread", "/s", lookups("-n", "1"), NAMES_TOO, "dns"),
    Figure("gai16", "getaddrinfo (A + AAAA), 16 threads", "/s", lookups("-n", "16"), NAMES_TOO, "dns"),
    Figure("pgbench", "pgbench -S, 8 clients", "tps", pgbench, server="postgres"),
    Figure("redis", "redis-benchmark GET, 50 clients", "/s", redis_get, server="redis"),
    Figure("wrk", "wrk, nginx, 32 connections", "/s", wrk, server="http"),
    Figure("exec", "start and end of `true`, more than direct", "ms", start_up, ("exec",), lower=True, absolute=True, modes=("free",)),
]
