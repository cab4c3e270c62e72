# SPDX-License-Identifier: MIT
"""What exists in the lab: taken before and after a test, so that what the product leaves behind shows.

The lab has a PID namespace, a /tmp, a /run and a /dev/shm of its own, so everything that is new is ours or the product's.
"""

import os
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


def _inside(node, namespaces_commands):
    text = node.run(["sh", "-c", namespaces_commands], check=False)
    return {f"in {node.name}: {line.strip()}": "" for line in text.splitlines() if line.strip()}


NETWORK = ("ip -o link | cut -d: -f2; ip -o address | grep -v 'scope link' | sed 's/valid_lft.*//'; ip rule; ip -6 rule; ip route; ip -6 route | sed 's/ expires.*//'; "
           "nft list ruleset | grep -v elements; "
           "awk 'NR > 1 && $4 != \"06\" && $4 != \"01\" { print \"tcp\", $2, $4 }' /proc/net/tcp /proc/net/tcp6; "
           "awk 'NR > 1 { print \"udp\", $2 }' /proc/net/udp /proc/net/udp6; grep -o '@.*' /proc/net/unix; "
           "awk 'NR > 1 { print \"packet\", $4 }' /proc/net/packet; cat /proc/net/raw /proc/net/icmp | wc -l")


def _network(cluster):
    found = _inside(cluster.pod, NETWORK)
    host = subprocess.run(["sh", "-c", NETWORK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          preexec_fn=linux.keep_capabilities_over_exec).stdout
    found.update({f"on the host: {line.strip()}": "" for line in host.splitlines() if line.strip()})
    return found


def take(cluster, network=True):
    found = {**_processes(), **_network_namespaces(), **_files(), **_mounts()}
    if network:
        found.update(_network(cluster))
    return found


def _new(before, after):
    return sorted(f"{k} {v}".strip() for k, v in after.items() if k not in before)


def wait_same(before, cluster, seconds):
    """What is new; waits @seconds for the end of what is on its way out."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        left = _new(before, take(cluster, network=False))
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
