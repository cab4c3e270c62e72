# SPDX-License-Identifier: MIT
"""Each kind of target: the program has the network of the pod that is meant. The server tells whose address asked."""

import contextlib
import json
import subprocess

from labkit.registry import expect, expect_in, test

ASK = ["curl", "-sS", "--max-time", "30", "http://web/"]


def asker(kit, target, options=()):
    """The address that a server in the cluster sees of a program with this target."""
    done = kit.mirrord(ASK, target, options)
    expect(f"{target}: status", done.status, 0, f"{done}\n{kit.session_log()}")
    return json.loads(done.out)["peer"]


def addresses(kit, selector):
    return {p["status"]["podIP"] for p in kit.pods(selector)}


def pod(name, **more):
    return {"terminationGracePeriodSeconds": 1, "containers": [{"name": "main", "image": "localhost/app:1", "command": ["sleep", "infinity"]}], **more}


def template(name, **more):
    return {"metadata": {"labels": {"app": name}}, "spec": pod(name, **more)}


def workload(kind, name, api="apps/v1", **spec):
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name), **spec}}


@contextlib.contextmanager
def objects(kit, *all_):
    """Objects for one test. It ends when they are gone, and their pods, which are labelled app=NAME: no other test sees them."""
    kit.cluster.apply({"apiVersion": "v1", "kind": "List", "items": list(all_)})
    try:
        yield
    finally:
        for o in all_:
            kit.kubectl("delete", o["kind"].lower(), o["metadata"]["name"], "--now", "--wait=false", "--ignore-not-found")
        apps = {o["metadata"].get("labels", {}).get("app", o["metadata"]["name"]) for o in all_}
        kit.wait_for("the end of its pods", lambda: not kit.pods(f"app in ({','.join(sorted(apps))})"))


def running(kit, selector):
    return kit.wait_for(f"a pod with {selector} that runs", lambda: [p for p in kit.pods(selector) if p["status"]["phase"] == "Running"])


@test("targets.pod")
def of_pod(kit):
    expect("pod/client", asker(kit, "pod/client"), kit.pod_address("client"))
    expect("a pod of the other node", asker(kit, "pod/shell"), kit.pod_address("shell"))


@test("targets.containers")
def containers(kit):
    """All of a pod have its network; the name is checked."""
    for target in ("pod/shell/container/first", "pod/shell/container/second"):
        expect(target, asker(kit, target), kit.pod_address("shell"))
    done = kit.mirrord(ASK, "pod/shell/container/third")
    expect("status", done.status, 1, str(done))
    expect_in("stderr", done.err, 'pod shell has no container called "third"')
    expect_in("stderr", done.err, "there are: first, second")


