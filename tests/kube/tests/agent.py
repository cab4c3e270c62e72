# SPDX-License-Identifier: MIT
"""The agent in the cluster: the ways to bring it there, what it sees there, and that it goes."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time

from labkit.registry import PATIENCE, PROMPT, Failure, expect, expect_in, test

from kubekit.cluster import bracketed

from .targets import ASK, asker

WAYS = {"job": (), "ephemeral": ("-e",)}


def run(kit, script, target="pod/client", options=(), **more):
    done = kit.mirrord(["bash", "-euo", "pipefail", "-c", script], target, options, **more)
    expect("status", done.status, 0, f"{done}\n{kit.session_log()}")
    return done.out


@test("agent.ways")
def ways(kit):
    """By a service's name, and by its address."""
    service = kit.service_address("web")
    for way, options in WAYS.items():
        expect(way, asker(kit, "pod/client", options), kit.pod_address("client"))
        out = run(kit, f"curl -sS --max-time 30 http://{bracketed(service)}/", options=options)
        expect(f"{way}: by the service's address", json.loads(out)["peer"], kit.pod_address("client"))


@test("agent.dns")
def dns(kit):
    """The search list, full names, a headless service, what isn't there: as in the pod."""
    names = "for n in web web.default web.default.svc.cluster.local web-headless outside.example none.example; do { getent ahosts $n || echo none; } | sed 's, .*,,' | sort -u; done"
    inside = kit.in_pod("client", names)
    for way, options in WAYS.items():
        expect(way, run(kit, names, options=options), inside)
    expect("resolv.conf", run(kit, "cat /etc/resolv.conf"), kit.in_pod("client", "cat /etc/resolv.conf"))
    expect("hosts", run(kit, "cat /etc/hosts"), kit.in_pod("client", "cat /etc/hosts"))
    expect("host name", run(kit, "hostname"), "client\n")


@test("agent.addresses")
def addresses(kit):
    """A pod by its address, a port that nobody has, the pod's own localhost."""
    script = ("curl -sS --max-time 30 http://$1:8080/; echo; curl -s --max-time 30 http://$1:1/ || echo $?; "
              "curl -sS --max-time 30 http://127.0.0.1:8080/ http://[::1]:8080/")
    web = kit.pods("app=web")[0]
    name, address = web["metadata"]["name"], web["status"]["podIP"]
    for way, options in WAYS.items():
        out = run(kit, f"set -- {bracketed(address)}; {script}", f"pod/{name}", options).split("\n")
        answers = [json.loads(line) for line in out if line.startswith("{")]
        expect(f"{way}: pods", [a["pod"] for a in answers], [name] * 3)
        expect(f"{way}: peers", [a["peer"] for a in answers], [address, "127.0.0.1", "::1"])
        expect(f"{way}: refused", "7" in out, True)


@test("agent.bulk")
def bulk(kit):
    """Fifty megabytes each way, by way of a pod that sends back what it gets; several connections at a time."""
    client = ("import hashlib, os, socket, sys, threading\n"
              "def once(ret):\n"
              " data = os.urandom(1 << 20) * 12\n"
              " c = socket.create_connection((sys.argv[1], 7007), float(sys.argv[2]))\n"
              " t = threading.Thread(target=lambda: (c.sendall(data), c.shutdown(1)))\n"
              " t.start()\n"
              " got = hashlib.sha256()\n"
              " n = 0\n"
              " while d := c.recv(1 << 16): got.update(d); n += len(d)\n"
              " t.join()\n"
              " ret.append(n == len(data) and got.digest() == hashlib.sha256(data).digest())\n"
              "all_ = []\n"
              "threads = [threading.Thread(target=once, args=(all_,)) for _ in range(4)]\n"
              "[t.start() for t in threads]; [t.join() for t in threads]\n"
              "print(all_)")
    done = kit.mirrord(["python3", "-c", client, kit.pod_address("echo"), str(PROMPT)], "pod/client")
    expect("echoed", done.out, "[True, True, True, True]\n", f"{done}\n{kit.session_log()}")


@test("agent.exit_status")
def exit_status(kit):
    """The program's own, and nothing of ours on its output."""
    done = kit.mirrord(["sh", "-c", "echo out; echo err >&2; exit 7"], "pod/client")
    expect("status, stdout, stderr", (done.status, done.out, done.err), (7, "out\n", "err\n"))


@test("agent.outputs_end")
def outputs_end(kit):
    """Who reads the program's output to its end doesn't wait for what the program has left behind, nor for what carries its tunnel."""
    done = kit.mirrord(["sh", "-c", "sleep 300 >&- 2>&- & echo $!"], "pod/client")
    left = int(done.out)
    expect("what is left", open(f"/proc/{left}/comm").read(), "sleep\n", str(done))
    os.kill(left, signal.SIGKILL)


