# SPDX-License-Identifier: MIT
"""What each way needs (docs/permissions.md): a user with just that gets there, and with any part of it taken away hears which."""

import contextlib
import json
import os
import subprocess

from labkit.registry import PROMPT, expect, expect_in, test

from kubekit.kit import WAIT

from .agent import full
from .targets import ASK, objects, template, workload

READ = [("", "pods", "list"), ("", "pods", "watch"), ("apps", "deployments", "get")]
EXEC = [("", "pods/exec", "create"), ("", "pods/exec", "get")]
JOB = [*READ, *EXEC, ("batch", "jobs", "create")]
EPHEMERAL = [*READ, *EXEC, ("", "pods/ephemeralcontainers", "patch")]


TARGETLESS = [*EXEC, ("", "pods", "watch"), ("batch", "jobs", "create")]
# A pod by its name is found without a list.
POD = [*TARGETLESS, ("", "pods", "get")]
EVENTS = ("", "events", "watch")


@contextlib.contextmanager
def user(kit, rules, namespace="default"):
    """A kubeconfig of a service account with these rules: (group, resource, verb)."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "dev", "namespace": namespace},
            "rules": [{"apiGroups": [g], "resources": [r], "verbs": [v]} for g, r, v in rules]}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "dev", "namespace": namespace}}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "dev", "namespace": namespace},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "dev"},
               "subjects": [{"kind": "ServiceAccount", "name": "dev", "namespace": namespace}]}
    kit.cluster.apply({"apiVersion": "v1", "kind": "List", "items": [account, role, binding]})
    try:
        yield config(kit, {"token": kit.kubectl("-n", namespace, "create", "token", "dev").strip()}, namespace)
    finally:
        kit.kubectl("-n", namespace, "delete", "role/dev", "rolebinding/dev", "serviceaccount/dev")


def config(kit, account, namespace="default", name="dev.conf", **cluster):
    """A kubeconfig (JSON is YAML) with one user."""
    path = f"{kit.cluster.state}/{name}"
    near = {"server": kit.cluster.url, "certificate-authority": kit.cluster.authority.path("ca.crt"), **cluster}
    with open(path, "w") as f:
        json.dump({"current-context": "dev", "clusters": [{"name": "near", "cluster": near}], "users": [{"name": "dev", "user": account}],
                   "contexts": [{"name": "dev", "context": {"cluster": "near", "user": "dev", "namespace": namespace}}]}, f)
    return path


def way_of(kit):
    """How the agent got there, by the session's log."""
    return next((line.split(" agent: ")[1] for line in kit.session_log(None).splitlines() if " agent: a" in line), None)


def rule(group, resource, verb):
    return f'- apiGroups: ["{group}"]\n      resources: ["{resource}"]\n      verbs: ["{verb}"]'


def enough(kit, rules, way, target="deployment/web", options=()):
    with user(kit, rules) as kubeconfig:
        done = kit.mirrord(ASK, target, options, kubeconfig=kubeconfig)
    expect("status", done.status, 0, f"{done}\n{kit.session_log()}")
    expect_in("way", way_of(kit), way)


@test("permissions.job", timeout=120)
def job(kit):
    """What a job needs is enough, and each of it needed; without the right to delete, it goes by itself."""
    enough(kit, JOB, "a job on the target's node")
    kit.wait_clean()
    lacking(kit, JOB, ("-a", "default"))


@test("permissions.targetless", timeout=120)
def targetless(kit):
    enough(kit, TARGETLESS, "a job", "targetless")
    kit.wait_clean()
    lacking(kit, TARGETLESS, target="targetless")


@test("permissions.pod", timeout=120)
def pod(kit):
    enough(kit, POD, "a job on the target's node", "pod/client")
    kit.wait_clean()
    lacking(kit, POD, target="pod/client")


@test("permissions.ephemeral", timeout=120)
def ephemeral(kit):
    enough(kit, EPHEMERAL, "an ephemeral container in the target's pod")
    lacking(kit, EPHEMERAL, ("-e",))


