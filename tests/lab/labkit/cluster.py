# SPDX-License-Identifier: MIT
"""Builds the cluster of plan.py out of nodes, and starts its servers."""

import os
import subprocess
import time

from . import dns_small, linux, plan, slow_link, tcp_servers, udp_servers
from .node import Node
from .registry import PROMPT
from .tcp_servers import FullListener, TcpServer
from .udp_servers import UdpServer

WITNESSES = ["services", "outside", "router", "pod", "pod2", "calico", "multus"]
SLOW_LINK = {"services": plan.HOSTS["slow"], "router": ("10.0.22.1", "fd00:22::1")}
NODES = ["router", "pod", "pod2", "calico", "multus", "services", "cable", "edge", "outside"]

HOSTS_FILE = f"""127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
10.244.1.7 {plan.POD_HOSTNAME}
10.0.20.6 from-hosts-file alias-of-hosts-file
fd00:20::6 from-hosts-file
10.0.20.5 payment-by-hosts
"""


def _both(name):
    return plan.HOSTS[name]


def serve_services(w):
    for host in ("payment", "stranger", "slow", "narrow"):
        for ip in _both(host):
            for port, handler in tcp_servers.CLUSTER.items():
                TcpServer(w, host, ip, port, handler, late=0.5 if port == plan.LATE_ACCEPT else 0)
            other = dict(zip(_both("payment"), _both("stranger"))).get(ip)
            for port, handler in udp_servers.CLUSTER.items():
                if host == "payment" or handler is not udp_servers.other_address:
                    UdpServer(w, host, ip, port, handler, other if handler is udp_servers.other_address else None)
    for ip in _both("payment"):
        w.full = getattr(w, "full", []) + [FullListener(ip, plan.FULL)]


def serve_outside(w):
    for ip in _both("outside"):
        for port in (plan.ECHO, plan.PEER, plan.HTTP, plan.RECORD):
            TcpServer(w, "outside", ip, port, tcp_servers.CLUSTER[port])
        UdpServer(w, "outside", ip, plan.UDP_PEER, udp_servers.peer)
    for ip in ("192.0.2.1", "2001:db8:2::1"):
        dns_small.DnsServer(w, "outside-dns", ip, dns_small.outside)


def serve_pod(w):
    pod4, pod6 = _both("pod")
    places = [(plan.POD_LOOPBACK, "loopback", ["127.0.0.1"]), (plan.POD_LOOPBACK6, "loopback6", ["::1"]),
              (plan.POD_ADDRESS, "address", [pod4, pod6]), (plan.POD_ANY, "any", ["0.0.0.0", "::"]),
              (plan.POD_OTHER_LOOPBACK, "other", ["127.0.0.77"])]
    for port, label, ips in places:
        for ip in ips:
            TcpServer(w, label, ip, port, tcp_servers.peer)
            UdpServer(w, label, ip, port, udp_servers.peer)
    for port, handler in ((plan.POD_SUM, tcp_servers.sum_up), (plan.POD_SOURCE, tcp_servers.source), (plan.POD_HALF, tcp_servers.half_close),
                          (plan.POD_RESET, tcp_servers.reset_after_data), (plan.POD_RECORD, tcp_servers.record)):
        for ip in ("127.0.0.1", "::1", pod4, pod6):
            TcpServer(w, "pod", ip, port, handler)
    TcpServer(w, "sidecar", "127.0.0.1", plan.POD_HTTP, tcp_servers.http)
    dns_small.DnsServer(w, "docker-dns", "127.0.0.11", dns_small.docker)


def serve_pod2(w):
    for ip in _both("pod2") + ("127.0.0.1", "::1"):
        TcpServer(w, "pod2", ip, plan.POD_LOOPBACK, tcp_servers.peer)


def serve_storage(w):
    """On the router, whose other side multus' second interface is."""
    for ip in _both("storage"):
        TcpServer(w, "storage", ip, plan.PEER, tcp_servers.peer)
        UdpServer(w, "storage", ip, plan.UDP_PEER, udp_servers.peer)


def serve_calico(w):
    for ip in ("127.0.0.1", plan.HOSTS["calico"][0]):
        TcpServer(w, "calico", ip, plan.POD_LOOPBACK, tcp_servers.peer)


def serve_multus(w):
    for ip in ("0.0.0.0", "::"):
        TcpServer(w, "multus", ip, plan.POD_ANY, tcp_servers.peer)
    TcpServer(w, "multus-net1", plan.HOSTS["multus_net1"][0], plan.POD_ADDRESS, tcp_servers.peer)


