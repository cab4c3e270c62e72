# SPDX-License-Identifier: MIT
"""mirrord port-forward in a cluster: names of the cluster's from here, a pod's port to here, and another pod when the first is gone."""

import contextlib
import json
import re
import signal
import subprocess
import threading

from labkit.registry import PROMPT, Failure, expect, test

from .incoming import SERVER, ask


class Forward:
    """`mirrord port-forward`; @at: where each -L listens, in their order."""

    def __init__(self, kit, target, *words):
        self.p = subprocess.Popen([kit.program, "port-forward", "-t", target, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                  env=kit.environment(MIRRORD_LOG="error"), cwd=kit.cluster.state, start_new_session=True)
        self.told, self.kit = [], kit
        self.reader = threading.Thread(target=lambda: self.told.extend(iter(self.p.stderr.readline, "")), daemon=True)
        self.reader.start()
        try:
            self.wait_told(" leads to ", sum(w in ("-L", "-R") for w in words))
            self.wait_told(" from the target", sum(w == "-R" for w in words))
        except Failure:
            self.p.kill()
            raise
        self.at = [int(m[1]) for line in self.told if (m := re.match(r"mirrord: 127.0.0.1:(\d+)(?: \(UDP\))? leads to ", line))]

    def wait_told(self, part, times=1, seconds=60):
        self.kit.wait_for(f"{times} × {part!r} on stderr; so far {self.told}", lambda: sum(part in line for line in self.told) >= times, seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.p.send_signal(signal.SIGINT)
        try:
            status = self.p.wait(2 * PROMPT)
        finally:
            if self.p.poll() is None:
                self.p.kill()
        self.reader.join(5)
        self.p.stderr.close()
        expect("status after Ctrl-C", status, 0, "".join(self.told))


def here(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    return done.stdout or f"status {done.returncode}: {done.stderr}"


def web(port):
    return json.loads(here("curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{port}/"))


@test("port_forward.local", timeout=90)
def local(kit):
    """By short name, by full name, by address, UDP; the server sees the pod."""
    dns = kit.service_address("kube-dns", "kube-system")
    dns, question = (f"[{dns}]", "AAAA") if ":" in dns else (dns, "A")
    with Forward(kit, "pod/client", "-L", "0:web:80", "-L", "0:web.default.svc.cluster.local:80", "-L", f"0:{kit.pod_host('echo')}:7007", "-L",
                 f"0:{dns}:53/udp", "-L", f"0:{dns}:53", "-L", "0:none.default.svc.cluster.local:80") as f:
        for port in f.at[:2]:
            expect("whom the service sees", web(port)["peer"], kit.pod_address("client"))
        data = "0123456789" * 100000
        done = subprocess.run(["nc", "-N", "127.0.0.1", str(f.at[2])], input=data, capture_output=True, text=True, timeout=30)
        expect("a megabyte there and back, with a half-close", done.stdout == data, True, f"{len(done.stdout)} bytes; {done.stderr}")
        address = kit.service_address("web")
        for port, way in ((f.at[3], "+notcp"), (f.at[4], "+tcp")):
            answer = here("dig", "+short", "+tries=1", way, "-p", str(port), "@127.0.0.1", "web.default.svc.cluster.local", question)
            expect(f"dig {way}", answer.strip(), address)
        here("curl", "-sS", "--max-time", "5", f"http://127.0.0.1:{f.at[5]}/")
        f.wait_told("none.default.svc.cluster.local:80 from the target: the target knows no such name")


@contextlib.contextmanager
def server():
    """On this machine; its port."""
    p = subprocess.Popen(["python3", "-u", "-c", SERVER, "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield int(p.stdout.readline())
    finally:
        p.kill()
        p.communicate()


@test("port_forward.remote", timeout=120)
def remote(kit):
    """One replica's requests come here, while it lasts; no request fails. The kubelet's probes stay."""
    with server() as port:
        with Forward(kit, "deployment/web", "-R", f"8080:127.0.0.1:{port}"):
            kit.wait_for("a request that is answered here", lambda: any(a["pod"] == "local" for a in ask(kit)))
            expect("who answers", {a["pod"] == "local" for a in ask(kit, times=30)}, {True, False})
        kit.wait_clean()
        expect("who answers afterwards", any(a["pod"] == "local" for a in ask(kit)), False)


@test("port_forward.next_pod", timeout=180)
def next_pod(kit):
    """The pod is deleted: connections that come meanwhile wait for the agent in the next one."""
    with Forward(kit, "deployment/web", "-L", "0:web-headless:8080") as f:
        first = web(f.at[0])["peer"]
        pod = next(p["metadata"]["name"] for p in kit.pods("app=web") if p["status"].get("podIP") == first)
        kit.kubectl("delete", "pod", pod, "--wait=false")
        f.wait_told("connections wait for another one")
        peer = json.loads(here("curl", "-sS", "--max-time", "60", "--retry", "5", "--retry-all-errors", f"http://127.0.0.1:{f.at[0]}/"))["peer"]
        f.wait_told("the agent is there again")
        expect("another pod's address", peer, lambda p: p != first and p in {x["status"].get("podIP") for x in kit.pods("app=web")}, "".join(f.told))
    kit.wait_rollout("web")


@test("port_forward.two_users", timeout=120)
def two_users(kit):
    """The second one who wants all of a port hears who has it."""
    with server() as port, Forward(kit, "pod/echo", "-R", f"7009:127.0.0.1:{port}"):
        done = subprocess.run([kit.program, "port-forward", "-t", "pod/echo", "-R", f"7009:127.0.0.1:{port}"], capture_output=True, text=True,
                              timeout=60, env=kit.environment(MIRRORD_LOG="error", USER="bob"), cwd=kit.cluster.state)
        expect("status", done.returncode, 1, done.stderr)
        expect("what is said", done.stderr, lambda text: "port-forward" in text and "port 7009 of the target is not to be had" in text)
