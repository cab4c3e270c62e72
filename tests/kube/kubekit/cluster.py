# SPDX-License-Identifier: MIT
"""A Kubernetes cluster of two nodes on this machine, each a set of namespaces.

    this machine          node1                               node2
    mrdk<N>  .1/30 ────── uplink0 .2/30   peer0 .5/30 ────── uplink0 .6/30      172.31.<N>.0
           ::1/126           ::2/126           ::5/126          ::6/126         fd31:<N>::
                          control plane, CoreDNS
                          pods 10.244.1.0/24                  pods 10.244.2.0/24
                               fd44:0:0:1::/64                     fd44:0:0:2::/64

This machine is a developer's: it reaches the API server at 172.31.<N>.2:6443 (in a cluster of IPv6 alone, at fd31:<N>::2) and has no route to
pods and services, nor the cluster's name server. Everything ends with the nodes' first processes, and those with us; what is left then are empty
control groups and a folder, which down() removes, or the next up() if we were killed. Several clusters at a time have different N."""

import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from labkit.registry import PATIENCE

from . import cgroups, pki

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILT = os.path.realpath(os.path.join(HERE, "..", "..", "build-kube"))
PROGRAM = os.path.join(BUILT, "allkube")
IMAGES = os.path.join(BUILT, "images")
PLUGINS = "/usr/lib/cni"
CLUSTERS = 16
# What pods and services have, in a cluster of both families (IPv4 first) and in one of IPv6 alone.
FAMILIES = {
    "both": {"PODS": "10.244.0.0/16,fd44::/48", "SERVICES": "10.96.0.0/16,fd96::/112", "DNS": "10.96.0.10"},
    "ipv6": {"PODS": "fd44::/48", "SERVICES": "fd96::/112", "DNS": "fd96::a"},
}
START_SECONDS = 400 * PATIENCE


class Trouble(Exception):
    pass


def bracketed(address):
    """As it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    if done.returncode:
        raise Trouble(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
    return done.stdout


def _fill(template, target, **values):
    with open(os.path.join(HERE, "conf", template)) as f:
        text = f.read()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    with open(target, "w") as f:
        f.write(text)


def _bridge_plugin(directory):
    """The CNI plug-ins, `bridge` with networks that take an IPv6 address without looking for others who have it: that takes a second and more."""
    os.makedirs(directory)
    for name in os.listdir(PLUGINS):
        os.symlink(f"{PLUGINS}/{name}", f"{directory}/{name}")
    os.unlink(f"{directory}/bridge")
    with open(f"{directory}/bridge", "w") as f:
        f.write(f"""#!/bin/sh