def await_sleep(kit, p):
    """Until @p is the program, not mirrord any more."""
    def is_it():
        if p.poll() is not None:
            raise Failure("the program", f"status {p.returncode}", p.stderr.read() + kit.session_log())
        with open(f"/proc/{p.pid}/cmdline", "rb") as f:
            return f.read() == b"sleep\0" b"1000\0"
    kit.wait_for("the program", is_it)


@test("agent.goes", timeout=240)
def goes(kit):
    """When the session is killed, at once; with all of ours, when nobody has come back for half a minute. So does one whose carrier on this machine
    was killed: the session has another by then."""
    for way, victims in (("job", "mirrord-session"), ("ephemeral", "mirrord-session"), ("job", "mirrord-kube"), ("ephemeral", "mirrord-")):
        p = kit.start_mirrord(["sleep", "1000"], "pod/client", WAYS[way])
        await_sleep(kit, p)
        expect("agents", len(kit.agents()), lambda n: n > 0)
        kit.kill(ours(kit, victims))
        try:
            if victims == "mirrord-kube":
                kit.wait_logged("another agent", "is the target from here on", p=p)
                p.terminate()
            if victims == "mirrord-session":
                expect(f"{victims}: the program", p.wait(2 * PROMPT), -signal.SIGTERM)
        finally:
            p.kill()
        if victims != "mirrord-kube":  # the one that was left alone waits while the next does
            kit.wait_clean(15 if victims == "mirrord-session" else 60)


def ours(kit, name):
    """Our processes whose name begins so, by the state directory that is in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f, open(f"/proc/{pid}/environ", "rb") as e:
                if f.read().startswith(name) and kit.cluster.kubeconfig.encode() in e.read():
                    found.append(int(pid))
        except OSError:
            pass
    return found


@test("agent.no_image")
def no_image(kit):
    """Said at once, in the node's words."""
    for options in WAYS.values():
        began = time.monotonic()
        done = kit.mirrord(["true"], "pod/client", [*options, "-i", "localhost/none:1"])
        expect("status", done.status, 1, str(done))
        expect_in("stderr", done.err, "the agent's image can't be had: ErrImagePull")
        expect_in("stderr", done.err, "agent.image is localhost/none:1")
        expect("seconds", time.monotonic() - began, lambda s: s < 20 * PATIENCE)


@contextlib.contextmanager
def full(kit):
    """A namespace, "full", in which no pod may be made."""
    with kit.namespace("full"):
        kit.kubectl("-n", "full", "create", "quota", "none", "--hard=pods=0")
        kit.wait_for("the quota", lambda: kit.get("resourcequota", "none", "full")["status"].get("hard"))
        yield


@test("agent.quota")
def quota(kit):
    """Its words, at once."""
    with full(kit):
        done = kit.mirrord(["true"], "pod/client", ["-a", "full"])
        expect("status", done.status, 1, str(done))
        expect_in("stderr", done.err, "exceeded quota: none")
        expect_in("stderr", done.err, "the ResourceQuota of namespace full is used up")
        expect("seconds", done.seconds, lambda s: s < 15 * PATIENCE)


@test("agent.dump")
def dump(kit):
    """The pod's live traffic; Ctrl-C ends it, and the agent."""
    for options in WAYS.values():
        p = subprocess.Popen([kit.program, "dump", "--json", "-t", "deployment/web", "-p", "8080/tcp", *options], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, start_new_session=True, env=kit.environment(MIRRORD_LOG=""), cwd=kit.cluster.state)
        seen = []
        reader = threading.Thread(target=lambda: seen.extend(p.stdout))
        reader.start()

        def asked():
            kit.in_pod("client", "for i in {1..8}; do curl -fs --max-time 5 http://web/seen; done")
            return any("GET /seen" in line for line in seen)
        try:
            kit.wait_for("a request that is shown", asked)
        finally:
            p.send_signal(signal.SIGINT)
        reader.join(PROMPT)
        expect("status", p.wait(PROMPT), 0, p.stderr.read())
        kit.wait_clean()


@test("agent.many")
def many(kit):
    """Twenty sessions at once, on targets of both nodes."""
    targets = ["pod/client", "pod/shell", "deployment/web", "service/web"]
    sessions = [kit.start_mirrord(ASK, targets[i % 4]) for i in range(20)]
    for p in sessions:
        out, err = p.communicate(timeout=2 * PROMPT)
        expect("status", p.returncode, 0, err)
        expect("an answer", json.loads(out)["path"], "/")
