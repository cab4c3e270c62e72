# SPDX-License-Identifier: MIT
"""Two users on one pod, each with an account of their own: their filters divide its requests, and what neither wants stays."""

import json

from labkit.registry import expect, test

from kubekit.cluster import bracketed

from .incoming import SERVER, ends
from .permissions import JOB, user

MINE = [*JOB, ("", "pods", "get")]


@test("users.two_filters", timeout=150)
def two_filters(kit):
    target = "pod/" + kit.pods("app=web")[0]["metadata"]["name"]
    address = bracketed(kit.get(target)["status"]["podIP"])

    def ask(path):
        """Who answers; nobody while a session that has ended has its port still."""
        return json.loads(kit.in_pod("client", f"curl -sS --max-time 30 http://{address}:8080{path} || echo '{{}}'")).get("pod", "nobody")

    with user(kit, MINE) as kubeconfig:
        sessions = {}
        try:
            for name, account in (("ann", None), ("bob", kubeconfig)):
                options = ("--steal",) if account is None else ("--steal", "-a", "default")
                sessions[name] = kit.start_mirrord(["python3", "-u", "-c", SERVER, "8080", name], target, options,
                                                   env=kit.environment(account, USER=name, MIRRORD_HTTP_PATH_FILTER=f"^/{name}"))
                kit.wait_for(f"{name}'s requests", lambda: ask(f"/{name}") == name, 60)
            for _ in range(5):
                ann, bob, nobody = (ask(path) for path in ("/ann/1", "/bob/1", "/carol"))
                expect("who answers", (ann, bob, nobody.startswith("web-")), ("ann", "bob", True))
            ends(sessions.pop("ann"))
            kit.wait_for("ann's requests are the pod's", lambda: ask("/ann").startswith("web-"))
            expect("bob's are his", ask("/bob"), "bob")
        finally:
            for p in sessions.values():
                ends(p)
            kit.kubectl("delete", "jobs", "-l", "app=mirrord", "--wait=false")  # bob may not