[ "$CNI_COMMAND" != ADD ] || nsenter --net="$CNI_NETNS" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/default/dad_transmits'
exec {PLUGINS}/bridge
""")
    os.chmod(f"{directory}/bridge", 0o755)


def _take_number():
    """A number that no other cluster has, and what keeps it ours: an abstract socket, which ends with us."""
    for number in range(1, CLUSTERS + 1):
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0mirrord-test-cluster-{number}")
            return number, held
        except OSError:
            held.close()
    raise Trouble(f"{CLUSTERS} clusters run already")


class Node:
    def __init__(self, cluster, name, address, gateway, pod_nets, peer, links6, server):
        self.cluster, self.name = cluster, name
        self.addresses = (links6.split()[1],) if cluster.families == "ipv6" else (address, links6.split()[1])
        self.pod_nets = pod_nets
        self.gateway = str(ipaddress.ip_network(pod_nets[0])[1])  # of its pods
        self.state = os.path.join(cluster.state, name)
        self.groups = cgroups.Groups(f"mirrord-kube-{cluster.number}-{name}")
        self.outer = self.init = None
        self.environment = {
            "STATE": self.state, "PROGRAM": PROGRAM, "IMAGES": IMAGES, "API": cluster.url, "NAME": name, "ADDRESS": address,
            "GATEWAY": gateway, "PEER": peer, "LINKS6": links6, "SERVER": cluster.address if server else "",
            "NODE_ADDRESSES": ",".join(self.addresses), "SERVICES": FAMILIES[cluster.families]["SERVICES"],
        }

    def prepare(self):
        os.makedirs(f"{self.state}/cni")
        _bridge_plugin(f"{self.state}/plugins")
        for name in os.listdir(self.cluster.authority.directory):
            shutil.copy(self.cluster.authority.path(name), self.state)
        ranges = json.dumps([[{"subnet": net}] for net in self.pod_nets])
        routes = json.dumps([{"dst": "::/0" if ":" in net else "0.0.0.0/0"} for net in self.pod_nets])
        values = {"STATE": self.state, "NAME": self.name, "RANGES": ranges, "ROUTES": routes, **FAMILIES[self.cluster.families]}
        _fill("cni.conflist", f"{self.state}/cni/10-pods.conflist", **values)
        for name in ("containerd.toml", "kubelet.yaml", "proxy.yaml"):
            _fill(name, f"{self.state}/{name}", **values)

    def start(self):
        self.groups.make()
        # In version 2 processes live in leaves: the one that becomes the node's first goes into its own before.
        leave = f"echo 0 >{self.groups.paths[0]}/{cgroups.LEAF}/cgroup.procs && " if self.groups.v2 else ""
        command = ["unshare", "--cgroup", "sh", "-c", leave + 'exec "$@"', "sh", "unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork",
                   "--kill-child", "--mount-proc", os.path.join(HERE, "node")]
        us = os.getpid()

        def before():
            import ctypes
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            if os.getppid() != us:
                os._exit(1)
            self.groups.enter()

        with open(f"{self.state}/node.log", "w") as log:
            self.outer = subprocess.Popen(command, env=self.environment | {"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, start_new_session=True, preexec_fn=before)
        self.init = self._find_init()

    def _find_init(self):
        children = f"/proc/{self.outer.pid}/task/{self.outer.pid}/children"
        while self.alive():
            try:
                with open(children) as f:
                    found = f.read().split()
            except OSError:
                found = []
            if found:
                return int(found[0])
            time.sleep(0.02)
        raise Trouble(f"{self.name} did not start:\n{self.logs()}")

    def run(self, *command, **more):
        """Inside the node."""
        return _run("nsenter", "-t", str(self.init), "-m", "-n", "-p", "-u", "-i", *command, **more)

    def kill(self, program):
        """One of allkube's programs; the node starts it again."""
        for pid in self.groups.processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if words[0] == PROGRAM.encode() and words[1] == program.encode():
                    os.kill(pid, signal.SIGKILL)
            except (OSError, IndexError):
                pass

    def alive(self):
        return self.outer is not None and self.outer.poll() is None

    def stop(self):
        if self.init and self.alive():
            try:
                os.kill(self.init, signal.SIGKILL)
            except ProcessLookupError:
                pass
        left = self.groups.remove()
        if self.outer:
            self.outer.wait()
        return left

    def logs(self, lines=8):
        out = []
        for name in sorted(os.listdir(self.state) if os.path.isdir(self.state) else ()):
            if name.endswith(".log"):
                with open(f"{self.state}/{name}", errors="replace") as f:
                    last = f.read().splitlines()[-lines:]
                out += [f"--- {self.name}/{name}", *last]
        return "\n".join(out)


