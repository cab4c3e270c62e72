# SPDX-License-Identifier: MIT
"""Two users on one pod, each with an account of their own: their filters divide its requests, and what neither wants stays. The one agent that serves
both is the first one's."""

import contextlib
import json

from labkit.registry import expect, test

from .follow import Customer
from .incoming import SERVER, ends
from .permissions import JOB, user

MINE = [*JOB, ("", "pods", "get")]
USERS = ("ann", "bob")


class Office:
    """Ann and Bob, who came in this order. @sessions: their programs."""

    def __init__(self, kit, kubeconfig):
        self.kit = kit
        self.pod = kit.pods("app=web")[0]["metadata"]["name"]
        self.url = f"http://{kit.pod_host(self.pod)}:8080"
        self.sessions = {}
        for name, account, options in (("ann", None, ()), ("bob", kubeconfig, ("-a", "default"))):
            self.sessions[name] = kit.start_mirrord(["python3", "-u", "-c", SERVER, "8080", name], f"pod/{self.pod}", ("--steal", *options),
                                                    env=kit.environment(account, USER=name, MIRRORD_HTTP_PATH_FILTER=f"^/{name}"))
            kit.wait_for(f"{name}'s requests", lambda: self.ask(f"/{name}") == name)

    def ask(self, path):
        """Who answers; nobody while a session that has ended has its port still."""
        return json.loads(self.kit.in_pod("client", f"curl -sS --max-time 30 {self.url}{path} || echo '{{}}'")).get("pod", "nobody")


@contextlib.contextmanager
def office(kit):
    with user(kit, MINE) as kubeconfig:
        o = Office(kit, kubeconfig)
        try:
            yield o
        finally:
            for p in o.sessions.values():
                ends(p)
            kit.kubectl("delete", "jobs", "-l", "app=mirrord", "--wait=false")  # bob may not


@test("users.two_filters", timeout=150)
def two_filters(kit):
    with office(kit) as o:
        for _ in range(5):
            expect("who answers", [o.ask(path) for path in ("/ann/1", "/bob/1", "/carol")], ["ann", "bob", o.pod])
        ends(o.sessions.pop("ann"))
        kit.wait_for("ann's requests are the pod's", lambda: o.ask("/ann") == o.pod)
        kit.wait_for("bob's are his", lambda: o.ask("/bob") == "bob")


# What may be said to one whose agent was another user's.
SAYINGS = ("mirrord: lost the agent: ", "mirrord: pod ", "mirrord: nothing leads to the agent")


@test("users.first_ends", timeout=180)
def first_ends(kit):
    """The user whose agent serves both is told to end; then the agent's own pod is. No request fails, and Bob's program goes on."""
    with office(kit) as o:
        customer = Customer(kit, *(f"{o.url}/{path}" for path in (*USERS, "carol")))
        bob = o.sessions["bob"]
        try:
            ends(o.sessions.pop("ann"))
            kit.wait_for("ann's requests are the pod's", lambda: o.ask("/ann") == o.pod)
            kit.wait_for("bob's are his", lambda: o.ask("/bob") == "bob")
            kit.kubectl("delete", "pod", "-l", "app=mirrord", "--wait=false")
            kit.wait_logged("another agent", "is the target from here on", p=bob)
            kit.wait_for("bob's are his again", lambda: o.ask("/bob") == "bob")
        finally:
            failures, n = customer.end()
        expect("requests that failed", failures, [], kit.session_log(400))
        expect("requests", n, lambda n: n > 30)
        expect("bob's program", bob.poll(), None)
        told = ends(o.sessions.pop("bob"))[1]
        expect("what bob is told", [line for line in told.splitlines() if line.startswith("mirrord") and not line.startswith(SAYINGS)], [])
        served = {(a["path"], a["pod"]) for a in map(json.loads, customer.lines[customer.begin:])}
        expect("who served", served - {("/carol", o.pod), ("/ann", "ann"), ("/ann", o.pod), ("/bob", "bob"), ("/bob", o.pod)}, set())
