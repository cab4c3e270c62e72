# SPDX-License-Identifier: MIT
"""Names, under each DNS policy a pod may have: the program's files and answers are the pod's own."""

import json

from labkit.registry import expect, expect_in, test

from . import targets

LOOK = """
cat /etc/resolv.conf
for name in web.default.svc.cluster.local web alias.default.svc.cluster.local; do
	getent hosts $name || echo none
done
hostname"""
POLICIES = {
    "default": {"dnsPolicy": "Default"},
    "none": {"dnsPolicy": "None", "dnsConfig": {
        "nameservers": ["DNS"], "searches": ["default.svc.cluster.local"], "options": [{"name": "ndots", "value": "2"}]}},
    "first-and-more": {"dnsPolicy": "ClusterFirst", "dnsConfig": {"searches": ["svc.cluster.local"], "options": [{"name": "timeout", "value": "3"}]}},
    "named": {"hostname": "named", "subdomain": "web-headless", "hostAliases": [
        {"ip": "203.0.113.9", "hostnames": ["alias.default.svc.cluster.local"]}]},
}


def pod(name, policy, dns):
    text = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"dns-{name}", "labels": {"app": "dns"}},
                       "spec": targets.pod(name, **policy)})
    return json.loads(text.replace('"DNS"', f'"{dns}"'))


@test("names.policies", timeout=180)
def policies(kit):
    dns = kit.service_address("kube-dns", "kube-system")
    alias = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias"},
             "spec": {"type": "ExternalName", "externalName": "web.default.svc.cluster.local"}}
    kit.cluster.apply({"apiVersion": "v1", "kind": "List", "items": [alias, *(pod(n, p, dns) for n, p in POLICIES.items())]})
    try:
        kit.wait_ready("pod", "-l", "app=dns")
        for name in POLICIES:
            inside = kit.kubectl("exec", f"dns-{name}", "--", "sh", "-c", LOOK)
            done = kit.mirrord(["sh", "-c", LOOK], f"pod/dns-{name}")
            expect(f"{name}: what the program sees", done.out, inside, f"{done}\n{kit.session_log()}")
        expect_in("an ExternalName's address", kit.mirrord(["getent", "hosts", "alias"], "pod/client").out,
                  kit.service_address("web"))
    finally:
        kit.kubectl("delete", "pod", "-l", "app=dns", "--wait=true")
        kit.kubectl("delete", "service", "alias")