def lacking(kit, rules, options=(), target="deployment/web"):
    """Each taken away in turn."""
    more = {} if "-e" in options else {"MIRRORD_EPHEMERAL_CONTAINER": "false"}
    for left_out in rules:
        with user(kit, [r for r in rules if r != left_out]) as kubeconfig:
            done = kit.mirrord(ASK, target, options, env=kit.environment(kubeconfig, **more))
        kit.kubectl("delete", "jobs", "-l", "app=mirrord", "--wait=false")  # they may not do it themselves, and wait for a while for their agent
        if done.status == 0:
            expect("needed", left_out, lambda r: r in OPTIONAL)
            continue
        expect(f"{left_out}: status", done.status, 1, str(done))
        expect_in(f"{left_out}: stderr", done.err, rule(*left_out))
        expect_in(f"{left_out}: stderr", done.err, "in a Role of namespace default allows it")


# A server of this version asks for one of the two, older ones for the other.
OPTIONAL = [("", "pods/exec", "get"), ("", "pods/exec", "create")]


@test("permissions.cronjob")
def cronjob(kit):
    """Its jobs are listed: none of them runs."""
    find = [("batch", "cronjobs", "get"), ("batch", "jobs", "list")]
    job = {"template": template("monthly", restartPolicy="Never")}
    with objects(kit, {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "monthly"},
                       "spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}}):
        for rules, words in ((find, "none of its jobs runs now"), *(([r for r in find if r != left_out], rule(*left_out)) for left_out in find)):
            with user(kit, rules) as kubeconfig:
                expect_in(f"with {rules}", kit.mirrord(ASK, "cronjob/monthly", kubeconfig=kubeconfig).err, words)


@test("permissions.events", timeout=90)
def events(kit):
    """Who may watch them hears at once why there is no pod of the agent's; else the time is over."""
    with full(kit):
        for rules, seconds, words in (([*TARGETLESS, EVENTS], 2 * WAIT, "exceeded quota: none"), (TARGETLESS, 3, "the agent did not start within 3 seconds")):
            with user(kit, rules, "full") as kubeconfig:
                done = kit.mirrord(["true"], "targetless", ("--agent-startup-timeout", str(int(seconds))), kubeconfig=kubeconfig)
            expect("status", done.status, 1, str(done))
            expect_in(f"with {rules}", done.err, words)
            kit.kubectl("-n", "full", "delete", "jobs", "--all")  # they may not


@test("permissions.replicas", timeout=90)
def replicas(kit):
    """Each replica is a pod that is asked for by its name; who may not hears it at once."""
    settings = f"{kit.cluster.state}/all.json"
    with open(settings, "w") as f:
        json.dump({"target": {"deployment": "web", "replicas": "all"}}, f)
    get = ("", "pods", "get")
    for rules, words in (([*JOB, get], "port 8080 is stolen"), (JOB, 'cannot get resource "pods"')):
        with user(kit, rules) as kubeconfig:
            p = kit.start_mirrord(["python3", "-u", "-m", "http.server", "8080"], "deployment/web", ("--steal", "-a", "default", "-f", settings),
                                  kubeconfig=kubeconfig)
            try:
                kit.wait_logged(f"with {rules}", words, 2, p)
            finally:
                p.terminate()
                err = p.communicate(timeout=PROMPT)[1]
                kit.kubectl("delete", "jobs", "-l", "app=mirrord", "--wait=false")
        expect(f"with {rules}: the rule on stderr", rule(*get) in err, get not in rules, err)
        kit.wait_clean()


@test("permissions.own_choice")
def own_choice(kit):
    """Whatever is allowed is taken: a user who may make no job gets the ephemeral container."""
    enough(kit, [*EPHEMERAL, ("batch", "jobs", "list")], "an ephemeral container in the target's pod", "deployment/web")


def run_diagnose(kit, kubeconfig, *options):
    """Its status, and what it says."""
    done = subprocess.run([kit.program, "diagnose", *options], capture_output=True, text=True, env=kit.environment(kubeconfig), cwd=kit.cluster.state)
    return done.returncode, done.stdout + done.stderr


@test("permissions.diagnose")
def diagnose(kit):
    """What a user may do and how fast a target is reached, line by line."""
    status, out = run_diagnose(kit, None, "-t", "deployment/web")
    expect("status", status, 0, out)
    for line in ("ok      the agent as a job: create jobs in namespace default", "Kubernetes v1.", "ok      the agent answers after ",
                 f"ok      the target's kernel is Linux {os.uname().release}, its agent mirrord {kit.version()}\n", "ok      stealing: NET_ADMIN",
                 "ok      mirroring", "ok      a round trip through the tunnel"):
        expect_in("a line", out, line)
    out = run_diagnose(kit, None, "-n", "guarded", "-a", "guarded", "-t", "deployment/guarded")[1]
    for line in ("without stealing: NET_ADMIN", "without mirroring"):
        expect_in("where nobody gets a capability", out, line)
    with user(kit, EPHEMERAL) as kubeconfig:
        status, out = run_diagnose(kit, kubeconfig)
    expect("status", status, 1, out)
    for line in ("missing the agent as a job: create jobs in namespace default", "without the job goes at once: delete jobs in namespace default",
                 "ok      the agent in the target's pod: patch pods/ephemeralcontainers in namespace default", "may not be read"):
        expect_in("a line", out, line)
    expect_in("a wrong context", run_diagnose(kit, None, "--context", "none")[1], 'missing /')


@test("permissions.diagnose_left")
def diagnose_left(kit):
    """A job of an agent's that is over, and that nothing removes: said by diagnose, and to who starts another."""
    job = workload("Job", "left", "batch/v1", selector=None, template=template("mirrord", restartPolicy="Never"))
    job["metadata"]["labels"] = {"app": "mirrord"}
    job["spec"]["template"]["spec"]["containers"][0]["command"] = ["true"]
    with objects(kit, job):
        kit.wait_condition("condition=Complete", "job/left")
        line = "without the end of job left, an agent's that is over: `kubectl -n default delete job left`"
        expect_in("what is left", run_diagnose(kit, None)[1], line)
        kit.mirrord(["true"], "pod/client")
        expect("the same to the next user", kit.logged("jobs of agents that are over stay: `kubectl -n default delete job left`"), 1, kit.session_log())


@test("permissions.nothing")
def nothing(kit):
    """Who may only look hears what is missing."""
    with user(kit, READ) as kubeconfig:
        done = kit.mirrord(ASK, "deployment/web", kubeconfig=kubeconfig)
    expect("status", done.status, 1, str(done))
    expect_in("stderr", done.err, 'cannot create resource "jobs" in API group "batch" in the namespace "default"')
    expect_in("stderr", done.err, rule("batch", "jobs", "create"))


@test("permissions.restricted")
def restricted(kit):
    """Where Pod Security allows nobody any privilege: the ephemeral container without capabilities, also when it can't be read from labels."""
    address = kit.get("pod", namespace="guarded")["items"][0]["status"]["podIP"]
    ask = ["curl", "-sS", "--max-time", "30", "http://web.default/"]
    for options in (("-n", "guarded", "-a", "guarded"), ("-n", "guarded", "-e")):
        done = kit.mirrord(ask, "deployment/guarded", options)
        expect("status", done.status, 0, f"{done}\n{kit.session_log()}")
        expect("peer", json.loads(done.out)["peer"], address)
        expect_in("way", way_of(kit), "without capabilities")
    with user(kit, [*EPHEMERAL, *JOB], "guarded") as kubeconfig:
        done = kit.mirrord(ask, "deployment/guarded", ("-n", "guarded"), kubeconfig=kubeconfig)
        expect("status", done.status, 0, f"{done}\n{kit.session_log()}")
        expect("lines that tell the way", kit.logged("without capabilities"), lambda n: n > 0, kit.session_log())
        kit.wait_for("the end of the job", lambda: not kit.get("job", namespace="guarded")["items"])
    for options in ((), ("-a", "guarded")):  # of another user's process; of a process that may not be looked into
        expect(f"{options}: environment", kit.mirrord(["sh", "-c", "echo $WHO"], "deployment/guarded", ("-n", "guarded", *options)).out, "guarded\n")
    expect("the host's name and DNS", kit.mirrord(["sh", "-c", "hostname; getent hosts web.default"], "deployment/guarded", ("-n", "guarded")).out,
           lambda out: out.startswith("guarded-") and "web.default.svc.cluster.local" in out)
