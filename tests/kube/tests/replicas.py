# SPDX-License-Identifier: MIT
"""All replicas of a target: what comes to any of its pods is the program's, while pods come and go."""

import json

from labkit.registry import expect, test

from kubekit.cluster import bracketed

from .agent import WAYS
from .follow import Customer, deployed
from .incoming import SERVER, ends


def answers(kit, path="/"):
    """Who answers for each pod of the shop that is there to stay, by its name; whom it sees."""
    asked = {}
    for pod in kit.pods("app=shop"):
        if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("podIP"):
            out = kit.in_pod("client", f"curl -s --max-time 5 http://{bracketed(pod['status']['podIP'])}:8080{path} || true")
            asked[pod["metadata"]["name"]] = json.loads(out or "{}")
    return asked


def all_local(kit, n):
    asked = answers(kit)
    return len(asked) == n and all(a.get("pod") == "local" for a in asked.values())


def options_of(kit, options):
    path = f"{kit.cluster.state}/replicas.json"
    with open(path, "w") as f:
        json.dump({"target": {"deployment": "shop", "replicas": "all"}}, f)
    return ["--steal", "-f", path, *options]


def check(kit, options, changes):
    with deployed(kit, 2):
        customer = Customer(kit)
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "deployment/shop", options_of(kit, options))
        try:
            kit.wait_for("both pods' requests", lambda: all_local(kit, 2) or p.poll() is not None)
            expect("whom the program sees", {a["peer"] for a in answers(kit).values()}, {kit.pod_address("client")}, kit.session_log(200))
            for n, change in changes:
                change(kit)
                kit.wait_for(f"the requests of {n} pods", lambda: all_local(kit, n) or p.poll() is not None)
                expect("the program", p.poll(), None, kit.session_log(200))
        finally:
            failures, n = customer.end()
            ends(p)
        expect("requests that failed", failures, [], f"of {n}\n{kit.session_log(400)}")
        kit.wait_for("the pods' own answers", lambda: all(a.get("pod") == name for name, a in answers(kit).items()))
    kit.wait_clean()


def scale(n):
    return n, lambda kit: kit.kubectl("scale", "deployment/shop", f"--replicas={n}")


@test("replicas.come_and_go", timeout=300)
def come_and_go(kit):
    """One pod more, one that is deleted, one alone: whichever the session's own is."""
    check(kit, WAYS["job"], (scale(3), (3, lambda kit: kit.kubectl("delete", "pod", next(iter(answers(kit))), "--wait=false")), scale(1)))


@test("replicas.ephemeral", timeout=180)
def ephemeral(kit):
    """The other way of the agent, and a rollout of all pods."""
    def roll_out(kit):
        before = set(answers(kit))
        kit.kubectl("rollout", "restart", "deployment/shop")
        kit.wait_for("other pods", lambda: not before & set(answers(kit)))
    check(kit, WAYS["ephemeral"], ((2, roll_out),))