class Cluster:
    def __init__(self, families="both"):
        self.number, self._held = _take_number()
        self.families = families
        self.address = f"fd31:{self.number}::2" if families == "ipv6" else f"172.31.{self.number}.2"
        self.url = f"https://{bracketed(self.address)}:6443"
        self.link = f"mrdk{self.number}"
        self.state = tempfile.gettempdir() + f"/mirrord-kube-{self.number}"
        net, net6 = f"172.31.{self.number}", f"fd31:{self.number}:"
        pods = [(f"10.244.{i}.0/24", f"fd44:0:0:{i}::/64")[families == "ipv6":] for i in (1, 2)]
        self.nodes = [
            Node(self, "node1", f"{net}.2", f"{net}.1", pods[0], f"{net}.5 {net}.6 10.244.2.0/24",
                 f"uplink0 {net6}:2 {net6}:1 default\npeer0 {net6}:5 {net6}:6 {pods[1][-1]}", True),
            Node(self, "node2", f"{net}.6", f"{net}.5", pods[1], "", f"uplink0 {net6}:6 {net6}:5 default", False),
        ]
        self.authority = None

    def up(self):
        self._sweep()
        os.makedirs(self.state, mode=0o700)
        self._make_certificates()
        for node in self.nodes:
            node.prepare()
        for node in self.nodes:
            node.start()
        self._connect()
        self._await_ready()

    def _make_certificates(self):
        os.mkdir(f"{self.state}/pki")
        a = self.authority = pki.Authority(f"{self.state}/pki")
        service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        a.certify("apiserver", "/CN=kube-apiserver", [self.address, "127.0.0.1", "10.96.0.1", "fd96::1"], ["localhost", *service])
        a.certify("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        clients = {"admin": "/O=system:masters/CN=admin", "controllers": "/CN=system:kube-controller-manager",
                   "scheduler": "/CN=system:kube-scheduler", "proxy": "/CN=system:kube-proxy"}
        for name, subject in clients.items():
            a.certify(name, subject)
            a.kubeconfig(name, self.url)
        for node in self.nodes:
            a.certify(node.name, f"/O=system:nodes/CN=system:node:{node.name}", node.addresses, [node.name])
            a.kubeconfig(node.name, self.url)

    def _connect(self):
        first, second = self.nodes
        _run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "uplink0", "netns", str(first.init))
        _run("ip", "address", "add", f"172.31.{self.number}.1/30", "dev", self.link)
        _run("ip", "address", "add", f"fd31:{self.number}::1/126", "dev", self.link, "nodad")
        _run("ip", "link", "set", self.link, "up")
        _run("nsenter", "-t", str(first.init), "-n", "ip", "link", "add", "peer0", "type", "veth", "peer", "name", "uplink0", "netns",
             str(second.init))

    def _await_ready(self):
        until = time.monotonic() + START_SECONDS
        self._await(until, "/readyz")
        _fill("dns.yaml", f"{self.state}/dns.yaml", PROGRAM=PROGRAM, **FAMILIES[self.families])
        self.kubectl("apply", "-f", f"{self.state}/dns.yaml")
        self._await(until, "/api/v1/namespaces/default/serviceaccounts/default")  # pods are refused before it is there
        for node in self.nodes:
            self._await(until, f"/api/v1/nodes/{node.name}")
        left = f"--timeout={int(until - time.monotonic())}s"
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", left)
        self.kubectl("-n", "kube-system", "wait", "--for=condition=Available", "deployment/coredns", left)

    def answers(self, path="/readyz"):
        curl = ["curl", "-fs", "--noproxy", "*", "--max-time", "5", "-o", "/dev/null"]
        for option, name in (("--cacert", "ca.crt"), ("--cert", "admin.crt"), ("--key", "admin.key")):
            curl += [option, self.authority.path(name)]
        return subprocess.run([*curl, self.url + path]).returncode == 0

    def _await(self, until, path):
        while not self.answers(path):
            if time.monotonic() > until or not all(n.alive() for n in self.nodes):
                raise Trouble(f"no answer to {path}\n" + "\n".join(n.logs() for n in self.nodes))
            time.sleep(0.1)

    @property
    def kubeconfig(self):
        return f"{self.state}/pki/admin.conf"

    def environment(self, kubeconfig=None):
        """For a client's process: nothing of the user's own configuration."""
        own = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return own | {"KUBECONFIG": kubeconfig or self.kubeconfig, "KUBECACHEDIR": f"{self.state}/cache"}

    def kubectl(self, *arguments, kubeconfig=None, **more):
        return _run(PROGRAM, "kubectl", *arguments, env=self.environment(kubeconfig), **more)

    def apply(self, manifest):
        """@manifest: YAML, or what JSON makes one of."""
        self.kubectl("apply", "-f", "-", input=manifest if isinstance(manifest, str) else json.dumps(manifest))

    def load(self, archive):
        """Brings an image into all nodes."""
        for node in self.nodes:
            with open(archive, "rb") as f:
                done = subprocess.run(["nsenter", "-t", str(node.init), "-m", "-n", "ctr", "-n", "k8s.io", "images", "import", "-"], stdin=f,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode:
                raise Trouble(f"{node.name} does not take {archive}: {done.stdout.decode()}")

    def _sweep(self):
        """What is left of one that was killed."""
        for node in self.nodes:
            node.groups.remove()
        shutil.rmtree(self.state, ignore_errors=True)

    def down(self):
        """Returns what could not be removed."""
        left = []
        for node in self.nodes:
            left += node.stop()
        subprocess.run(["ip", "link", "delete", self.link], stderr=subprocess.DEVNULL)  # it goes with its other end, a little later
        shutil.rmtree(self.state, ignore_errors=True)
        if os.path.exists(self.state):
            left.append(self.state)
        return left
