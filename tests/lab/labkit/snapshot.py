# SPDX-License-Identifier: MIT
"""What exists in the lab: taken before and after a test, so that what the product leaves behind shows.

The lab has a PID namespace, a /tmp, a /var/tmp, a /run and a /dev/shm of its own, so everything that is new is ours or the product's.
"""

import os
import re
import signal
import subprocess
import time

from . import linux
from .registry import PATIENCE

OWN_FILES = ("/tmp/lab",)


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def _processes():
    found = {}
    for pid in pids():
        name, state = linux.comm(pid), linux.process_state(pid)
        if state and state != "Z":
            found[f"process {pid}"] = name
    return found


def _network_namespaces():
    found = {}
    for pid in pids():
        try:
            name = os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            continue
        found.setdefault(f"network namespace {name}", linux.comm(pid))
    return found


def _files():
    found = {}
    for top in ("/tmp", "/run", "/dev/shm", "/var/tmp"):
        for directory, names, files in os.walk(top, onerror=lambda e: None):
            if directory.startswith(OWN_FILES):
                names[:] = []
                continue
            for f in files:
                found[f"file {directory}/{f}"] = ""
    return found


def _mounts():
    with open("/proc/self/mountinfo") as f:
        return {"mount " + " ".join(line.split()[3:5]): "" for line in f}


# Few processes, since it is done after each test, in emulated machines too. `ip -batch` knows one family.
COMMANDS = "ip -o -batch -; ip -o -6 rule; ip -o -6 route; nft list ruleset"
BATCH = "link show\naddress show\nrule show\nroute show\n"


def _lasting(line):
    """@line of COMMANDS' output without what changes by itself: a link's name, an address without its time."""
    if "elements" in line or re.match(r"\d+: .* scope link", line):
        return ""
    link = re.match(r"\d+: (\S+): <", line)
    return link[1] if link else re.sub(r" (expires|valid_lft).*", "", line).strip()


def _sockets(pid):
    """Those of the network namespace of @pid, but for TCP connections that are open or in TIME_WAIT."""
    def rows(name):
        try:
            with open(f"/proc/{pid}/net/{name}") as f:
                return [line.split() for line in f][1:]
        except FileNotFoundError:
            return []
    for family in ("", "6"):
        yield from (f"tcp {r[1]} {r[3]}" for r in rows("tcp" + family) if r[3] not in ("01", "06"))
        yield from (f"udp {r[1]}" for r in rows("udp" + family))
    yield from (r[-1] for r in rows("unix") if r[-1].startswith("@"))
    yield from (f"packet {r[3]}" for r in rows("packet"))
    yield f"{len(rows('raw'))} raw, {len(rows('icmp'))} of ICMP"


def _network(cluster):
    host = subprocess.run(["sh", "-c", COMMANDS], input=BATCH, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          preexec_fn=linux.keep_capabilities_over_exec).stdout
    pod = cluster.pod.run(["sh", "-c", COMMANDS], BATCH, check=False)
    found = {}
    for place, text, pid in (("on the host", host, "self"), ("in " + cluster.pod.name, pod, cluster.pod.pid)):
        lines = [*map(_lasting, text.splitlines()), *_sockets(pid)]
        found.update({f"{place}: {line}": "" for line in lines if line})
    return found


def take(cluster, network=True):
    found = {**_processes(), **_network_namespaces(), **_files(), **_mounts()}
    if network:
        found.update(_network(cluster))
    return found


def take_first(cluster):
    """With all links up: the kernel sees that from a task of its own, which a busy machine puts off, and then adds routes."""
    end = time.monotonic() + 10 * PATIENCE
    while True:
        found = take(cluster)
        if not any(" linkdown" in k for k in found) or time.monotonic() > end:
            return found
        time.sleep(0.02)


def _new(before, after):
    return sorted(f"{k} {v}".strip() for k, v in after.items() if k not in before)


def _gone(before, after):
    """Mounts of devices, that of terminals among them: a test that takes them away takes them from those behind it. Others come and go on any machine."""
    return sorted(f"{k} (gone)" for k in before if k.startswith("mount ") and k.split()[2].startswith("/dev") and k not in after)


def wait_same(before, cluster, seconds):
    """What is new; waits @seconds for the end of what is on its way out."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        now = take(cluster, network=False)
        left = _new(before, now) + _gone(before, now)
        if not left:
            left = _new(before, take(cluster))
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.02)


def remove(before):
    """Ends the processes that are new, so that the next test starts from a clean lab."""
    for key in _processes():
        if key not in before:
            try:
                os.kill(int(key.split()[1]), signal.SIGKILL)
            except OSError:
                pass