def beside(name, image="localhost/app:1"):
    """A pod whose second container starts before the first one, and runs as long."""
    other = {"name": "proxy", "image": image, "command": ["sleep", "infinity"], "restartPolicy": "Always", "env": [{"name": "WHO", "value": "the proxy"}]}
    spec = pod(name, initContainers=[other])
    spec["containers"][0]["env"] = [{"name": "WHO", "value": "the app"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


@test("targets.sidecar", timeout=180)
def sidecar(kit):
    """A container that Kubernetes itself has as a side-car is a target when it is named, in each way of the agent."""
    with objects(kit, beside("two")):
        kit.wait_ready("pod/two")
        for options in ((), ("-e",), ("-i", "target")):
            for target, who in (("pod/two", "the app"), ("pod/two/container/proxy", "the proxy")):
                done = kit.mirrord(["sh", "-c", "echo $WHO"], target, options)
                expect(f"{target} {options}", (done.status, done.out), (0, f"{who}\n"), f"{done}\n{kit.session_log()}")
        expect_in("stderr", kit.mirrord(["true"], "pod/two/container/three").err, "there are: main, proxy")


@test("targets.deployment")
def deployment(kit):
    """By its pods' names: whose address a service sees when it asks itself is the cluster's business."""
    pods = {f"{p['metadata']['name']}\n" for p in kit.pods("app=web")}
    replicas = kit.get("replicaset", selector="app=web")["items"][0]["metadata"]["name"]
    for target in ("deployment/web", "deploy/web", "deployment/web/container/web", "service/web", "label/app=web", "svc/web-headless",
                   f"replicaset/{replicas}"):
        expect(target, kit.mirrord(["hostname"], target).out, lambda name: name in pods)


@test("targets.workloads")
def workloads(kit):
    with objects(kit, workload("StatefulSet", "db", serviceName="db"), workload("DaemonSet", "log"),
                 workload("Job", "once", "batch/v1", selector=None, template=template("once", restartPolicy="Never"))):
        for target, app in (("statefulset/db", "db"), ("daemonset/log", "log"), ("job/once", "once")):
            running(kit, f"app={app}")
            expect(target, asker(kit, target), lambda a: a in addresses(kit, f"app={app}"))


@test("targets.cronjob")
def cronjob(kit):
    """One of the job that runs now; without one it says so."""
    job = {"template": template("nightly", restartPolicy="Never")}
    with objects(kit, {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"},
                       "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}}):
        done = kit.mirrord(ASK, "cronjob/nightly")
        expect("status", done.status, 1, str(done))
        expect_in("stderr", done.err, "none of its jobs runs now")
        expect_in("stderr", done.err, "kubectl create job --from=cronjob/nightly")
        kit.kubectl("create", "job", "--from=cronjob/nightly", "nightly-now")
        try:
            running(kit, "app=nightly")
            expect("cronjob/nightly", asker(kit, "cronjob/nightly"), lambda a: a in addresses(kit, "app=nightly"))
        finally:
            kit.kubectl("delete", "job", "nightly-now", "--now", "--wait=false", "--ignore-not-found")


ROLLOUTS = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "rollouts.argoproj.io"}, "spec": {
    "group": "argoproj.io", "scope": "Namespaced", "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout", "shortNames": ["ro"]},
    "versions": [{"name": "v1alpha1", "served": True, "storage": True, "subresources": {"status": {}},
                  "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


@contextlib.contextmanager
def rollouts(kit):
    """A cluster that knows Argo's rollouts."""
    kit.cluster.apply(ROLLOUTS)
    try:
        kit.wait_condition("condition=Established", "crd/rollouts.argoproj.io")
        yield
    finally:
        kit.kubectl("delete", "crd", "rollouts.argoproj.io")
        kit.wait_for("the end of rollouts", lambda: "argoproj" not in kit.kubectl("get", "--raw", "/apis"))


def argo_set(kit, rollout, app):
    """The replica set that Argo's controller makes of a rollout: its own label beside the template's, in both selectors."""
    labels = {"app": app, "rollouts-pod-template-hash": "6f64645d54"}
    it = workload("ReplicaSet", f"{rollout}-6f64645d54", replicas=1, selector={"matchLabels": labels})
    uid = kit.get("rollout", rollout)["metadata"]["uid"]
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": rollout, "uid": uid, "controller": True}
    it["metadata"].update(labels=labels, ownerReferences=[owner])
    it["spec"]["template"] = template(app)
    it["spec"]["template"]["metadata"]["labels"] = labels
    return it


@test("targets.rollout", timeout=120)
def rollout(kit):
    """One with a selector of its own, and one that refers to a deployment, which is scaled to zero then."""
    own = workload("Rollout", "canary", "argoproj.io/v1alpha1", replicas=1, strategy={"canary": {}})
    referring = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "blue"}, "spec": {
        "replicas": 1, "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "plain"}, "strategy": {"blueGreen": {}}}}
    with rollouts(kit), objects(kit, workload("Deployment", "plain", replicas=0), own, referring):
        with objects(kit, argo_set(kit, "canary", "canary"), argo_set(kit, "blue", "plain")):
            for name, app in (("canary", "canary"), ("blue", "plain")):
                running(kit, f"app={app}")
                expect(f"rollout/{name}", asker(kit, f"rollout/{name}"), lambda a: a in addresses(kit, f"app={app}"))
            available = json.dumps({"status": {"availableReplicas": 1}})  # as Argo's controller says of it
            kit.kubectl("patch", "rollout", "canary", "--subresource=status", "--type=merge", "-p", available)
            listed = subprocess.run([kit.program, "ls", "-t", "rollout"], capture_output=True, text=True, env=kit.environment(), cwd=kit.cluster.state)
            expect("ls -t rollout", listed.stdout.split(), ["rollout/canary"], listed.stderr)
            expect_in("another name", kit.mirrord(["true"], "rollout/canery").err, "did you mean rollout/canary?")


@test("targets.ready_first")
def ready_first(kit):
    """Of two pods, the one that is ready, whatever their order."""
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    first, second = ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": n, "labels": {"app": "pair"}}, "spec": pod(n)} for n in ("a-pair", "b-pair"))
    first["spec"]["containers"][0]["readinessProbe"] = never
    with objects(kit, first, second):
        kit.wait_ready("pod/b-pair")
        kit.wait_for("the first one", lambda: kit.get("pod", "a-pair")["status"].get("podIP"))
        expect("label/app=pair", asker(kit, "label/app=pair"), kit.pod_address("b-pair"))
        kit.kubectl("delete", "pod", "b-pair", "--now")
        expect("the one that runs at least", asker(kit, "label/app=pair"), kit.pod_address("a-pair"))


@test("targets.targetless")
def targetless(kit):
    """A pod of our own, which is nobody else's."""
    others = {p["status"].get("podIP") for p in kit.get("pod", namespace=None)["items"]}
    expect("targetless", asker(kit, "targetless"), lambda a: a.startswith(("10.244.", "fd44:")) and a not in others)


@test("targets.namespace")
def namespace(kit):
    """-n, and the configuration's object form."""
    with kit.namespace("elsewhere"):
        kit.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "far", "namespace": "elsewhere", "labels": {"app": "far"}}, "spec": pod("far")})
        kit.wait_ready("pod/far", namespace="elsewhere")
        ask = ["curl", "-sS", "--max-time", "30", "http://web.default/"]
        done = kit.mirrord(ask, "pod/far", ["-n", "elsewhere"])
        expect("status", done.status, 0, str(done))
        expect("peer", json.loads(done.out)["peer"], kit.pod_address("far", "elsewhere"))
        expect_in("without -n", kit.mirrord(ask, "pod/far").err, 'namespace default has no pod called "far"')


@test("targets.ls")
def ls(kit):
    """A line each, or the original's JSON; what isn't running and what is ours is left out."""
    def run(*options, **variables):
        done = subprocess.run([kit.program, "ls", *options], capture_output=True, text=True, env=kit.environment(**variables), cwd=kit.cluster.state)
        return done.returncode, done.stdout, done.stderr

    web = [f"pod/{p['metadata']['name']}" for p in kit.pods("app=web")]
    pods = ["pod/client", "pod/echo", "pod/shell/container/first", "pod/shell/container/second", *web]
    p = kit.start_mirrord(["sleep", "1000"], "pod/client")
    try:
        kit.wait_for("an agent", kit.agents)
        meshed = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "meshed", "labels": {"app": "meshed"}}, "spec": pod("meshed")}
        meshed["spec"]["containers"].insert(0, {**meshed["spec"]["containers"][0], "name": "istio-proxy"})
        with objects(kit, workload("Deployment", "asleep", replicas=0), meshed):
            kit.wait_ready("pod/meshed")
            status, out, _ = run()
        expect("ls", (status, set(out.split())), (0, {"deployment/web", "service/web", "service/web-headless", "pod/meshed", *pods}))
        expect("ls -t deployment", run("-t", "deployment")[:2], (0, "deployment/web\n"))
        expect("JSON", sorted(json.loads(run("-o", "json", "-t", "pod")[1])), sorted(pods))
        rich = json.loads(run("-o", "json", "-t", "deploy", MIRRORD_LS_RICH_OUTPUT="true")[1])
        expect("targets", rich["targets"], [{"path": "deployment/web", "available": True}])
        expect("namespace", rich["current_namespace"], "default")
        expect("namespaces", rich["namespaces"], lambda all_: {"default", "guarded", "kube-system"} <= set(all_))
        expect("by a plug-in", json.loads(run("-o", "json", MIRRORD_LS_TARGET_TYPES='["deployment", "of-the-future"]')[1]), ["deployment/web"])
        expect("another namespace", run("-n", "guarded", "-t", "deployment")[:2], (0, "deployment/guarded\n"))
        expect_in("nothing there", run("-n", "none")[2], "nothing that runs in namespace none")
        expect_in("no such kind", run("-t", "pdo")[2], "did you mean pod?")
        expect_in("no such context", run("--context", "none")[2], 'no context called "none"')
    finally:
        p.terminate()
        p.communicate()


