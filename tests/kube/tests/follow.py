# SPDX-License-Identifier: MIT
"""The target's pod goes away and another takes its place: the session moves there by itself, and no request fails meanwhile."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading

from labkit.registry import PATIENCE, PROMPT, expect, expect_in, test

from kubekit.cluster import PROGRAM, bracketed

from .agent import WAYS
from .incoming import SERVER, ends
from .permissions import JOB, user
from .targets import objects, workload

STAY = int(6 * PATIENCE)  # seconds that a pod goes on after its end was told, until no proxy sends anybody there
MOVED = "is the target from here on"
MAKE_JOB = ("batch", "jobs", "create")


def shop(replicas):
    """Pods that stay a while after they have gone out of service, as they should where no request may fail."""
    it = workload("Deployment", "shop", replicas=replicas)
    pod = it["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = STAY + 2
    pod["volumes"] = [{"name": "server", "configMap": {"name": "server"}}]
    pod["containers"][0].update(
        command=["python3", "/server/server.py"], volumeMounts=[{"name": "server", "mountPath": "/server"}],
        readinessProbe={"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 30, "failureThreshold": 10},
        lifecycle={"preStop": {"sleep": {"seconds": STAY}}})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"},
               "spec": {"selector": {"app": "shop"}, "ports": [{"port": 80, "targetPort": 8080}]}}
    return it, service


@contextlib.contextmanager
def deployed(kit, replicas):
    with objects(kit, *shop(replicas)):
        kit.wait_rollout("shop")
        yield


class Customer:
    """Asks a service again and again, from a pod, a new connection each time. What it got is told at the end."""

    SCRIPT = 'while read -r -t 0.05 _ || (($? > 128)); do for url; do curl -sS --max-time 30 "$url" || echo failed: $?; done; done 2>&1'

    def __init__(self, kit, *urls):
        self.process = subprocess.Popen([PROGRAM, "kubectl", "exec", "-i", "client", "--", "bash", "-c", self.SCRIPT, "bash", *(urls or ["http://shop/"])],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=kit.cluster.environment())
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        kit.wait_for("the service", lambda: any(line.startswith('{"pod"') for line in self.lines))
        self.begin = len(self.lines)  # before, the node didn't know of the service yet

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def answered_by(self, who, after):
        return any(f'"pod": "{who}"' in line for line in self.lines[after:])

    def end(self):
        self.process.stdin.close()
        self.reader.join(2 * PROMPT)
        self.process.wait(PROMPT)
        told = self.lines[self.begin:]
        return [(i, line) for i, line in enumerate(told) if not line.startswith('{"pod"')], len(told)


def check_move(kit, options, replicas, change):
    with deployed(kit, replicas):
        customer = Customer(kit)
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "deployment/shop", ["--steal", *options])
        try:
            kit.wait_for("a request that is answered here", lambda: customer.answered_by("local", 0))
            change()
            kit.wait_logged("the move", MOVED, p=p)
            kit.wait_logged("the port", "port 8080 is stolen", 2, p)
            kit.wait_rollout("shop")
            kit.wait_for("only one pod for each replica", lambda: len(kit.pods("app=shop")) == replicas)
            so_far = len(customer.lines)
            kit.wait_for("a request that is answered here again", lambda: customer.answered_by("local", so_far))
        finally:
            out, err = ends(p)
            failures, n = customer.end()
        expect("requests that failed", failures, [], kit.session_log(200))
        expect("requests", n, lambda n: n > 50)
        # A pod may be gone before the next agent is there: that is said, and nothing else.
        said = [line for line in err.splitlines() if "mirrord" in line and MOVED not in line and "is gone: there is no network" not in line]
        expect("lines of ours on stderr", said, [])
    kit.wait_clean()


@test("follow.rollout", timeout=180)
def rollout(kit):
    """The deployment is rolled out anew, by either way of the agent."""
    for options in WAYS.values():
        check_move(kit, options, 1, lambda: kit.kubectl("rollout", "restart", "deployment/shop"))


@test("follow.pod_deleted", timeout=120)
def pod_deleted(kit):
    """The pod is deleted; another of the deployment is there."""
    check_move(kit, (), 2, lambda: kit.kubectl("delete", "pod", stolen_pod(kit), "--wait=false"))


def stolen_pod(kit):
    """The one that the agent's job names."""
    agent = next(p for p in kit.pods("app=mirrord"))
    return agent["metadata"]["annotations"]["mirrord/target"].split("/")[1]


# Whom a server sees, and what this host looks like, again and again.
LOOK = """while :; do
	echo "$(curl -sS --max-time 5 http://web/ | sed 's/.*"peer": "//; s/".*//') $(ip -4 -o address show dev eth0 | awk '{print $4}' | cut -d/ -f1 | tr '\\n' ,) $(hostname)"
	sleep 0.2
done"""


@test("follow.addresses", timeout=90)
def addresses(kit):
    """What leaves comes from the new pod; the twin has its address and its name. A stateful set's pod comes back under its name."""
    stateful = workload("StatefulSet", "cart", serviceName="cart", replicas=1)
    with objects(kit, stateful), tempfile.TemporaryFile("w+") as out:
        def last():
            lines = os.pread(out.fileno(), 1 << 20, 0).decode().splitlines()
            return lines[-1].split(" ") if lines and lines[-1].count(" ") == 2 else ["", "", ""]

        kit.wait_for("the pod", lambda: kit.pods("app=cart"))
        kit.wait_ready("pod/cart-0")
        before = kit.pod_address("cart-0")
        p = kit.start_mirrord(["bash", "-c", LOOK], "pod/cart-0", stdout=out)
        try:
            kit.wait_for("the first pod's address", lambda: last() == [before, before + ",", "cart-0"])
            kit.kubectl("delete", "pod", "cart-0", "--now")
            kit.wait_logged("the move", MOVED, p=p)
            after = kit.pod_address("cart-0")
            expect("another address", after != before, True)
            kit.wait_for("the next pod's address", lambda: last()[0] == after)
            expect("addresses of the twin", set(last()[1].strip(",").split(",")), {before, after})
        finally:
            ends(p)


