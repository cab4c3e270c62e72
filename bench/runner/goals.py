# SPDX-License-Identifier: MIT
"""What we want to reach, and what the original was measured at.

The original: mirrord 3.250.0 (release, commit 8320eb8f), measured once on such a machine (2 vCPUs, Linux 6.18) with the same shape
of namespaces and pinning, by a driver that speaks its protocol: without its hooks and without a cluster in the path. First its
agent alone, then with its local proxy too. Ratios are against direct in the same run.
"""
ORIGINAL = {
    ("rr", "pinned"): "1.70, 2.30",
    ("crr1", "pinned"): "0.39, 0.23",
    ("crr1", "free"): "0.34, 0.18",
    ("crr16", "pinned"): "0.38, 0.24",
    ("crr16", "free"): "0.41, 0.13",
    ("up", "pinned"): "0.60, 0.53, bytes wrong",
    ("up", "free"): "0.55, 0.55, bytes wrong",
    ("down", "pinned"): "0.54, 0.50",
    ("down", "free"): "0.58, 0.45",
    ("unread", "pinned"): "stands 30 s from 2 MiB on",
    ("gai1", "free"): "0.19",
    ("exec", "free"): "37 (agent alone)",
}
ORIGINAL_MEMORY = "the original: idle 26.8 MiB (Pss 15), per idle flow 7.4 KiB, after 64 KiB on each 131 KiB, closed: half stays"
ORIGINAL_LIMIT = "the original, at its limit of 1,024: session dead, the target's port refuses everyone"


class Goal:
    """@way's value against direct (or as it is, for absolute figures), or against another way's."""

    def __init__(self, way, op, number=None, other=None):
        self.way, self.op, self.number, self.other = way, op, number, other

    def met(self, ratios):
        """None when a value is missing."""
        mine = ratios.get(self.way)
        limit = self.number if self.other is None else ratios.get(self.other)
        if mine is None or limit is None:
            return None
        return {"≤": mine <= limit, "≥": mine >= limit, "<": mine < limit, ">": mine > limit}[self.op]

    def text(self, ratios):
        what = f"{self.number:g}" if self.other is None else self.other
        mark = {None: "", True: " ✔", False: " ✘"}[self.met(ratios)]
        return f"{'T ' if self.way == 'tunnel' else ''}{self.op} {what}{mark}"


def both(op, mine, tunnel, rest=()):
    return [Goal("mirrord", op, mine), Goal("tunnel", op, tunnel), *rest]


GOALS = {
    "rr": both("≤", 1.5, 1.9, [Goal("tunnel", "<", other="ssh")]),
    "crr1": both("≥", 0.42, 0.35, [Goal("tunnel", ">", other="ssh")]),
    "crr16": both("≥", 0.42, 0.35, [Goal("tunnel", ">", other="ssh")]),
    "up": [Goal("mirrord", "≥", other="haproxy"), Goal("tunnel", "≥", 0.6)],
    "down": [Goal("mirrord", "≥", other="haproxy"), Goal("tunnel", "≥", 0.6)],
    "unread": both("≤", 1.1, 1.1),
    "udp": [Goal("mirrord", "≥", 0.5)],
    "udp-loss": [Goal("mirrord", "≤", 0.01)],
    "iperf3": [Goal("mirrord", "≥", 0.5)],
    "dnsperf": [Goal("mirrord", "≥", 0.5)],
    "gai1": [Goal("mirrord", "≥", 0.5)],
    "gai16": [Goal("mirrord", "≥", 0.5)],
    "pgbench": [Goal("mirrord", "≥", 0.6)],
    "redis": [Goal("mirrord", "≥", 0.6)],
    "wrk": [Goal("mirrord", "≥", 0.6)],
    "exec": [Goal("mirrord", "≤", 30)],
}
MEMORY_GOAL = "goal: agent and session ≤ 4 MiB RSS each; ≤ 8 KiB per idle flow, also after it carried 64 KiB; all back when closed"
LIMIT_GOAL = "goal: the limit is raised at start; what is over it is refused cleanly, the rest goes on"
MIRROR_GOAL = "goal: at 8,000 requests/s a mirrored target keeps 0.99 × the rate and ≤ 1.2 × mean and p99, all copied; flat out the copies suffer, not the target"
ORIGINAL_MIRROR = "the original: a mirrored target does 0.09 × its requests/s flat out; 1 to 4 % of the copies are lost and nobody is told"
FILTER_GOAL = ("goal: never ≥ 0.55 × direct and ≥ 1.3 × haproxy, all ≥ 0.4 × direct, p50 and p99 ≤ haproxy's (all: haproxy-far's), HTTP/2 ≥ 1.2 × haproxy, sixteen ≥ 0.9 × never, "
               "1 GiB ≥ 0.8 × and not HTTP ≥ 0.9 × haproxy-tcp, an idle connection ≤ 16 KiB")
ORIGINAL_FILTER = "the original: never 0.10 × direct, all 0.25 × with its driver answering, p50 2.5 × direct"
