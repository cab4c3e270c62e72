# SPDX-License-Identifier: MIT
"""What the other tests rely on: that this is a real cluster, and this machine outside of it."""

import json
import subprocess

from labkit.registry import Failure, expect, expect_in, test

from kubekit.cluster import PROGRAM, Trouble


@test("cluster.nodes")
def nodes(kit):
    """Two of them, ready; the deployment has a pod on each."""
    ready = {n["metadata"]["name"] for n in kit.get("node", namespace=None)["items"] for c in n["status"]["conditions"] if (c["type"], c["status"]) == ("Ready", "True")}
    expect("ready nodes", ready, {"node1", "node2"})
    expect("where the pods are", sorted(p["spec"]["nodeName"] for p in kit.pods("app=web")), ["node1", "node2"])


@test("cluster.service")
def service(kit):
    """By name from a pod: both replicas answer, and see that pod's address, also from the other node."""
    asked = "for i in {1..30}; do curl -fs --max-time 30 http://web/; done"
    answers = [json.loads(line) for line in kit.in_pod("client", asked).splitlines()]
    expect("who answers", {a["pod"] for a in answers}, {p["metadata"]["name"] for p in kit.pods("app=web")})
    expect("whom they see", {a["peer"] for a in answers}, {kit.pod_address("client")})


@test("cluster.names")
def names(kit):
    """CoreDNS: the search list, full names, a headless service's pods, a name outside, none."""
    addresses = {p["status"]["podIP"] for p in kit.pods("app=web")}
    service_address = kit.service_address("web")
    for name in ("web", "web.default", "web.default.svc.cluster.local"):
        expect_in(name, kit.in_pod("client", f"getent hosts {name}"), service_address)
    headless = kit.in_pod("client", "getent ahosts web-headless")
    expect("the pods behind a headless service", {line.split()[0] for line in headless.splitlines()}, addresses)
    expect_in("a name outside", kit.in_pod("client", "getent hosts outside.example"), "198.51.100.7")
    expect("no name", kit.in_pod("client", "getent hosts none.example || echo $?"), "2\n")


@test("cluster.outside")
def outside(kit):
    """This machine has no way to pods and services but the product's."""
    link = kit.cluster.link
    for address in (kit.pod_address("client"), kit.service_address("web")):
        route = subprocess.run(["ip", "route", "get", address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        expect(f"a route to {address}", link in route, False, route)


@test("cluster.exec")
def exec_(kit):
    """Bytes both ways and the exit status, through WebSocket."""
    sent = bytes(range(256)) * 8192
    done = subprocess.run([PROGRAM, "kubectl", "exec", "-i", "client", "-c", "main", "--", "cat"], input=sent, stdout=subprocess.PIPE, env=kit.cluster.environment())
    expect("what comes back", done.stdout == sent, True)
    done = subprocess.run([PROGRAM, "kubectl", "exec", "client", "-c", "main", "--", "sh", "-c", "exit 7"], env=kit.cluster.environment(), stderr=subprocess.DEVNULL)
    expect("exit status", done.returncode, 7)


def refused(kit, what, call):
    try:
        call()
    except (Trouble, Failure) as e:
        return str(e)
    raise Failure(f"{what} refused", "allowed")


@test("cluster.pod_security")
def pod_security(kit):
    """In a guarded namespace no pod gets a privilege, and no ephemeral container."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad", "namespace": "guarded"},
           "spec": {"hostPID": True, "containers": [{"name": "main", "image": "localhost/app:1"}]}}
    expect_in("the refusal", refused(kit, "a pod with hostPID", lambda: kit.cluster.apply(pod)), "violates PodSecurity")


@test("cluster.rbac")
def rbac(kit):
    """A user who may list pods may not list secrets."""
    authority = kit.cluster.authority
    authority.certify("reader", "/CN=reader")
    config = authority.kubeconfig("reader", kit.cluster.url)
    kit.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kit.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=reader")
    try:
        expect_in("pods", kit.kubectl("get", "pods", kubeconfig=config), "client")
        expect_in("secrets", refused(kit, "secrets", lambda: kit.cluster.kubectl("get", "secrets", kubeconfig=config)), "forbidden")
    finally:
        kit.kubectl("delete", "role,rolebinding", "reader")
