# SPDX-License-Identifier: MIT
"""A cluster with an admission rule of its own, as a policy engine has them: what it denies is told at once, in its words."""

import contextlib
import json

from labkit.registry import PATIENCE, expect, expect_in, test

from kubekit.cluster import Trouble

from .permissions import way_of
from .targets import template, workload

WORDS = "agents are not wanted here"
IMAGE = "localhost/refused:1"
# Jobs and pods that are labelled so, and ephemeral containers of one image.
RULE = (f"has(request.subResource) && request.subResource == 'ephemeralcontainers' ? !object.spec.ephemeralContainers.exists(c, c.image == '{IMAGE}') : "
        "!has(object.metadata.labels) || !('refuse' in object.metadata.labels) || object.metadata.labels['refuse'] != request.resource.resource")


def policy():
    api = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": "no-agents"}}
    kinds = [{"apiGroups": [group], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}
             for group, operation, resource in (("batch", "CREATE", "jobs"), ("", "CREATE", "pods"), ("", "UPDATE", "pods/ephemeralcontainers"))]
    return ({"kind": "ValidatingAdmissionPolicy", **api, "spec": {
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": kinds}, "validations": [{"expression": RULE, "message": WORDS}]}},
            {"kind": "ValidatingAdmissionPolicyBinding", **api, "spec": {"policyName": "no-agents", "validationActions": ["Deny"]}})


@contextlib.contextmanager
def enforced(kit):
    probe = workload("Job", "denied", "batch/v1", selector=None, template=template("denied", restartPolicy="Never"))
    probe["metadata"]["labels"] = {"refuse": "jobs"}

    def acts():
        try:
            kit.cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(probe))
            return False
        except Trouble as e:
            return WORDS in str(e)

    kit.cluster.apply({"apiVersion": "v1", "kind": "List", "items": list(policy())})
    try:
        kit.wait_for("the policy", acts)
        yield
    finally:
        kit.kubectl("delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "no-agents")


def run(kit, **agent):
    settings = f"{kit.cluster.state}/admission.json"
    with open(settings, "w") as f:
        json.dump({"agent": agent}, f)
    return kit.mirrord(["true"], "pod/client", ("-f", settings))


DENIED = {
    "create the agent's job: ": {"labels": {"refuse": "jobs"}, "ephemeral": False},
    "the agent's pod is not allowed: ": {"labels": {"refuse": "pods"}, "ephemeral": False},
    "add the agent's ephemeral container to the pod: ": {"image": IMAGE, "ephemeral": True},
}


@test("agent.admission", timeout=120)
def admission(kit):
    with enforced(kit):
        for what, agent in DENIED.items():
            done = run(kit, **agent)
            expect(f"{what}status", done.status, 1, str(done))
            expect(f"{what}errors", [line for line in done.err.splitlines() if WORDS in line and what in line], lambda lines: len(lines) == 1, str(done))
            expect_in(what, done.err, "an admission rule of the cluster forbids it")
            expect(f"{what}seconds", done.seconds, lambda s: s < 15 * PATIENCE)
        done = run(kit, labels={"refuse": "jobs"})
        expect("where another way is left: status", done.status, 0, str(done))
        expect_in("the way", way_of(kit), "an ephemeral container in the target's pod")