WRONG = [
    ("pod/clint", 'namespace default has no pod called "clint"', "did you mean pod/client?"),
    ("deployment/wbe", 'namespace default has no deployment called "wbe"', "did you mean deployment/web? There are: web"),
    ("service/kubernetes", "this service selects no pods", "name a pod or a workload"),
    ("rollout/web", "this cluster has no rollouts at all", ""),
    ("label/app=none", "no pod of it runs in namespace default", "none has the labels app=none"),
    ("cronjob/x", 'namespace default has no cronjob called "x"', "there are none; -n names another namespace"),
    ("pod/Client", '"Client" is not a name in a cluster', "as kubectl does"),
]


@test("targets.wrong")
def wrong(kit):
    """What isn't there is named, with what there is; nothing is made in the cluster."""
    for target, error, hint in WRONG:
        done = kit.mirrord(["true"], target)
        expect(f"{target}: status", done.status, 1, str(done))
        expect_in(target, done.err, f"mirrord: target {target}: ")
        expect_in(target, done.err, error)
        expect_in(target, done.err, hint)
        expect(f"{target}: agents", kit.agents(), [])


@test("targets.not_running")
def not_running(kit):
    """A container that waits for its image, a workload without pods."""
    broken = workload("Deployment", "broken")
    broken["spec"]["template"]["spec"]["containers"][0]["image"] = "localhost/none:1"
    with objects(kit, broken, workload("Deployment", "asleep", replicas=0)):
        kit.wait_for("its pod", lambda: any(c["state"].get("waiting") for p in kit.pods("app=broken") for c in p["status"].get("containerStatuses", ())))
        expect_in("broken", kit.mirrord(["true"], "deployment/broken").err, "no pod of it runs in namespace default\n  there are: broken-")
        expect_in("asleep", kit.mirrord(["true"], "deployment/asleep").err, "is it scaled to zero?")
    nowhere, over = ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": n, "labels": {"app": n}}, "spec": pod(n)} for n in ("nowhere", "over"))
    nowhere["spec"]["nodeSelector"] = {"no": "where"}
    over["spec"]["restartPolicy"], over["spec"]["containers"][0]["command"] = "Never", ["true"]
    with objects(kit, nowhere, over):
        kit.wait_condition("condition=PodScheduled=false", "pod/nowhere")
        kit.wait_for("its end", lambda: kit.get("pod", "over")["status"]["phase"] == "Succeeded")
        expect_in("nowhere", kit.mirrord(["true"], "pod/nowhere").err, "container main of pod nowhere is not running: Unschedulable: 0/2 nodes")
        expect_in("over", kit.mirrord(["true"], "pod/over").err, "container main of pod over is not running: it ended (Completed, status 0)")
