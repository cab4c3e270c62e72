# SPDX-License-Identifier: MIT
"""The keys below `agent`, all at once: what the cluster has then, and runs."""

import contextlib
import json

from labkit.registry import Failure, expect, test

from .agent import await_sleep
from .resume import find_agents

SPACE = "agents"
PROFILE = {"seccompProfile": {"type": "Unconfined"}}
RESOURCES = {"requests": {"cpu": "2m", "memory": "2Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}
TOLERATION = {"key": "dedicated", "operator": "Equal", "value": "shop", "effect": "NoSchedule"}
LABELS, ANNOTATIONS = {"team": "shop", "cost": "none"}, {"who": "ann", "policy.example/allow": "yes"}
OBJECTS = ({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "agents"}, "value": 1000},
           {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner", "namespace": SPACE}})


def keys(kit):
    return {"namespace": SPACE, "image": {"registry": "localhost/mirrord-agent", "tag": kit.version()}, "image_pull_policy": "Never",
            "image_pull_secrets": [{"name": "registry"}], "labels": LABELS, "annotations": ANNOTATIONS, "tolerations": [TOLERATION], "resources": RESOURCES,
            "service_account": "runner", "priority_class": "agents", "security_context": PROFILE, "disabled_capabilities": ["NET_RAW"], "ttl": 77,
            "communication_timeout": 29, "log_level": "info", "disable_mesh_sidecar_injection": False}


def container(kit):
    return {"image": f"localhost/mirrord-agent:{kit.version()}", "imagePullPolicy": "Never", "securityContext": PROFILE}


def has(what, seen, wanted):
    """@wanted is in @seen, at any depth; of lists each element is in one of theirs."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            has(f"{what}.{key}", seen.get(key) if isinstance(seen, dict) else None, value)
    elif isinstance(wanted, list):
        for value in wanted:
            if not any(is_in(element, value) for element in seen or ()):
                raise Failure(f"{what} with {value}", seen)
    else:
        expect(what, seen, wanted)


def is_in(seen, wanted):
    try:
        has("", seen, wanted)
        return True
    except Failure:
        return False


@contextlib.contextmanager
def running(kit, target, agent, options=()):
    """A session; the arguments of its agent's process."""
    settings = f"{kit.cluster.state}/agent_keys.json"
    with open(settings, "w") as f:
        json.dump({"agent": agent}, f)
    p = kit.start_mirrord(["sleep", "1000"], target, ("-f", settings, *options))
    try:
        await_sleep(kit, p)
        with open(f"/proc/{find_agents(kit)[0]}/cmdline") as f:
            yield f.read().split("\0")
    finally:
        p.terminate()
        p.communicate()
    kit.wait_clean()


@test("agent.keys", timeout=180)
def all_keys(kit):
    """Of the job and its pod; of a pod without a target, which may be sent to a node; of an ephemeral container."""
    with kit.namespace(SPACE):
        kit.cluster.apply({"apiVersion": "v1", "kind": "List", "items": list(OBJECTS)})
        try:
            check_job(kit)
            for node in kit.cluster.nodes:
                agent = {**keys(kit), "node_selector": {"kubernetes.io/hostname": node.name}}
                del agent["namespace"]  # it is the target's
                with running(kit, "targetless", agent, ("-n", SPACE)):
                    pod = kit.get("pod", namespace=SPACE)["items"][0]
                    expect("the node that is chosen", pod["spec"]["nodeName"], node.name)
                    has("pod", pod["spec"], {"serviceAccountName": "runner", "containers": [container(kit)]})
        finally:
            kit.kubectl("delete", "priorityclass", "agents")
    with running(kit, "pod/shell/container/first", keys(kit), ("-e",)):
        has("ephemeral containers", kit.get("pod", "shell")["spec"]["ephemeralContainers"], [{**container(kit), "targetContainerName": "first"}])
    for options in ((), ("-e",)):
        with running(kit, "pod/client", {"privileged": True}, options):
            spec = kit.get("pod", "client")["spec"] if options else kit.pods("app=mirrord")[0]["spec"]
            has("privileged", spec, {"ephemeralContainers" if options else "containers": [{"securityContext": {"privileged": True}}]})


def check_job(kit):
    with running(kit, "pod/client", keys(kit)) as arguments:
        job, pod = (kit.get(kind, namespace=SPACE)["items"][0] for kind in ("job", "pod"))
        expect("the agent's arguments", arguments[arguments.index("--log") + 1], "info", arguments)
        for what in (job, pod, job["spec"]["template"]):
            has("metadata", what["metadata"], {"labels": LABELS, "annotations": ANNOTATIONS})
            expect("kept from meshes", "sidecar.istio.io/inject" in what["metadata"]["labels"], False)
        expect("ttl", job["spec"]["ttlSecondsAfterFinished"], 77)
        has("pod", pod["spec"], {"serviceAccountName": "runner", "priorityClassName": "agents", "priority": 1000, "imagePullSecrets": [{"name": "registry"}],
                                 "tolerations": [TOLERATION], "nodeName": kit.get("pod", "client")["spec"]["nodeName"],
                                 "containers": [{**container(kit), "resources": RESOURCES}]})
        main = pod["spec"]["containers"][0]
        expect("how long it waits for the session", main["command"][main["command"].index("--wait") + 1], "29")
        expect("capabilities", sorted(main["securityContext"]["capabilities"]["add"]),
               ["NET_ADMIN", "NET_BIND_SERVICE", "SETGID", "SETUID", "SYS_ADMIN", "SYS_PTRACE"])
