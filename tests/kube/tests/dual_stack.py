# SPDX-License-Identifier: MIT
"""Pods have an IPv6 address, too. What leaves the program by it comes from the pod's, what comes to it is taken, and a service of IPv6 alone is
reached."""

import json
import os
import tempfile

from labkit.registry import expect, expect_in, test

from .agent import WAYS
from .incoming import SERVER, ends
from .targets import objects, pod

SERVER_OF_FOUR = SERVER.replace("AF_INET6", "AF_INET")
FAMILIES = ("4", "6")


def six():
    """A pod that serves both families, a service for both, and one for IPv6 alone."""
    spec = pod("six")
    spec["containers"][0].update(command=["python3", "-c", SERVER, "8080", "six"],
                                 readinessProbe={"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 30})
    ports = {"selector": {"app": "six"}, "ports": [{"port": 80, "targetPort": 8080}]}
    return ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "six", "labels": {"app": "six"}}, "spec": spec},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "both"}, "spec": {"ipFamilyPolicy": "RequireDualStack", **ports}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "only-six"}, "spec": {"ipFamilies": ["IPv6"], **ports}})


def addresses(kit, name):
    """By family."""
    four, six_ = sorted((a["ip"] for a in kit.get("pod", name)["status"]["podIPs"]), key=lambda a: ":" in a)
    return {"4": four, "6": six_}


def await_services(kit):
    """Until the client's node knows of them."""
    for ask in (*(f"-{f} http://both/" for f in FAMILIES), "http://only-six/"):
        kit.wait_for(ask, lambda: '"six"' in kit.in_pod("client", f"curl -s --max-time 5 {ask} || true"))


@test("dual_stack.outgoing", timeout=90)
def outgoing(kit):
    """Services of both families and of IPv6 alone; names, addresses and routes are the pod's."""
    script = "for n in both only-six web; do getent ahosts $n | cut -d' ' -f1 | uniq; done; hostname -I | tr ' ' '\\n' | sort"
    ask = ["sh", "-c", "curl -sS -4 --max-time 30 http://both/; curl -sS -6 --max-time 30 http://both/; curl -sS --max-time 30 http://only-six/"]
    with objects(kit, *six()):
        kit.wait_ready("pod/six")
        await_services(kit)
        mine = addresses(kit, "client")
        inside = kit.in_pod("client", script)
        expect("addresses of the pod", inside.split()[-2:], sorted((mine["4"], mine["6"])))
        for way, options in WAYS.items():
            done = kit.mirrord(ask, "pod/client", options)
            peers = [json.loads(line)["peer"] for line in done.out.splitlines()]
            expect(f"{way}: whom the server sees", peers, [mine["4"], mine["6"], mine["6"]], f"{done}\n{kit.session_log()}")
            expect(f"{way}: what the program sees", kit.mirrord(["sh", "-c", script], "pod/client", options).out, inside)


def ask_six(kit, path, who):
    """Asks by both families; @who answers each."""
    for family in FAMILIES:
        answer = json.loads(kit.in_pod("client", f"curl -sS -{family} --max-time 30 http://both{path}"))
        expect(f"IPv{family}: who answers, whom it sees", (answer["pod"], answer["peer"]), (who, addresses(kit, "client")[family]))


@test("dual_stack.incoming", timeout=120)
def incoming(kit):
    """Clients of both families are stolen; of a program that listens for IPv4 alone, IPv4's; copies are made of both."""
    with objects(kit, *six()):
        kit.wait_ready("pod/six")
        await_services(kit)
        for options in WAYS.values():
            p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "pod/six", ["--steal", *options])
            try:
                kit.wait_logged("the port", "port 8080 is stolen", p=p)
                ask_six(kit, "/", "local")
            finally:
                ends(p)
            kit.wait_clean()
            ask_six(kit, "/", "six")
        p = kit.start_mirrord(["python3", "-u", "-c", SERVER_OF_FOUR], "pod/six", ["--steal"])
        try:
            kit.wait_logged("the port", "port 8080 is stolen", p=p)
            expect_in("by IPv4", kit.in_pod("client", "curl -sS -4 --max-time 30 http://both/"), '"local"', kit.session_log())
            expect_in("by IPv6", kit.in_pod("client", "curl -sS -6 --max-time 30 http://both/"), '"six"', kit.session_log())
        finally:
            ends(p)
        check_copies(kit)


def check_copies(kit):
    wanted = {f"/copied {a}" for a in addresses(kit, "client").values()}
    with tempfile.TemporaryFile("w+") as out:
        def copies():
            return {line for line in os.pread(out.fileno(), 1 << 20, 0).decode().splitlines() if line.startswith("/copied ")}

        p = kit.start_mirrord(["python3", "-u", "-c", SERVER], "pod/six", stdout=out)
        try:
            kit.wait_logged("the port", "port 8080 is mirrored", p=p)
            ask_six(kit, "/copied", "six")
            kit.wait_for("the copies", lambda: len(copies()) >= len(wanted))
        finally:
            ends(p)
        expect("the copies", copies(), wanted)
