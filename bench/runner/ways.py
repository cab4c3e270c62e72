# SPDX-License-Identifier: MIT
"""The ways by which a program reaches the server: in the target itself, with mirrord, with each peer.

A way says at which address the program finds the server (`host`), how it is run (`command`), and what it can't do
(`cannot`: a need of a figure → the reason that the table shows). `start` sets up what stays for the whole bench.
"""
import os
import subprocess

from .box import RUN, SERVER, TARGET
from .process import Problem, Service, descriptor_limit, need
from .servers import TCP_PORTS, UDP_PORTS, write

ONE_PORT = "forwards ports, resolves no names"
NO_UDP = "TCP only"
STAYS = "stays up between programs"


class Way:
    key = title = None
    host = SERVER
    cannot = {}
    env = {}

    def start(self, t, programs):
        self.t = t

    def node(self):
        """Where programs are started."""
        return self.t.client

    def wrapped(self, argv):
        """How, from within that node."""
        return argv

    def command(self, argv):
        return self.node().within(self.wrapped(argv))


class Direct(Way):
    key, title = "direct", "direct"

    def node(self):
        return self.t.target


class Mirrord(Way):
    """The program itself runs in the twin; sockets of the target's are lent to the session."""
    key, title = "mirrord", "mirrord"

    def start(self, t, programs):
        self.t = t
        self.program = programs["mirrord"]
        if not os.access(self.program, os.X_OK):
            raise Problem(f"{self.program} is not built")

    def wrapped(self, argv):
        return [self.program, "exec", "-q", "-t", f"pid/{self.t.target.pid}", "--", *argv]


class Tunnel(Mirrord):
    """The same, but every byte goes as frames between session and agent, as it does in a cluster."""
    key, title = "tunnel", "mirrord, tunnel"
    env = {"MIRRORD_TUNNEL": "1"}


class Haproxy(Way):
    key, title = "haproxy", "haproxy"
    host = TARGET["haproxy"]
    cannot = {"udp": NO_UDP, "resolver": ONE_PORT, "exec": STAYS}

    def start(self, t, programs):
        super().start(t, programs)
        need("haproxy")
        conf = ["global", " nbthread 1", f" maxconn {min(40000, descriptor_limit() // 2 - 100)}", "defaults", " mode tcp", " timeout connect 10s",
                " timeout client 1h", " timeout server 1h"]
        for p in TCP_PORTS:
            conf += [f"listen p{p}", f" bind {self.host}:{p}", f" server s {SERVER}:{p}"]
        path = write(f"{RUN}/haproxy.cfg", "\n".join(conf) + "\n")
        Service("haproxy", t.target, ["haproxy", "-db", "-f", path], "server").wait_for_port(TCP_PORTS[-1])


class Nginx(Way):
    key, title = "nginx", "nginx stream"
    host = TARGET["nginx"]
    cannot = {"resolver": ONE_PORT, "exec": STAYS}

    def start(self, t, programs):
        super().start(t, programs)
        need("nginx")
        module = "/usr/lib/nginx/modules/ngx_stream_module.so"
        if not os.path.exists(module):
            raise Problem("libnginx-mod-stream is not installed")
        limit = min(80000, descriptor_limit())
        tcp = "".join(f"server {{ listen {self.host}:{p}; proxy_pass {SERVER}:{p}; }}\n" for p in TCP_PORTS)
        udp = "".join(f"server {{ listen {self.host}:{p} udp; proxy_pass {SERVER}:{p}; }}\n" for p in UDP_PORTS)
        conf = (f"load_module {module}; daemon off; worker_processes 1; user root; pid {RUN}/stream.pid; error_log stderr crit;\n"
                f"worker_rlimit_nofile {limit}; events {{ worker_connections {limit - 100}; }}\n"
                f"stream {{ proxy_half_close on; proxy_timeout 1h; proxy_buffer_size 64k;\n{tcp}{udp}}}\n")
        path = write(f"{RUN}/stream.conf", conf)
        Service("nginx-stream", t.target, ["nginx", "-c", path, "-p", RUN], "server").wait_for_port(TCP_PORTS[-1])