def serve_cable(w):
    slow_link.start("near", "far", plan.SLOW_SECONDS / 2)
    slow_link.start("near2", "far2", plan.FAR_SECONDS / 2)


SERVE = {"services": serve_services, "outside": serve_outside, "pod": serve_pod, "pod2": serve_pod2, "cable": serve_cable,
         "router": serve_storage, "calico": serve_calico, "multus": serve_multus}


def _late(text):
    """What of a namespace's links and addresses, as `ip -o` shows them, takes no packets yet."""
    lines = [line.split() for line in text.splitlines()]
    links = {words[1] for words in lines if "qdisc" in words and words[words.index("qdisc") + 1] == "noop" and "LOWER_UP" in words[2]}
    addresses = {words[3].partition("/")[0] for words in lines if words[2] == "inet6" and "tentative" not in words}
    return links | addresses - {words[1] for words in lines if words[0] == "local"}


class Cluster:
    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.nodes = {name: Node(name) for name in NODES}
        self._fork_nodes()
        # Built from the router outwards
        for name in NODES:
            self.nodes[name].sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__accept_dad=0, ipv6__conf__all__disable_ipv6=0,
                                    ipv4__icmp_ratelimit=0, ipv6__icmp__ratelimit=0)
        self._wire()
        self._pod()
        self._other_pods()
        self._services()
        self._router()
        self._edge()
        for name in SERVE:
            self.nodes[name].ask("serve")
        self._dns()
        self.target = self._target("pod")
        self.target2 = self._target("pod2")
        self.other_targets = {name: self._target(name) for name in ("calico", "multus")}
        self._wait_for_links()
        self._wait_ready()

    def __getattr__(self, name):
        try:
            return self.__dict__["nodes"][name]
        except KeyError:
            raise AttributeError(name) from None

    def _fork_nodes(self):
        """As an ordinary user all nodes belong to one user namespace, whose root is that user."""
        read, write = os.pipe()
        parent = os.fork()
        if parent == 0:
            self._cluster_root(write)
        os.close(write)
        data = os.read(read, 100)
        os.close(read)
        if not data:
            raise RuntimeError("the cluster's first process died")
        user = None
        if self.sandbox.user_cluster:
            user = os.open(f"/proc/{parent}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        for node in self.nodes.values():
            node.wait_ready(user)

    def _cluster_root(self, ready):
        linux.die_with_parent()
        linux.set_name("lab-cluster")
        if self.sandbox.user_cluster:
            self.sandbox.become_user()
            linux.make_dumpable()
            linux.unshare(linux.NEWUSER | linux.NEWNS)
            linux.map_ids((0, 0), self.sandbox.uid, self.sandbox.gid)
            linux.die_with_parent()
        for name, node in self.nodes.items():
            node.fork(SERVE.get(name, lambda w: None))
        os.write(ready, b"x")
        while True:
            try:
                os.wait()
            except ChildProcessError:
                os._exit(0)

    def _wire(self):
        n = self.nodes
        links = [("pod", "eth0", "router", "pod0"), ("pod2", "eth0", "router", "pod1"), ("services", "eth0", "router", "svc0"),
                 ("calico", "eth0", "router", "pod3"), ("multus", "eth0", "router", "pod4"), ("multus", "net1", "router", "net1"),
                 ("cable", "near", "router", "slow0"), ("cable", "far", "services", "eth1"), ("cable", "near2", "router", "far0"), ("cable", "far2", "edge", "eth0"),
                 ("edge", "lan0", "edge", "lan1"), ("outside", "eth1", "router", "out0")]
        for a, name_a, b, name_b in links:
            n[a].ip(f"link add {name_a} mtu 1450 type veth peer name {name_b} mtu 1450 netns {n[b].pid}")
        n["cable"].ip(*(f"link set {name} up" for name in ("near", "far", "near2", "far2")))
        self._address("pod", "eth0", "10.244.1.7/24", "fd00:244:1::7/64", gateway="pod_gateway")
        self._address("pod2", "eth0", "10.244.2.8/24", "fd00:244:2::8/64", gateway=("10.244.2.1", "fd00:244:2::1"))
        self._address("services", "eth0", "10.0.20.5/24", "10.0.20.6/24", "fd00:20::5/64", "fd00:20::6/64", gateway="services_gateway")
        self._address("services", "eth1", "10.0.22.5/24", "fd00:22::5/64")
        # What comes by the slow link goes back by it; the neighbours are known, or the first packet would be slower still
        self.nodes["services"].ip("rule add from 10.0.22.5 lookup 22", "route add default via 10.0.22.1 table 22")
        self.nodes["services"].ip("rule add from fd00:22::5 lookup 22", "route add default via fd00:22::1 table 22", family="-6")
        self._address("services", "lo", "10.96.0.10/32", "fd00:96::10/128", "10.0.26.5/32", "fd00:26::5/128")
        self._address("outside", "eth1", "192.0.3.7/24", "2001:db8:3::7/64", gateway=("192.0.3.1", "2001:db8:3::1"))
        self._address("outside", "lo", "198.51.100.7/32", "2001:db8:51::7/128")
        for interface, addresses in (("pod0", _both("pod_gateway")), ("pod1", ("10.244.2.1", "fd00:244:2::1")),
                                     ("svc0", _both("services_gateway")), ("slow0", ("10.0.22.1", "fd00:22::1")),
                                     ("far0", ("10.0.24.1", "fd00:24::1")),
                                     ("out0", ("192.0.3.1", "2001:db8:3::1"))):
            self._address("router", interface, addresses[0] + "/24", addresses[1] + "/64")
        ends = (("router", "slow0", "02:00:00:00:22:01"), ("services", "eth1", "02:00:00:00:22:05"))
        for node, interface, mac in ends:
            self.nodes[node].ip(f"link set {interface} address {mac}")
        for (node, interface, _), (other, _, mac) in (ends, ends[::-1]):
            self.nodes[node].ip(*(f"neighbour add {a} lladdr {mac} dev {interface}" for a in SLOW_LINK[other]))
        self._uplink()

    def _address(self, node, interface, *addresses, gateway=None):
        commands = [f"link set {interface} up"]
        commands += [f"address add {a} dev {interface}" + (" nodad" if ":" in a else "") for a in addresses]
        if gateway:
            commands += [f"route add default via {g}" for g in (_both(gateway) if isinstance(gateway, str) else gateway)]
        self.nodes[node].ip(*commands)

    def _uplink(self):
        """The host's own way out, which no packet of the program may take."""
        outside = self.nodes["outside"]
        self.sandbox.run(["ip", "link", "add", "uplink0", "type", "veth", "peer", "name", "eth0", "netns", str(outside.pid)])
        for a, g in (("192.0.2.10/24", "192.0.2.1"), ("2001:db8:2::10/64", "2001:db8:2::1")):
            self.sandbox.run(["ip", "address", "add", a, "dev", "uplink0"] + (["nodad"] if ":" in a else []))
        self.sandbox.run(["ip", "link", "set", "uplink0", "up"])
        for g in ("192.0.2.1", "2001:db8:2::1"):
            self.sandbox.run(["ip", "route", "add", "default", "via", g])
        self._address("outside", "eth0", "192.0.2.1/24", "2001:db8:2::1/64")

    def _pod(self):
        pod = self.nodes["pod"]
        gid = self.sandbox.gid_in_cluster
        pod.sysctl(ipv4__tcp_syn_retries=1, ipv4__neigh__eth0__retrans_time_ms=200, ipv6__neigh__eth0__retrans_time_ms=200,
                   ipv4__ping_group_range=f"{gid} {gid}", ipv4__ip_unprivileged_port_start=0)
        routes = []
        for kind in ("unreachable", "prohibit", "blackhole", "throw"):
            host = {"prohibit": "pod_prohibited"}.get(kind, "pod_" + kind)
            routes += [f"route add {kind} {a.rsplit('.', 1)[0]}.0/24" if "." in a else f"route add {kind} {a[:-1]}/64" for a in _both(host)]
        pod.ip(*routes)
        pod.write("/etc/resolv.conf", f"search {' '.join(plan.SEARCH)}\nnameserver 10.96.0.10\noptions ndots:5\n")
        pod.write("/etc/hosts", HOSTS_FILE)
        pod.write("/etc/hostname", plan.POD_HOSTNAME + "\n")
        pod.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        pod.run(["hostname", plan.POD_HOSTNAME])
        # /sys/class/net as in a container; some kernels and sandboxes forbid it
        pod.run(["mount", "-t", "sysfs", "-o", "ro,nosuid,nodev,noexec", "sysfs", "/sys"], check=False)
        self.nodes["pod2"].run(["hostname", "second-pod"])
        self.nodes["pod2"].write("/etc/resolv.conf", "nameserver 10.96.0.10\n")

    def _other_pods(self):
        """Pods as other networks make them."""
        calico, multus, router = self.nodes["calico"], self.nodes["multus"], self.nodes["router"]
        calico.sysctl(ipv6__conf__all__disable_ipv6=1, ipv6__conf__default__disable_ipv6=1)
        calico.ip("link set eth0 up", "address add 10.244.3.9/32 dev eth0", "route add 169.254.1.1 dev eth0 scope link",
                  "route add default via 169.254.1.1 dev eth0")
        router.ip("link set pod3 up", "address add 169.254.1.1/32 dev pod3", "route add 10.244.3.9 dev pod3")
        calico.run(["hostname", "calico-pod"])
        calico.write("/etc/resolv.conf", "nameserver 10.0.32.53\nnameserver 10.96.0.10\nsearch cluster.test\noptions timeout:1 attempts:2\n")
        self._address("multus", "net1", "10.99.0.10/24", "fd00:99::10/64")
        self._address("multus", "eth0", "10.244.4.10/24", "10.244.4.11/24", "fd00:244:4::10/64", gateway=("10.244.4.1", "fd00:244:4::1"))
        multus.ip("route add 10.0.22.0/24 via 10.99.0.5 src 10.99.0.10", "route add 10.0.20.6/32 via 10.244.4.1 src 10.244.4.11")
        self._address("router", "pod4", "10.244.4.1/24", "fd00:244:4::1/64")
        self._address("router", "net1", "10.99.0.5/24", "fd00:99::5/64")
        multus.run(["hostname", "multus-pod"])
        multus.write("/etc/resolv.conf", "nameserver fd00:96::10\nsearch shop.svc.cluster.test cluster.test\noptions ndots:2 single-request\n")

    def _router(self):
        router = self.nodes["router"]
        router.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
        router.ip("route add 10.96.0.10 via 10.0.20.5", "route add fd00:96::10 via fd00:20::5",
                  "route add 10.0.26.0/24 via 10.0.20.5 mtu lock 1300", "route add fd00:26::/64 via fd00:20::5 mtu lock 1300",
                  "route add 198.51.100.0/24 via 192.0.3.7", "route add 2001:db8:51::/64 via 2001:db8:3::7",
                  "route add unreachable 10.0.36.0/24", "route add unreachable fd00:36::/64",
                  "route add blackhole 10.0.32.0/24", "route add blackhole fd00:32::/64",
                  "route add default via 10.0.24.2", "route add default via fd00:24::2",
                  *(f"route add 10.0.{n}.0/24 via 10.0.24.2" for n in (23, 25, 30, 31, 33)),
                  *(f"route add fd00:{n}::/64 via fd00:24::2" for n in (23, 25, 30, 31, 33)))

    def _edge(self):
        """The end of the world: rejections of every kind. (The errors of IPv4 routes are limited to one per second, which no namespace
        may change; so a packet filter rejects.)"""
        edge = self.nodes["edge"]
        self._address("edge", "eth0", "10.0.24.2/24", "fd00:24::2/64")
        self._address("edge", "lo", "10.0.23.5/32", "fd00:23::5/128")
        self._address("edge", "lan0", "10.0.25.1/24", "fd00:25::1/64")
        edge.ip("link set lan1 up", "route add 10.244.0.0/16 via 10.0.24.1", "route add fd00:244::/32 via fd00:24::1",
                "route add default via 10.0.25.5", "route add prohibit fd00:31::/64")
        edge.ip("route add unreachable default", family="-6")
        edge.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1, ipv4__neigh__lan0__retrans_time_ms=200,
                    ipv6__neigh__lan0__retrans_time_ms=200)
        rules = ["chain forward { type filter hook forward priority 0;", "ip daddr 10.0.30.0/24 reject with icmp type host-unreachable",
                 "ip daddr 10.0.31.0/24 reject with icmp type admin-prohibited", "ip daddr != 10.0.25.0/24 ip daddr != 10.244.0.0/16 reject with icmp type net-unreachable",
                 "}", "chain input { type filter hook input priority 0;"]
        for port, (v4, v6) in plan.REJECTED.items():
            for family, verdict, icmp in (("ip", v4, "icmp"), ("ip6", v6, "icmpv6")):
                if verdict is None:
                    continue
                host = f"{family} daddr {plan.address('far', 4 if family == 'ip' else 6)}"
                if verdict == "drop":
                    rules.append(f"{host} th dport {port} drop")
                elif verdict == "tcp reset":
                    rules.append(f"{host} tcp dport {port} reject with tcp reset")
                else:
                    rules.append(f"{host} th dport {port} meta l4proto {{ tcp, udp }} reject with {icmp} type {verdict}")
        edge.run(["nft", "-f", "-"], "table inet lab {\n" + "\n".join(rules) + "\n}\n}\n")

    def _services(self):
        services = self.nodes["services"]
        sets, rules = [], []
        for n, family, kind in ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr")):
            sets.append(f"set seen{n} {{ type {kind} . inet_service; flags dynamic,timeout; timeout 10s; }}")
            rules.append(f"{family} saddr . tcp sport @seen{n} accept")
            rules.append(f"meta nfproto ipv{n} add @seen{n} {{ {family} saddr . tcp sport }} drop")
        services.run(["nft", "-f", "-"], "table inet lab { " + "\n".join(sets) + "\n chain input { type filter hook input priority 0;\n"
                     f"tcp dport != {plan.LOSE_FIRST_SYN} accept\n tcp flags & (syn|ack) != syn accept\n" + "\n".join(rules) + "\n}\n}\n")

    def _dns(self):
        lines = []
        for name, (v4, v6) in plan.NAMES.items():
            lines += [f"{ip} {name}" for ip in v4 + v6]
        with open("/tmp/lab/cluster-hosts", "w") as f:
            f.write("\n".join(lines) + "\n")
        os.chmod("/tmp/lab/cluster-hosts", 0o644)
        v4, v6 = _both("dns")
        self.dnsmasq = self.nodes["services"].start(
            ["dnsmasq", "-d", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--no-hosts", "--no-round-robin", "--pid-file=", "--addn-hosts=/tmp/lab/cluster-hosts",
             "--bind-interfaces", f"--listen-address={v4}", f"--listen-address={v6}", "--local=/test/", "--bogus-priv", "--log-facility=/dev/null",
             "--srv-host=_http._tcp.payment.shop.svc.cluster.test,payment.shop.svc.cluster.test,8080,10,20",
             "--srv-host=_http._tcp.payment.shop.svc.cluster.test,stranger.shop.svc.cluster.test,8081,20,30",
             "--cname=alias.shop.svc.cluster.test,payment.shop.svc.cluster.test",
             "--txt-record=text.cluster.test,a text of the cluster,and a second",
             "--mx-host=mail.cluster.test,payment.shop.svc.cluster.test,5"],
            stdout=subprocess.DEVNULL, stderr=open("/tmp/lab/dnsmasq.log", "w"))

    def _target(self, node):
        """The process whose network `pid/N` asks for: an ordinary program, as a container's main process is."""
        return self.nodes[node].start(["sleep", "infinity"], env={"PATH": "/usr/bin:/bin"}).pid

    def _wait_for_links(self):
        """Until packets pass everywhere. The end of a veth pair that was set up before its peer drops what is sent until a work of the kernel's
        (linkwatch) has run; what comes for a new IPv6 address is lost until another (addrconf_dad_work) has made its local route."""
        end = time.monotonic() + 2 * PROMPT
        for place in (self.sandbox, *self.nodes.values()):
            while late := _late(place.run(["sh", "-c", "ip -o link show up; ip -o -6 address; ip -o -6 route show table local"])):
                if time.monotonic() > end:
                    raise RuntimeError(f"{getattr(place, 'name', 'the host')}: not ready: {', '.join(sorted(late))}")
                time.sleep(0.02)

    def _wait_ready(self):
        end = time.monotonic() + 2 * PROMPT
        while True:
            try:
                with open("/tmp/lab/dnsmasq.log") as log:
                    text = log.read()
            except OSError:
                text = ""
            if "started" in text or "cached" in text or "read /tmp" in text:
                return
            if self.dnsmasq.poll() is not None or time.monotonic() > end:
                raise RuntimeError("dnsmasq did not start: " + text)
            time.sleep(0.02)

    def witness_reset(self):
        for name in WITNESSES:
            self.nodes[name].ask("reset")

    def witness_dump(self, wait=1.5):
        seen = []
        for name in WITNESSES:
            seen += [{"node": name, **e} for e in self.nodes[name].ask("dump", wait=wait)["seen"]]
        return seen
