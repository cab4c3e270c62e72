# SPDX-License-Identifier: MIT
"""`agent.image: target`: the agent without an image of its own."""

import json

from labkit.registry import expect, expect_in, test

from .incoming import SERVER, ends
from .targets import asker, objects


@test("agent.image_of_target", timeout=180)
def image_of_target(kit):
    """The agent is brought into a container of the target's own image: where it gets its capabilities, and where nobody does. Without a shell it is said."""
    brought = ("-i", "target")
    expect("pod/client", asker(kit, "pod/client", brought), kit.pod_address("client"))
    expect("lines that tell of the program", kit.logged("agent: bringing the program"), 1, kit.session_log())
    p = kit.start_mirrord(["python3", "-u", "-c", SERVER, "8081"], "pod/client", ("--steal", *brought))
    try:
        kit.wait_logged("the port", "port 8081 is stolen", p=p)
        expect_in("who answers", kit.in_pod("shell", f"curl -sS --max-time 30 http://{kit.pod_host('client')}:8081/"), "local", kit.session_log())
    finally:
        ends(p)
    guarded = kit.pods("app=guarded", "guarded")[0]["status"]["podIP"]
    done = kit.mirrord(["curl", "-sS", "--max-time", "30", "http://web.default/"], "deployment/guarded", ("-n", "guarded", *brought))
    expect("whom the server sees", json.loads(done.out or "{}").get("peer"), guarded, f"{done}\n{kit.session_log()}")
    with objects(kit, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "labels": {"app": "bare"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "localhost/pause:1"}]}}):
        kit.wait_ready("pod/bare")
        done = kit.mirrord(["true"], "pod/bare", brought)
        expect("status", done.status, 1, str(done))
        expect_in("stderr", done.err, "needs a shell (sh) in the target's image")
    done = kit.mirrord(["true"], "targetless", brought)
    expect_in("stderr", done.err, 'agent.image is "target", and there is no target whose image that would be')