class Ssh(Way):
    """A laptop's usual way into a cluster's network."""
    key, title = "ssh", "ssh -L"
    host = "127.0.0.1"
    cannot = {"udp": NO_UDP, "resolver": ONE_PORT, "exec": STAYS}

    @staticmethod
    def sshd(t):
        """Also sshuttle's; made once. Returns the options of the client."""
        key, host_key = f"{RUN}/ssh-key", f"{RUN}/ssh-host-key"
        options = ["-F", "none", "-i", key, "-p", "2222", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                   "-o", f"UserKnownHostsFile={RUN}/ssh-known", "-o", "LogLevel=ERROR"]
        if any(s.name == "sshd" for s in Service.all):
            return options
        need("sshd", "ssh", "ssh-keygen")
        for k in (key, host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", k], check=True)
        conf = write(f"{RUN}/sshd.conf", f"ListenAddress {TARGET['sshd']}:2222\nHostKey {host_key}\nAuthorizedKeysFile {key}.pub\n"
                     f"PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nUseDNS no\n")
        Service("sshd", t.target, ["/usr/sbin/sshd", "-D", "-e", "-f", conf], "server").wait_for_port(2222)
        return options

    def start(self, t, programs):
        super().start(t, programs)
        options = self.sshd(t)
        forwards = [a for p in TCP_PORTS for a in ("-L", f"127.0.0.1:{p}:{SERVER}:{p}")]
        Service("ssh", t.client, ["ssh", *options, "-N", "-o", "ExitOnForwardFailure=yes", *forwards, f"root@{TARGET['sshd']}"],
                "client").wait_for_port(TCP_PORTS[-1])


class Sshuttle(Way):
    key, title = "sshuttle", "sshuttle"
    cannot = {"udp": NO_UDP + " (but DNS)", "exec": STAYS}

    def start(self, t, programs):
        super().start(t, programs)
        need("sshuttle", "nft")
        ssh = " ".join(["ssh", *Ssh.sshd(t)])
        s = Service("sshuttle", t.client, ["sshuttle", "--method", "nft", "--dns", "--ns-hosts", SERVER, "-e", ssh,
                                           "-r", f"root@{TARGET['sshd']}", "10.66.2.0/24"], "client")
        s.wait_for(lambda: "Connected" in open(s.log).read(), 30)


class Proxychains(Way):
    key, title = "proxychains", "proxychains4 + dante"
    cannot = {"udp": NO_UDP, "resolver": "gives placeholder addresses, asks no server"}

    def start(self, t, programs):
        super().start(t, programs)
        need("proxychains4", "danted")
        conf = write(f"{RUN}/danted.conf", f"logoutput: stderr\nerrorlog: stderr\ninternal: {TARGET['dante']} port = 1080\n"
                     "external: 10.66.2.2\nclientmethod: none\nsocksmethod: none\nuser.privileged: root\nuser.unprivileged: nobody\n"
                     "client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 log: error }\n"
                     "socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 log: error }\n")
        self.conf = write(f"{RUN}/proxychains.conf", f"strict_chain\nquiet_mode\n[ProxyList]\nsocks5 {TARGET['dante']} 1080\n")
        Service("danted", t.target, ["danted", "-f", conf, "-p", f"{RUN}/danted.pid"], "server").wait_for_port(1080)

    def wrapped(self, argv):
        return ["proxychains4", "-q", "-f", self.conf, *argv]


class Pasta(Way):
    """A user-mode network in front of the target's: one process between two namespaces of one machine, without an agent."""
    key, title = "pasta", "pasta"

    def start(self, t, programs):
        super().start(t, programs)
        need("pasta")

    def wrapped(self, argv):
        # As nobody: as root it becomes nobody too late to write its uid map.
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "pasta", "-q", "--config-net", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw",
                "--", *argv]

    def node(self):
        return self.t.target


class Slirp(Way):
    key, title = "slirp4netns", "slirp4netns"
    cannot = {"exec": STAYS}

    def start(self, t, programs):
        super().start(t, programs)
        need("slirp4netns")
        if not os.path.exists("/dev/net/tun"):
            raise Problem("no /dev/net/tun on this machine")
        self.holder = Service("slirp-netns", t.target, ["unshare", "--net", "sleep", "infinity"], "client")
        pid = self.holder.process.pid
        own = os.readlink(f"/proc/{t.target.pid}/ns/net")
        self.holder.wait_for(lambda: os.readlink(f"/proc/{pid}/ns/net") not in (own, os.readlink("/proc/self/ns/net")))
        s = Service("slirp4netns", t.target, ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "-r", "3",
                                              str(pid), "tap0"], "client")
        s.wait_for(lambda: "tap0" in open(f"/proc/{pid}/net/dev").read())
        subprocess.run(["nsenter", "-t", str(pid), "-n", "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1",
                        "net.ipv4.ip_local_port_range=10000 65000"], check=True)

    def command(self, argv):
        return ["nsenter", "-t", str(self.holder.process.pid), "-n", "-m", "--", *argv]


ALL = [Direct, Mirrord, Tunnel, Haproxy, Nginx, Ssh, Sshuttle, Proxychains, Pasta, Slirp]


def start(t, programs, wanted):
    """Returns the ways in the order of the table, each with `.problem`: why it can't be used, or None."""
    ways = []
    for make in ALL:
        way = make()
        way.problem = None
        if wanted and way.key not in wanted and way.key != "direct":
            continue
        try:
            way.start(t, programs)
        except (Problem, subprocess.CalledProcessError) as p:
            way.problem = str(p)
        ways.append(way)
    return ways
