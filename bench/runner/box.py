# SPDX-License-Identifier: MIT
"""Where the bench happens: mount, pid, ipc and network namespaces of its own, so that nothing is left behind however it ends.

    client 10.66.1.1 ──veth── 10.66.1.2… target 10.66.2.2 ──veth── 10.66.2.1 server

Programs run directly stand in `target` and cross one veth pair. What lends them the target's network stands in `client` (a user's
machine) and reaches the target over another.  /run is a tmpfs of ours; each node has its own resolv.conf, which names the server.
"""
import os
import shutil
import signal
import stat
import subprocess
import sys

RUN = "/run/bench"
SERVER = "10.66.2.1"
CLIENT = "10.66.1.1"
# One address of the target's for each thing that listens there, so that all can use the servers' own port numbers.
TARGET = {"haproxy": "10.66.1.2", "nginx": "10.66.1.3", "sshd": "10.66.1.4", "dante": "10.66.1.5"}
DOMAIN = "bench.test"


def enter():
    """Runs this program again inside; returns there."""
    if os.environ.get("MIRRORD_BENCH_INSIDE") != "1":
        if os.geteuid() != 0:
            sys.exit("bench: needs root (network namespaces, pinning, sshd and dante as peers): sudo ./dev bench")
        _run_inside()
    del os.environ["MIRRORD_BENCH_INSIDE"]
    _be_init()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "bench", "/run"], check=True)
    os.makedirs(RUN)
    os.makedirs("/run/lock")
    os.makedirs("/run/sshd")
    _open_tun()


def _run_inside():
    """unshare takes no notice of SIGTERM, so we stay: it ends with us, by whatever that is, and all that is in the namespaces with it."""
    inside = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--ipc", "--net", "--fork", "--kill-child",
                               "--mount-proc", "--propagation", "private", sys.executable, *sys.argv],
                              env={**os.environ, "MIRRORD_BENCH_INSIDE": "1"})

    def end(number, _):
        inside.kill()
        sys.exit(f"bench: ended by {signal.Signals(number).name}")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    status = inside.wait()
    sys.exit(status if status >= 0 else 128 - status)


def _be_init():
    """Process 1 reaps; its child goes on. When it ends, the kernel ends all that is in the pid namespace."""
    child = os.fork()
    if not child:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def _open_tun():
    """Peers that run as nobody (pasta does, whoever starts it) may open it here as they may on a usual machine."""
    if os.path.exists("/dev/net/tun"):
        try:
            os.mknod(f"{RUN}/tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
            os.chmod(f"{RUN}/tun", 0o666)
            subprocess.run(["mount", "--bind", f"{RUN}/tun", "/dev/net/tun"], check=True)
        except (OSError, subprocess.CalledProcessError):
            pass  # then pasta says so itself


def bring(program):
    """A copy that every user may run, wherever the build directory is."""
    return shutil.copy(program, RUN)


class Node:
    """A network namespace with a mount namespace, held by a process that sleeps."""

    def __init__(self, name):
        self.name = name
        resolv = f"{RUN}/resolv.{name}"
        with open(resolv, "w") as f:
            f.write(f"nameserver {SERVER}\noptions timeout:2\n")
        real = os.path.realpath("/etc/resolv.conf")
        if real.startswith("/run/"):  # systemd-resolved's, which our tmpfs hides
            os.makedirs(os.path.dirname(real), exist_ok=True)
            open(real, "a").close()
        script = f"mount --bind {resolv} {real}; hostname bench-{name}; echo ready; exec sleep infinity"
        self.process = subprocess.Popen(["unshare", "--net", "--mount", "--uts", "sh", "-c", script], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.pid = self.process.pid

    def within(self, argv):
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "--", *argv]

    def do(self, *commands):
        for c in commands:
            subprocess.run(self.within(["sh", "-c", c]), check=True)

    def listens(self, port, kind):
        """Does a socket listen on (tcp) or hold (udp) that port? Read from /proc, so no connection shows at the other side."""
        for family in ("", "6"):
            with open(f"/proc/{self.pid}/net/{kind}{family}") as f:
                for line in f.readlines()[1:]:
                    _, local, _, state = line.split()[:4]
                    if int(local.rsplit(":", 1)[1], 16) == port and (kind == "udp" or state == "0A"):
                        return True
        return False


SYSCTLS = ("sysctl -qw net.ipv4.tcp_tw_reuse=1",  # else TIME_WAIT is what connect-rate measures
           "sysctl -qw net.ipv4.ip_local_port_range='10000 65000'",
           # Debian's, or the one that every namespace may have; a machine whose default is bbr would time packets.
           "for c in cubic reno; do sysctl -qw net.ipv4.tcp_congestion_control=$c 2>/dev/null && break; done",
           "sysctl -qw net.ipv4.ip_unprivileged_port_start=0",
           "ip link set lo up")


class Topology:
    def __init__(self):
        self.client, self.target, self.server = (Node(n) for n in ("client", "target", "server"))
        self.nodes = {n.name: n for n in (self.client, self.target, self.server)}
        for n in self.nodes.values():
            n.do(*SYSCTLS)
        self._link(self.client, "eth0", CLIENT, self.target, "up0", TARGET["haproxy"])
        self._link(self.target, "eth0", "10.66.2.2", self.server, "eth0", SERVER)
        self.target.do(*(f"ip address add {a}/24 dev up0" for a in TARGET.values() if a != TARGET["haproxy"]),
                       f"ip route add default via {SERVER}", "ip route add default via fd66:2::1")
        # Routed but never forwarded: sshuttle takes connections in nat OUTPUT, which comes after the routing decision.
        self.client.do(f"ip route add default via {TARGET['haproxy']}")

    @staticmethod
    def _link(a, a_name, a_ip, b, b_name, b_ip):
        subprocess.run(["ip", "link", "add", a_name, "netns", str(a.pid), "type", "veth",
                        "peer", "name", b_name, "netns", str(b.pid)], check=True)
        for node, name, ip in ((a, a_name, a_ip), (b, b_name, b_ip)):
            net = ip.split(".")[2]
            node.do(f"ip link set {name} up", f"ip address add {ip}/24 dev {name}",
                    f"ip address add fd66:{net}::{ip.split('.')[3]}/64 dev {name} nodad")