@test("follow.nowhere", timeout=240)
def nowhere(kit):
    """A pod that nobody makes anew: said, and the program is told to end."""
    with objects(kit, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lonely", "labels": {"app": "lonely"}},
                       "spec": workload("Deployment", "lonely")["spec"]["template"]["spec"]}):
        kit.wait_ready("pod/lonely")
        p = kit.start_mirrord(["sleep", "1000"], "pod/lonely")
        kit.wait_for("the agent", kit.agents)
        kit.wait_for("the session", lambda: "serves" in kit.session_log() or "exec: v5" in kit.session_log())
        kit.kubectl("delete", "pod", "lonely", "--now")
        out, err = p.communicate(timeout=60 + 2 * PROMPT)
        expect("status", p.returncode, -signal.SIGTERM, f"{err}\n{kit.session_log()}")
        expect_in("stderr", err, "mirrord: pod lonely is gone: there is no network until there is another one\n")
        expect_in("stderr", err, "target pod/lonely: its pod is gone, and no other came within 60 seconds")


@test("follow.container_killed", timeout=120)
def container_killed(kit):
    """The target's container dies and starts again in the same pod: nothing happens to what is stolen. An agent in the pod, which ends with the
    container, is started anew."""
    for way, options in WAYS.items():
        with deployed(kit, 1):
            pod = kit.pods("app=shop")[0]
            name, address = pod["metadata"]["name"], pod["status"]["podIP"]
            p = kit.start_mirrord(["python3", "-u", "-c", SERVER], f"pod/{name}", ["--steal", *options])
            ask = f"curl -sS --max-time 5 http://{bracketed(address)}:8080/ || echo failed"
            try:
                kit.wait_for("a request that is answered here", lambda: "local" in kit.in_pod("client", ask))
                kill_container(kit, name)
                seen = []
                kit.wait_for("its restart", lambda: seen.append(kit.in_pod("client", ask)) or
                             kit.get("pod", name)["status"]["containerStatuses"][0]["restartCount"] == 1)
                if way == "job":
                    expect("who answers meanwhile", {"local" in a for a in seen}, {True})
                else:
                    kit.wait_logged("the move", MOVED, p=p)
                kit.wait_for("a request that is answered here again", lambda: "local" in kit.in_pod("client", ask))
            finally:
                ends(p)
            kit.wait_for("the pod's own answer", lambda: name in kit.in_pod("client", ask))
        kit.wait_clean()


def kill_container(kit, pod):
    """Its first process, from the node."""
    uid = kit.get("pod", pod)["metadata"]["uid"]
    for node in kit.cluster.nodes:
        for pid in node.groups.processes():
            try:
                with open(f"/proc/{pid}/cgroup") as g, open(f"/proc/{pid}/cmdline", "rb") as c:
                    if uid in g.read() and b"/server/server.py" in c.read():
                        os.kill(pid, signal.SIGKILL)
            except OSError:
                pass


@test("follow.again", timeout=180)
def again(kit):
    """What keeps the next agent from coming passes: the user may make no job for a while. Then the session moves."""
    with deployed(kit, 1), user(kit, JOB) as kubeconfig:
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "deployment/shop", ["--steal", "-a", "default"], env=kit.environment(kubeconfig))
        try:
            kit.wait_logged("the port", "port 8080 is stolen", p=p)
            change_role(kit, {"op": "remove", "path": f"/rules/{JOB.index(MAKE_JOB)}"})
            kit.kubectl("delete", "pod", stolen_pod(kit), "--wait=false")
            kit.wait_logged("two attempts", "session: follow: ", 2, p)
            group, resource, verb = MAKE_JOB
            change_role(kit, {"op": "add", "path": "/rules/-", "value": {"apiGroups": [group], "resources": [resource], "verbs": [verb]}})
            kit.wait_logged("the move", MOVED, p=p)
            kit.wait_logged("the port", "port 8080 is stolen", 2, p)
        finally:
            ends(p)
            kit.kubectl("delete", "jobs", "-l", "app=mirrord", "--wait=false")  # that user may not


def change_role(kit, change):
    kit.kubectl("patch", "role", "dev", "--type=json", "-p", json.dumps([change]))


@test("follow.watch_too_old", timeout=180)
def watch_too_old(kit):
    """The API server has forgotten what was before its start (410 Gone): the watch of the target's pod begins anew, and the session follows."""
    with deployed(kit, 1):
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "deployment/shop", ["--steal"])
        try:
            kit.wait_logged("the port", "port 8080 is stolen", p=p)
            with objects(kit, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}}):  # the watch has begun before there was that
                kit.cluster.nodes[0].kill("kube-apiserver")
                kit.wait_logged("the watch's new beginning", "too old resource version", p=p)
                kit.wait_for("the API server", lambda: kit.cluster.answers())
            kit.kubectl("delete", "pod", stolen_pod(kit), "--wait=false")
            kit.wait_logged("the move", MOVED, p=p)
            kit.wait_logged("the port", "port 8080 is stolen", 2, p)
        finally:
            ends(p)
